"""Many runs at once in one process, each with a secret of its own. What a process has once, none of them touches."""

import asyncio
import json
import os
import secrets
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.child import COMPLETED, STARTED, THREAD
from support.runs import KEY_NAME, Left

from codex_runner.app.invocation import Invocation
from codex_runner.app.run import run
from codex_runner.domain.credential import CredentialKind, CredentialSource, CredentialSpec
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.folder import RunFolder
from codex_runner.domain.job import CodexSettings, Job, Sandbox
from codex_runner.domain.policy import Budget, RetryPolicy
from codex_runner.domain.run import StopReason, new_run_id
from codex_runner.domain.secret import Secret
from codex_runner.engine.stopping import Stopping

MANY = [12, pytest.param(50, marks=pytest.mark.thorough)]
REAL = 4
STOPPED = 7  # the number of the run that is told to end

# It says what it was asked, and its own key: so the runner has to mask the one, and not the other. The one that is to
# be stopped waits for that.
FAKE = f"""#!/bin/sh
case $* in
--version) echo codex-cli 0.169.0; exit ;;
'features list') echo apps stable true; exit ;;
sandbox*) grep -q ':workspace' "$CODEX_HOME/config.toml" && echo wrote || echo kept-out; echo denied; exit ;;
esac
asked=$(cat)
echo '{THREAD}'
echo '{STARTED}'
case $asked in *wait*) sleep 300 ;; esac
item='{{"id":"item_0","type":"agent_message","text":"%s, with %s"}}'
printf '{{"type":"item.completed","item":'"$item"'}}\\n' "$asked" "$CODEX_API_KEY"
echo '{COMPLETED}'
"""


@dataclass
class Ear:
    """A sink that keeps what it is told."""

    masked: list = field(default_factory=list)
    run_ids: set = field(default_factory=set)
    replies: list = field(default_factory=list)

    def mask(self, secret):
        self.masked.append(secret.reveal())

    def accept(self, record, state):
        self.run_ids.add(state.run_id)

    def tick(self, now, state):
        pass

    def close(self):
        pass


class Process:
    """What a process has once."""

    def __init__(self):
        umask = os.umask(0o077)
        os.umask(umask)
        handlers = {number: signal.getsignal(number) for number in signal.valid_signals() if number < signal.SIGRTMIN}
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self.has = (dict(os.environ), list(sys.path), Path.cwd(), umask, handlers, blocked, sys.stdout, sys.stderr)

    def check_untouched(self):
        assert Process().has == self.has


async def all_of(runs):
    return await asyncio.gather(*runs)


async def all_with_one_stopped(runs, stopping):
    """Stop the one that waits once the others are over, so that all of them run beside it."""
    running = [asyncio.ensure_future(each) for each in runs]
    await asyncio.gather(*running[:STOPPED], *running[STOPPED + 1 :])
    assert not running[STOPPED].done()
    stopping.request(StopReason.TERMINATED)
    return await asyncio.gather(*running)


def in_folder(job, output, invocation, stopping=None):
    """Return a run of the job, and what it will leave."""
    folder = RunFolder(output / new_run_id(job.name))
    return run(job, folder, invocation, stopping=stopping or Stopping()), Left(folder.path)


@pytest.mark.parametrize("many", MANY)
def test_runs_at_once(tmp_path, codex_home, many):
    fake = tmp_path / "codex"
    fake.write_text(FAKE)
    fake.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    keys = [f"the-own-word-of-run-{number}-and-no-other" for number in range(many)]
    ears, running, left, stoppings = [], [], [], [Stopping() for _ in keys]
    for number, (key, stopping) in enumerate(zip(keys, stoppings, strict=True)):
        ear = Ear()
        # The secret of another run is nothing that this one knows of.
        job = Job(
            f"job-{number}",
            f"{'wait' if number == STOPPED else 'say'} {number}: {keys[number - 1]}",
            str(work),
            sandbox=Sandbox.WORKSPACE_WRITE,
            codex=CodexSettings(path=str(fake)),
            credential=CredentialSpec(
                kind=CredentialKind.API_KEY, source=CredentialSource.ENV, variable="OWN", allow_unexpiring=True
            ),
            retry=RetryPolicy(attempts=1),
            budget=Budget(tokens=10**9),
        )
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_STATE_HOME": str(codex_home), "OWN": key}
        one, folder = in_folder(job, tmp_path / "out", Invocation(environ, [ear]), stopping)
        ears.append(ear)
        running.append(one)
        left.append(folder)
    process = Process()
    states = asyncio.run(all_with_one_stopped(running, stoppings[STOPPED]))
    process.check_untouched()
    for number, (state, ear, folder, key) in enumerate(zip(states, ears, left, keys, strict=True)):
        others = keys[number - 1]
        assert (state.run_id, state.job) == (folder.run_id, f"job-{number}")
        assert ear.run_ids == {state.run_id}
        assert set(ear.masked) == {key}, "a sink is told of its own run's secret alone"
        assert {record["run_id"] for record in folder.of_kind("run.started")} == {state.run_id}
        everything = b"".join(path.read_bytes() for path in folder.path.rglob("*") if path.is_file())
        assert key.encode() not in everything
        if number == STOPPED:
            assert state.attempt.stop.reason == StopReason.TERMINATED
            assert state.verdict.exit_code == ExitCode.TERMINATED, state.verdict
            continue
        assert state.verdict.exit_code == ExitCode.SUCCEEDED, state.verdict
        assert state.reply == f"say {number}: {others}, with ***CODEX_API_KEY***"
        assert folder.run_json["exit_code"] == 0


@pytest.mark.needs_codex
def test_runs_of_the_real_codex_at_once(tmp_path, codex, codex_home, service):
    keys = [f"key-{secrets.token_hex(16)}" for _ in range(REAL)]
    service.accept(set(keys))
    running, left = [], []
    for number, key in enumerate(keys):
        work = tmp_path / f"work-{number}"
        work.mkdir()
        job = Job(
            f"job-{number}",
            "SCN:hi",
            str(work),
            codex=CodexSettings(
                path=str(codex),
                config=service.with_provider_key(key, env_key=KEY_NAME).config,
                environment={KEY_NAME: Secret(KEY_NAME, key)},
            ),
            retry=RetryPolicy(attempts=1),
            budget=Budget(tokens=10**9),
        )
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_STATE_HOME": str(codex_home)}
        one, folder = in_folder(job, tmp_path / "out", Invocation(environ, ()))
        running.append(one)
        left.append(folder)
    process = Process()
    states = asyncio.run(all_of(running))
    process.check_untouched()
    assert [state.verdict.exit_code for state in states] == [0] * REAL
    assert sorted(request.bearer for request in service.responses) == sorted(keys)
    for state, folder, key in zip(states, left, keys, strict=True):
        assert folder.run_id == state.run_id
        assert key not in json.dumps(folder.records)
