"""A run whose claim another runner takes, at each of its steps: it starts nothing more, and reports nothing."""

import asyncio

import pytest
from support.fake_host import FakeHost, Play, prints
from support.trial import BEGIN, REPLY, Trial

from codex_runner.app.claim import refuse_gone
from codex_runner.domain.attempt_state import Attempt
from codex_runner.domain.claim import ClaimTakenError, Holder, Process
from codex_runner.domain.errors import RunGoneError, TakenOverError
from codex_runner.domain.event import Warned
from codex_runner.domain.failure import Failure
from codex_runner.domain.host import Host
from codex_runner.domain.job import Check
from codex_runner.domain.run import Ending
from codex_runner.domain.state import RunState
from codex_runner.engine.keeping import is_judged

OTHER = Holder(2, Process.of("ci-7", "m", "b", 12, "9"), 30.0, 1.0)
CHECKS = (Check("one", "make one"), Check("two", "make two"))


def check_left(trial, host, *never):
    assert trial.events[-1].code == "taken-over"
    assert trial.events[-1].message.endswith("was taken over by the runner 12 on ci-7 for 30s, renewed 1s ago.")
    assert {path.name for path in trial.folder.path.iterdir()} <= {
        *("events.jsonl", "codex.jsonl", "stderr.log", "run.json", ".room"),
    }
    asked = [what for what, *_ in host.asked]
    assert not set(asked) & {*never, "discard"}
    assert asked[-1] == "close"


def test_in_a_check_which_is_ended(tmp_path):
    ended = []

    async def slow():
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    trial = Trial(tmp_path, checks=CHECKS)
    trial.context["renewal"] = 0.01
    host = FakeHost(prints(REPLY), answers={"make one": slow})

    async def once_checked():
        if ("execute", "make one") in host.asked:
            raise ClaimTakenError(OTHER)

    host.renew = once_checked
    with pytest.raises(TakenOverError, match="taken over by the runner 12 on ci-7"):
        trial.run(host)
    assert ended == [True]
    check_left(trial, host)
    assert ("execute", "make two") not in host.asked


@pytest.mark.parametrize("step", ["start", "follow", "execute"])
def test_at_any_step(tmp_path, step):
    trial = Trial(tmp_path, checks=CHECKS)
    host = FakeHost(prints(REPLY))
    host.fails[step] = ClaimTakenError(OTHER)
    with pytest.raises(TakenOverError) as caught:
        trial.run(host)
    assert caught.value.exit_code == 6
    check_left(trial, host, "stop")


def test_right_before_the_verdict(tmp_path):
    trial = Trial(tmp_path)
    host = FakeHost(prints(REPLY))
    host.fails["discard"] = ClaimTakenError(Holder())
    with pytest.raises(TakenOverError, match="taken over by another runner"):
        trial.run(host)
    assert not trial.folder.junit.exists()


def test_the_agent_is_not_ended_that_another_follows(tmp_path):
    trial = Trial(tmp_path)
    trial.context["renewal"] = 0.01
    host = FakeHost(Play(steps=((0, "stdout", BEGIN),), hangs=True))
    host.fails["renew"] = ClaimTakenError(OTHER)
    with pytest.raises(TakenOverError):
        trial.run(host)
    check_left(trial, host, "stop")


def test_a_run_that_was_removed_by_hand_is_not_taken_for_judged():
    gone = ClaimTakenError(Holder())
    state = RunState(attempts=[Attempt(1, 0.0, ending=Ending(Failure.LOST, "its folder was removed"))])
    assert not is_judged(gone, state)
    assert is_judged(ClaimTakenError(OTHER), state)
    assert is_judged(gone, RunState(attempts=[Attempt(1, 0.0, ending=Ending(None, "done"))]))


def test_checks_are_not_run_for_a_run_that_its_host_does_not_have(tmp_path):
    job = Trial(tmp_path, checks=CHECKS).job
    state = RunState(run_id="run", host=Host("devbox"), attempts=[Attempt(1, 0.0, ending=Ending(None, "done"))])
    with pytest.raises(RunGoneError, match="not on devbox any more"):
        refuse_gone(job, state)
    state.attempts[0].ending = Ending(Failure.TIMEOUT, "late")
    refuse_gone(job, state)
    state.warnings.append(Warned("taken-over", "run was taken over by another runner."))
    with pytest.raises(RunGoneError, match="taken over by another runner"):
        refuse_gone(job, state)
