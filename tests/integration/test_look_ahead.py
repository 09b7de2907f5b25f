"""The look at codex ahead of the rest of a run: what it may see, when it must wait, and that nothing of it is left."""

import asyncio
import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.launches import TICK, collect, launch

from codex_runner.app.ahead import look_ahead
from codex_runner.app.begin import begin
from codex_runner.app.imports import places
from codex_runner.app.invocation import Invocation
from codex_runner.codex.bundled import bundled_codex
from codex_runner.codex.preflight import look
from codex_runner.codex.question import question, script
from codex_runner.domain.cancellation import Stopped
from codex_runner.domain.concurrency import Concurrency
from codex_runner.domain.credential import CredentialSpec
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.host import Host
from codex_runner.domain.job import CodexSettings, Job
from codex_runner.domain.run import StopReason
from codex_runner.domain.secret import Secret
from codex_runner.domain.workspace import WorkspaceSpec
from codex_runner.engine.stopping import Stopping
from codex_runner.transports.local import LocalTransport

TOKEN = "at-ahead-0123456789"
CODEX = """#!/bin/sh
env >"${0%/*}/saw.$1"
case $1 in
--version) echo codex-cli 0.163.0 ;;
features) echo "apps stable true" ;;
esac
"""
HANGS = "#!/bin/sh\necho $$ >>${0%/*}/pids\nexec sleep 600\n"
# A runner that has begun a run, and is killed before it does more.
BEGUN = """
import os, sys
from pathlib import Path
from codex_runner.domain.job import CodexSettings, Job
from codex_runner.engine.stopping import Stopping
from codex_runner.app.begin import begin
from codex_runner.app.invocation import Invocation

folder = Path(sys.argv[1])
job = Job(name="hi", prompt="hi", cwd=str(folder), codex=CodexSettings(path=str(folder / "codex")))
kept = begin(job, folder / "out", Invocation(dict(os.environ), ()), Stopping())
print("begun", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def environ(tmp_path):
    (tmp_path / "home").mkdir()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "CODEX_ACCESS_TOKEN": TOKEN,
    }


@pytest.fixture
def put(tmp_path):
    """Puts a codex there; returns the job that names it."""

    def put(text=CODEX, **more):
        codex = tmp_path / "codex"
        codex.write_text(text)
        codex.chmod(0o700)
        settings = CodexSettings(path=str(codex), environment={"CODEX_ACCESS_TOKEN": Secret("TOKEN", TOKEN)})
        spec = CredentialSpec(source="env", allow_unexpiring=True)
        return dataclasses.replace(
            Job(name="hi", prompt="hi", cwd=str(tmp_path), codex=settings, credential=spec), **more
        )

    return put


def own_question(job, environ, tmp_path):
    """What the run itself asks."""
    around = places(job, (tmp_path / "out").resolve(), environ)
    return question(job, job.credential.kind, places=around, fallback=bundled_codex(job.host))


def asked_of(job, environ, tmp_path):
    return look_ahead(job, tmp_path / "out", Invocation(environ, ()))


def seen(tmp_path):
    """What codex was asked since the last call. It must never see the token."""
    files = sorted(tmp_path.glob("saw.*"))
    for each in files:
        assert TOKEN not in each.read_text()
        each.unlink()
    return [each.name for each in files]


def test_it_has_no_token_and_is_asked_once(put, environ, tmp_path):
    job = put()
    here = LocalTransport(environ, ahead=asked_of(job, environ, tmp_path))
    asked = own_question(job, environ, tmp_path)

    async def twice():
        first, _ = await look(here, job, asked)
        by_then = seen(tmp_path)
        second, _ = await look(here, job, asked)
        await here.close()
        return first, second, by_then

    first, second, by_then = asyncio.run(twice())
    assert first == second
    assert (first.version, first.features) == ("0.163.0", {"apps"})
    assert by_then == seen(tmp_path) == ["saw.--version", "saw.features"]


def test_another_question_is_not_answered_by_it(put, environ, tmp_path):
    job = put()
    ahead = asked_of(job, environ, tmp_path)
    assert ahead.process.wait(60) == 0
    seen(tmp_path)
    (tmp_path / "home" / ".config").mkdir()
    other = dataclasses.replace(job, cwd=str(tmp_path / "home"))

    async def asked():
        here = LocalTransport(environ, ahead=ahead)
        install, _ = await look(here, other, own_question(other, environ, tmp_path))
        await here.close()
        return install

    assert asyncio.run(asked()).at_home
    assert seen(tmp_path) == ["saw.--version", "saw.features"]


@pytest.mark.parametrize(
    "more",
    [
        {"cwd": "below"},
        {"workspace": WorkspaceSpec(repo="/somewhere")},
        {"concurrency": Concurrency("deploy")},
        {"host": Host("build-1")},
    ],
    ids=["relative", "workspace", "group", "far"],
)
def test_a_job_that_must_wait(put, environ, tmp_path, more):
    assert asked_of(put(**more), environ, tmp_path) is None


@pytest.mark.parametrize("name", ["PATH", "HOME", "LD_LIBRARY_PATH"])
def test_a_job_that_gives_codex_what_the_look_goes_by(put, environ, tmp_path, name):
    job = put()
    settings = dataclasses.replace(job.codex, environment={name: Secret(name, "/somewhere")})
    assert asked_of(dataclasses.replace(job, codex=settings), environ, tmp_path) is None


@pytest.mark.parametrize(
    "pipeline",
    [
        {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "issue_comment"},
        {"GITLAB_CI": "true", "CI_PIPELINE_SOURCE": "merge_request_event", "CI_MERGE_REQUEST_IID": "1"},
    ],
    ids=["a stranger's event", "a proposal"],
)
def test_what_is_not_trusted_is_judged_first(put, environ, tmp_path, pipeline):
    assert asked_of(put(), {**environ, **pipeline}, tmp_path) is None
    assert not list(tmp_path.glob("saw.*"))


def test_what_is_refused_starts_no_codex(put, environ, tmp_path):
    with pytest.raises(ConfigurationError, match="output_schema"):
        begin(put(output_schema='{"type": 7}'), tmp_path / "out", Invocation(environ, ()), Stopping())
    stopping = Stopping()
    stopping.request(StopReason.TERMINATED)
    with pytest.raises(Stopped):
        begin(put(), tmp_path / "out", Invocation(environ, ()), stopping)
    assert not (tmp_path / "state").exists()


def test_a_codex_that_does_not_work_is_told_as_ever(put, environ, tmp_path):
    job = put("#!/bin/sh\necho nonsense\n")

    async def told(ahead):
        with pytest.raises(ConfigurationError) as caught:
            await look(LocalTransport(environ, ahead=ahead), job, own_question(job, environ, tmp_path))
        return caught.value.message, caught.value.remedy

    assert asyncio.run(told(asked_of(job, environ, tmp_path))) == asyncio.run(told(None))


def test_one_that_is_not_needed_leaves_nothing(put, environ, tmp_path):
    asyncio.run(LocalTransport(environ, ahead=asked_of(put(), environ, tmp_path)).close())
    assert list((tmp_path / "state").glob("codex-runner/runs/.scratch/*")) == []


def test_what_cannot_be_asked_is_not_asked_ahead(put, environ, tmp_path):
    assert asked_of(put(cwd="/a\0b"), environ, tmp_path) is None


def test_it_goes_when_it_is_closed(put, environ, tmp_path):
    ahead = asked_of(put(HANGS), environ, tmp_path)
    pids = _pids(tmp_path)
    here = LocalTransport(environ, ahead=ahead)
    asyncio.run(here.close())
    assert not any(map(_lives, pids))
    asyncio.run(here.close())


def test_it_ends_with_its_patience(put, environ, tmp_path):
    ahead = asked_of(put(HANGS), environ, tmp_path)
    pids = _pids(tmp_path)
    here = LocalTransport(environ, ahead=ahead)
    asked = own_question(put(HANGS), environ, tmp_path)
    assert asyncio.run(here.ask(script(), arguments=asked.arguments, timeout=0.2)).exit_code is None
    assert not any(map(_lives, pids))


@pytest.mark.parametrize("says", [0, 1], ids=["at once", "while codex runs"])
def test_it_goes_with_a_runner_that_is_killed(put, environ, tmp_path, says):
    put(HANGS)
    with subprocess.Popen(
        [sys.executable, "-c", BEGUN, str(tmp_path)],
        env={**environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as runner:
        assert runner.stdout.readline() == b"begun\n"
        pids = _pids(tmp_path) if says else ()
        runner.send_signal(signal.SIGKILL)
    _gone(pids)
    left = subprocess.run(["ps", "-A", "-o", "args="], capture_output=True, text=True, check=True).stdout
    deadline = time.monotonic() + 60
    while str(tmp_path) in left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = subprocess.run(["ps", "-A", "-o", "args="], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in left


def test_what_a_killed_one_has_left_goes_with_the_next_run(environ, tmp_path):
    node = subprocess.run(["uname", "-n"], capture_output=True, text=True, check=True).stdout.strip()
    with subprocess.Popen(["true"]) as dead:
        pass
    scratch = tmp_path / "state/codex-runner/runs/.scratch"
    (scratch / f"codex.{node}.{dead.pid}.a1b2c3").mkdir(parents=True)
    living = scratch / f"codex.{node}.{os.getpid()}.a1b2c3"
    living.mkdir()

    async def run():
        here, job = LocalTransport(environ, tick=TICK), launch("reply")
        await here.start(job)
        await collect(here, job.run_id)
        await here.discard(job.run_id)

    asyncio.run(run())
    assert list(scratch.iterdir()) == [living]


def _pids(tmp_path):
    """The processes of codex, once both are there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
            if len(pids) == 2:
                return pids
        time.sleep(0.01)
    pytest.fail("codex was not started")


def _gone(pids):
    deadline = time.monotonic() + 60
    while any(_lives(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in b"ZX"
    except OSError:
        return False
