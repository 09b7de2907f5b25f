import pytest

from codex_runner.domain import event as ev
from codex_runner.domain.job import Limits
from codex_runner.domain.run import StopReason, Usage
from codex_runner.engine.watch import Watch

LIMITS = Limits(timeout=1000, stall=60, command=300, exit_grace=10)
COMMAND = ev.Command("item_1", "make", "", None, "in_progress")
PLAN = ev.TodoList("item_0", (ev.Todo("write", completed=False),))


def watch(*events, deadline=1000.0):
    """A watch that has seen (time, event) pairs, from time 0."""
    made = Watch(LIMITS, deadline, 0.0)
    for at, event in events:
        made.saw(event, at)
    return made


def reason(made, now):
    stop = made.due(now)
    return stop.reason if stop else None


def test_silence_is_a_stall_only_while_no_item_is_open():
    assert reason(watch(), 59.9) is None
    assert reason(watch(), 60) is StopReason.STALLED
    assert reason(watch((5, ev.TurnStarted())), 60) is None
    assert reason(watch((5, ev.TurnStarted())), 65) is StopReason.STALLED
    assert reason(watch((5, ev.ItemStarted(COMMAND))), 290) is None


def test_an_open_command_has_its_own_time():
    assert reason(watch((5, ev.ItemStarted(COMMAND))), 304) is None
    stop = watch((5, ev.ItemStarted(COMMAND))).due(305)
    assert stop.reason is StopReason.COMMAND_TIMEOUT
    assert "make" in stop.message


def test_a_finished_command_is_silence_again():
    made = watch((5, ev.ItemStarted(COMMAND)), (10, ev.ItemCompleted(COMMAND)))
    assert reason(made, 69) is None
    assert reason(made, 70) is StopReason.STALLED


def test_an_update_does_not_begin_a_command_anew():
    made = watch((5, ev.ItemStarted(COMMAND)), (200, ev.ItemUpdated(COMMAND)))
    assert reason(made, 305) is StopReason.COMMAND_TIMEOUT


def test_a_plan_that_stays_open_is_not_work():
    assert reason(watch((1, ev.ItemStarted(PLAN))), 61) is StopReason.STALLED


def test_the_wall_clock_counts_whatever_happens():
    assert reason(watch((999, ev.TurnStarted())), 1000) is StopReason.TIMEOUT
    assert reason(watch((999, ev.ItemStarted(COMMAND))), 1000) is StopReason.TIMEOUT


@pytest.mark.parametrize("end", [ev.TurnCompleted(Usage()), ev.TurnFailed("no")])
def test_a_codex_that_does_not_exit_after_its_last_event_lingers(end):
    made = watch((5, ev.ItemStarted(COMMAND)), (20, end))
    assert reason(made, 29) is None
    assert reason(made, 30) is StopReason.LINGERED


def test_a_job_that_is_done_lingers_rather_than_running_out_of_time():
    assert reason(watch((990, ev.TurnCompleted(Usage()))), 1000) is StopReason.LINGERED


def test_time_in_which_nothing_could_be_heard_does_not_count():
    silent, working, done = (
        watch((5, ev.TurnStarted())),
        watch((5, ev.ItemStarted(COMMAND))),
        watch((5, ev.TurnCompleted(Usage()))),
    )
    for made in (silent, working, done):
        made.skip(100)
    assert (reason(silent, 164.9), reason(silent, 165)) == (None, StopReason.STALLED)
    assert (reason(working, 404.9), reason(working, 405)) == (None, StopReason.COMMAND_TIMEOUT)
    assert (reason(done, 114.9), reason(done, 115)) == (None, StopReason.LINGERED)
    assert reason(working, 1000) is StopReason.TIMEOUT


def test_a_command_whose_end_is_too_long_to_be_read_is_over():
    done = ev.Unparsed("truncated", "", 10**8, voids=False, item_type="command_execution", item_id="item_1")
    made = watch((5, ev.ItemStarted(COMMAND)), (10, done))
    assert reason(made, 69) is None
    assert reason(made, 70) is StopReason.STALLED
    made.heard(60)
    assert reason(made, 119) is None
