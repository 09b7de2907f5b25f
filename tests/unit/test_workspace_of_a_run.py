"""A run whose workspace is made for it, on a host in memory: when it is made, put back, kept and removed."""

import pytest
from support.fake_host import FakeHost, Play, prints
from support.trial import BEGIN, REPLY, RUN, Trial, stop_when

from codex_runner.domain import event as ev
from codex_runner.domain.errors import ConfigurationError, HostError
from codex_runner.domain.failure import Failure
from codex_runner.domain.policy import RetryPolicy
from codex_runner.domain.run import StopReason
from codex_runner.domain.workspace import Keep, Workspace, WorkspaceSpec
from codex_runner.engine import retry

MADE = Workspace(f"/state/workspaces/{RUN}", f"/state/workspaces/{RUN}/docs", "0123456789abcdef" * 2)
CAPACITY = prints(stderr=b"Error: Selected model is at capacity.\n", code=1)
LOST_THREAD = prints(stderr=b"Error: thread/resume: thread/resume failed: no rollout found for thread id 1\n", code=1)


class Workspaces:
    """Says that it made one, and notes in `host.asked` what was done to it."""

    def __init__(self, host, fails=None):
        self.host, self.fails = host, fails or {}

    async def make(self, job, run_id, tell):
        self._ask("make", job.cwd)
        tell(ev.Warned("uncommitted", "/repo has 1 uncommitted change"))
        return MADE

    async def reset(self, workspace, run_id):
        assert workspace == MADE
        self._ask("reset", self.host.running)

    def _ask(self, what, *more):
        self.host.asked.append((what, *more))
        if what in self.fails:
            raise self.fails[what]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(retry, "PACES", dict.fromkeys(retry.PACES, retry.Pace(0.001, 0.001)))


@pytest.fixture
def begin(tmp_path):
    """Run a job, the plays of its attempts given one after the other; its own workspace, unless `made` is False."""

    def go(*plays, made=True, keep=Keep.NEVER, fails=None, attempts=3, **rest):
        spec = WorkspaceSpec("/repo", "v1", keep) if made else None
        trial = Trial(tmp_path, cwd="docs", workspace=spec, retry=RetryPolicy(attempts=attempts, least=0.01))
        remaining = list(plays)
        host = FakeHost(lambda _: remaining.pop(0))
        trial.adapters = {"workspaces": Workspaces(host, fails)} if made else {}
        return trial, host, trial.run(host, **rest)

    return go


def asked(host):
    return [what for what, *_ in host.asked if what != "execute"]


def test_it_is_made_before_codex_and_goes_after_it(begin):
    trial, host, state = begin(prints(REPLY))
    assert state.verdict.exit_code == 0
    assert asked(host) == ["make", "start", "follow", "discard", "close"]
    assert host.asked[0] == ("make", "docs")
    assert ("discard",) in host.asked
    assert host.launches[0].cwd == MADE.cwd
    made = next(event for event in trial.events if isinstance(event, ev.WorkspaceMade))
    assert made == ev.WorkspaceMade(MADE.path, MADE.cwd, MADE.commit, "/repo", "v1")
    assert [warning.code for warning in state.warnings if warning.code == "uncommitted"] == ["uncommitted"]
    assert not state.workspace_kept


@pytest.mark.parametrize(
    ("keep", "code", "kept"),
    [(Keep.NEVER, 1, False), (Keep.ON_FAILURE, 1, True), (Keep.ON_FAILURE, 0, False), (Keep.ALWAYS, 0, True)],
)
def test_it_stays_where_that_is_wanted(begin, keep, code, kept):
    trial, host, state = begin(prints(REPLY if code == 0 else BEGIN, code=code), keep=keep)
    assert state.verdict.exit_code == code
    assert (("discard", "but-workspace") in host.asked) == kept
    assert state.workspace_kept == kept
    assert sum(isinstance(event, ev.WorkspaceKept) for event in trial.events) == kept
    assert (MADE.path in trial.folder.summary.read_text()) == kept


@pytest.mark.parametrize(
    ("error", "code"), [(ConfigurationError("no such ref."), 3), (HostError("the host's disk is full."), 6)]
)
def test_one_that_cannot_be_made_ends_the_run_and_leaves_nothing(begin, error, code):
    trial, host, state = begin(fails={"make": error})
    assert (state.verdict.exit_code, state.verdict.reason) == (code, error.message)
    assert asked(host) == ["make", "discard", "close"]
    trial.check_reports(code)


def test_a_stop_while_it_is_made(begin):
    _, host, state = begin(Play(hangs=True), meanwhile=stop_when(lambda state: state.workspace, StopReason.INTERRUPTED))
    assert state.verdict.exit_code == 130
    assert asked(host)[-2:] == ["discard", "close"]


def test_an_attempt_that_begins_anew_finds_it_as_it_was(begin):
    trial, host, state = begin(CAPACITY, prints(REPLY))
    assert state.verdict.exit_code == 0
    assert asked(host) == ["make", "start", "follow", "reset", "start", "follow", "discard", "close"]
    assert ("reset", []) in host.asked, "nobody is at work in it"
    (again,) = [event for event in trial.events if isinstance(event, ev.Retrying)]
    assert not again.resume
    assert "put back to commit 0123456789ab" in again.reason
    assert state.attempts[1].reason == again.reason


def test_an_attempt_that_goes_on_finds_it_as_it_is(begin):
    failed = prints(BEGIN + b'{"type":"turn.failed","error":{"message":"Selected model is at capacity."}}\n', code=1)
    _, host, state = begin(failed, prints(REPLY))
    assert state.verdict.exit_code == 0
    assert "reset" not in asked(host)
    assert "resume" in host.launches[1].command


def test_a_folder_that_was_there_before_is_never_put_back(begin):
    trial, host, state = begin(CAPACITY, prints(REPLY), made=False)
    assert state.verdict.exit_code == 0
    assert asked(host) == ["start", "follow", "start", "follow", "discard", "close"]
    (again,) = [event for event in trial.events if isinstance(event, ev.Retrying)]
    assert "in the workspace as it is" in again.reason


def test_a_thread_that_the_host_has_lost_is_begun_anew(begin):
    """A retry goes on with the thread; where codex knows nothing of it any more, the next one begins a new one."""
    failed = prints(BEGIN + b'{"type":"turn.failed","error":{"message":"Selected model is at capacity."}}\n', code=1)
    trial, host, state = begin(failed, LOST_THREAD, prints(REPLY))
    assert state.verdict.exit_code == 0
    assert [each.ending.failure for each in state.attempts] == [Failure.CAPACITY, Failure.THREAD_LOST, None]
    assert ["resume" in launch.command for launch in host.launches] == [False, True, False]
    assert host.launches[2].prompt == b"do it"
    assert asked(host)[5:8] == ["reset", "start", "follow"]
    assert "begins anew" in trial.folder.report.read_text() or "fresh start" in trial.folder.report.read_text()


def test_it_is_not_put_back_under_an_agent_that_may_be_alive(begin):
    """The connection is gone for good, and nobody says that codex is: no other attempt is made."""
    gone = Play(((0, "stdout", b"x"),), breaks=HostError("the host could not be reached for 600 s."), deaf=True)
    trial, host, state = begin(gone, prints(REPLY))
    assert state.verdict.exit_code == 6
    assert asked(host).count("start") == 1
    assert "reset" not in asked(host)
    assert "did not confirm" in next(warning.message for warning in state.warnings if warning.code == "no-retry")
    trial.check_reports(6)


def test_what_cannot_be_put_back_is_no_ground_for_another_attempt(begin):
    _, host, state = begin(CAPACITY, prints(REPLY), fails={"reset": HostError("not all of it could be put back.")})
    assert state.verdict.exit_code == 7
    assert asked(host).count("start") == 1
    assert "not all of it" in next(warning.message for warning in state.warnings if warning.code == "no-retry")


def test_another_runner_goes_on_in_it(begin, tmp_path):
    trial, _, _ = begin(
        Play(((0, "stdout", BEGIN),), hangs=True),
        meanwhile=stop_when(lambda state: state.attempts, StopReason.CANCELLED),
    )
    # As if the first had been killed just then.
    records = trial.folder.events.read_bytes().splitlines(keepends=True)
    begun = next(number for number, line in enumerate(records) if b"attempt.started" in line)
    trial.folder.events.write_bytes(b"".join(records[: begun + 1]))
    host = FakeHost(prints(REPLY), present=[(RUN, 1)])
    state = trial.run(host, attach=True)
    assert state.verdict.exit_code == 0
    assert state.workspace.cwd == MADE.cwd
    assert ("discard",) in host.asked
