"""One run against a host in memory, and all that it works with."""

import asyncio
import errno
import json

from codex_runner.codex.agent import Codex
from codex_runner.codex.prepared import PreparedCodex
from codex_runner.codex.survey import Survey
from codex_runner.domain.credential import Granted
from codex_runner.domain.folder import RunFolder
from codex_runner.domain.host import Install
from codex_runner.domain.job import Instructions, Job, Limits
from codex_runner.domain.policy import Budget, RetryPolicy
from codex_runner.domain.secret import Secret
from codex_runner.domain.state import RunState, fold
from codex_runner.engine.adapters import Adapters, RunContext
from codex_runner.engine.planned import planned_job
from codex_runner.engine.recorder import Recorder
from codex_runner.engine.runner import Runner
from codex_runner.engine.stopping import Stopping
from codex_runner.redaction.redactor import Redactor
from codex_runner.reports.writer import FileReports
from codex_runner.sinks.jsonl import FileJournal, read_records
from support import child

RUN = "20260102T030405Z-docs-0a1b2c3d"
KEY = Secret("KEY", "key-0123456789abcdef")


def lines(*texts):
    return "".join(f"{text}\n" for text in texts).encode()


BEGIN = lines(child.THREAD, child.STARTED)
REPLY = BEGIN + lines(child.MESSAGE, child.COMPLETED)
COMMAND = lines(child.COMMAND)


def generous(**limits):
    """Limits that only the given ones make short."""
    return Limits(**{"timeout": 60, "stall": 60, "command": 60, "exit_grace": 60, **limits})


class Agent(Codex):
    """The real one, on a host that has no codex to look at."""

    async def prepare(self, job, transport, granted, tell):
        install, survey = Install("/usr/bin/codex", "0.169.0", frozenset()), Survey(at=job.cwd, root=job.cwd)
        facts = {"codex": {"version": "0.169.0"}}
        return _Prepared(install, survey, Instructions.WORKSPACE, {}, (), (), facts)


class _Prepared(PreparedCodex):
    async def log_in(self, job, transport, granted, tell):
        return {}

    async def prove(self, job, run_id, transport, tell):
        return {}


class Nothing:
    """Neither credentials nor artifacts."""

    def require_trust(self, job, tell):
        pass

    async def borrow(self, job, *, now, tell, on_retry, on_secret):
        return Granted()

    async def collect(self, job, state, patch, rollout):
        return [], []


class Watcher:
    """A sink that remembers, and fails when it is told to."""

    def __init__(self, fails_at=None):
        self.seen, self.ticks, self.closed, self.fails_at = [], 0, False, fails_at

    def mask(self, secret):
        pass

    def accept(self, record, state):
        if len(self.seen) == self.fails_at:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        self.seen.append(record)

    def tick(self, now, state):
        self.ticks += 1

    def close(self):
        self.closed = True


class Trial:
    """One run folder, and as many runners on it, one after the other, as a test wants."""

    def __init__(self, path, **job):
        self.folder = RunFolder(path / RUN)
        job.setdefault("limits", generous())
        job.setdefault("budget", Budget(tokens=10**9))
        self.job = Job(**{"name": "docs", "prompt": "do it", "cwd": "/", "retry": RetryPolicy(attempts=1), **job})
        self.sinks, self.agent, self.credentials = [Watcher()], Agent(), Nothing()
        self.journal_of = lambda journal: journal
        self.adapters, self.context = {}, {}

    def run(self, host, *, attach=False, meanwhile=None, redactor=None):
        return asyncio.run(self._run(host, attach, meanwhile, redactor or Redactor([KEY])))

    async def _run(self, host, attach, meanwhile, redactor):
        if attach:
            records, journal = FileJournal.recover(self.folder)
            state = fold(records)
            job = planned_job(state)
        else:
            state, job, journal = RunState(), self.job, FileJournal.create(self.folder)
        self.stopping = Stopping()
        self.recorder = Recorder(state, self.journal_of(journal), self.sinks, redactor)
        runner = Runner(
            job,
            RUN,
            Adapters(
                transport=host,
                credentials=self.credentials,
                agent=self.agent,
                artifacts=Nothing(),
                reports=FileReports(self.folder, records=lambda: read_records(self.folder.events)),
                **self.adapters,
            ),
            self.recorder,
            self.stopping,
            RunContext(**self.context),
        )
        doing = asyncio.ensure_future(meanwhile(self)) if meanwhile else None
        try:
            async with asyncio.timeout(30):
                return await runner.run()
        finally:
            journal.close()
            if doing:
                await doing
            await host.close()

    @property
    def records(self):
        return list(read_records(self.folder.events))

    @property
    def events(self):
        return [record.event for record in self.records]

    def check_reports(self, code):
        for path in (self.folder.run_json, self.folder.junit, self.folder.summary):
            assert path.stat().st_size
        assert json.loads(self.folder.run_json.read_text())["exit_code"] == code


def stop_when(true, reason):
    async def meanwhile(trial):
        while not true(trial.recorder.state):  # noqa: ASYNC110 - nothing tells of a state's change
            await asyncio.sleep(0.001)
        trial.stopping.request(reason)

    return meanwhile
