"""Folders of runs that are over, as a run leaves them, and the command line before them."""

import asyncio
import json
import os
import time
from dataclasses import replace

import tomli_w

from codex_runner.app.history import rebuild
from codex_runner.app.invocation import Invocation
from codex_runner.app.outcomes import ask_outcomes
from codex_runner.cli.outcomes_output import as_document, exit_code_of
from codex_runner.config import load
from codex_runner.domain import event as ev
from codex_runner.domain.delivery import Delivered, DeliveryState, ForgeKind
from codex_runner.domain.failure import Failure
from codex_runner.domain.folder import RunFolder
from codex_runner.domain.run import Ending, ProcessExit, StopReason, Sweep, Usage, new_run_id
from codex_runner.sinks.jsonl import FileJournal
from support import commands
from support.records import records

DAY = 86400.0
TOKEN = "DELIVERY_TOKEN"  # the variable, not the token
PRICE = {"input": "2", "cached_input": "0.5", "output": "10", "currency": "USD"}
_EXIT = ProcessExit(0, None, StopReason.NONE, 0, 0, 0, Sweep.CLEAN)
_ATTEMPT = 4.0  # seconds from an attempt's start to its end


class PastRuns:
    """A folder with a configuration, and the runs of its jobs. Each run spends 1,000 tokens in, 400 of them cached."""

    def __init__(self, folder, token="", api="", kind="github"):
        self.folder, self.out = folder, folder / "codex-runner-out"
        self.out.mkdir(parents=True)
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
            "TZ": "UTC",
            TOKEN: token,
        }
        self.delivery = {
            "target": kind,
            "api": api,
            "repository": "acme/app",
            "credential": {"source": "env", "variable": TOKEN, "allow_unexpiring": True},
        }
        self.configure()

    def configure(self, *jobs, **whole):
        jobs = jobs or ("docs",)
        settings = {"version": 1, "jobs": {job: self.job_of() for job in jobs}, **whole}
        (self.folder / "codex-runner.toml").write_text(tomli_w.dumps(settings))

    def job_of(self):
        return {"prompt": "p", "sandbox": "workspace-write", "delivery": self.delivery}

    def add(self, state=None, number=None, *, job="docs", age=1.0, code=0, output=100, price=PRICE, **delivered):
        """Put a run on the shelf, which ended with this state of its delivery."""
        began = time.time() - age
        folder = RunFolder(self.out / new_run_id(job, began))
        ending = Ending(Failure.TIMEOUT, "out of time") if code else Ending(None, "completed")
        events = [
            ev.RunStarted(folder.run_id, job, "local", {"job": {"prompt": "p", "price": price}}),
            ev.AttemptStarted(1),
            ev.ThreadStarted("t"),
            ev.TurnStarted(),
            ev.TurnCompleted(Usage(1000, 400, output, 0)),
            ev.AttemptEnded(1, ending, _EXIT),
        ]
        if state is not None:
            said = Delivered(DeliveryState(state), ForgeKind.GITHUB, "acme/app", "codex/docs", "main", number=number)
            link = f"https://github.com/acme/app/pull/{number}" if number else ""
            events.append(ev.DeliveryEnded(replace(said, **{"link": link, **delivered})))
        events.append(ev.RunEnded(code, "failed" if code else "succeeded", "it is over"))
        journal = FileJournal.create(folder)
        for record in records(events, start=began, step=_ATTEMPT / 4):
            journal.append(record)
        journal.close()
        rebuild(folder, guards=True)
        return folder

    def ask(self, *arguments, code=0):
        said = commands.run("outcomes", *arguments, cwd=self.folder, environ=self.environ)
        assert said.code == code, said.text
        assert "Traceback" not in said.text
        return said

    def jobs(self, *, code=0, job=None, since=None):
        """Ask in this process, and return what the command would print of the jobs, without its own start."""
        config = load(self.folder / "codex-runner.toml", self.folder, self.environ)
        invocation = Invocation.of(config, self.environ, None)
        after = None if since is None else time.time() - since
        found = asyncio.run(ask_outcomes(self.out, config, invocation, job=job, since=after))
        assert exit_code_of(found) == code, found
        document = json.loads(json.dumps(as_document(found)))
        return document["jobs"]

    def job(self, **more):
        """The same of the only job."""
        (job,) = self.jobs(**more)
        return job
