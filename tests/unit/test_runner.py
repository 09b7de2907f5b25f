"""A run against a host in memory: everything that can go wrong on the way, and what the run still leaves."""

import asyncio
import re
import time
from datetime import datetime

import pytest
from support import child
from support.fake_host import FakeHost, Play, prints
from support.trial import BEGIN, COMMAND, KEY, REPLY, RUN, Trial, Watcher, generous, lines, stop_when

from codex_runner.domain import event as ev
from codex_runner.domain.errors import ConfigurationError, CredentialError, HostError, RunGoneError, UnreachableError
from codex_runner.domain.failure import Failure
from codex_runner.domain.host import Completed
from codex_runner.domain.job import Check
from codex_runner.domain.policy import RetryPolicy
from codex_runner.domain.run import Ending, StopReason, Sweep
from codex_runner.domain.state import RunState, fold
from codex_runner.engine.recorder import Recorder
from codex_runner.redaction.redactor import Redactor
from codex_runner.shell.script import shell_script
from codex_runner.sinks.jsonl import FileJournal


@pytest.fixture
def trial(tmp_path):
    return Trial(tmp_path)


def test_all_is_well(trial):
    host = FakeHost(prints(REPLY))
    state = trial.run(host)
    assert (state.verdict.exit_code, state.reply) == (0, "done")
    trial.check_reports(0)
    assert trial.folder.codex.read_bytes() == REPLY
    assert trial.sinks[0].seen == trial.records
    assert trial.sinks[0].closed
    assert host.running == []
    assert [what for what, *_ in host.asked] == ["start", "follow", "execute", "discard", "close"]


@pytest.mark.parametrize("piece", [1, 2, 7, 64])
def test_any_split_of_the_stream_gives_the_same_records(tmp_path, piece):
    stream = BEGIN + COMMAND + "größe\n".encode() + b"\n\xff\xfe\n" + REPLY[len(BEGIN) :] + b'{"half'
    whole, split = Trial(tmp_path / "whole"), Trial(tmp_path / "split")
    whole.run(FakeHost(prints(stream)))
    split.run(FakeHost(prints(stream, piece=piece)))
    assert [(r.seq, r.position, r.event) for r in split.records] == [
        (r.seq, r.position, r.event) for r in whole.records
    ]
    assert split.folder.codex.read_bytes() == stream


def test_a_secret_that_codex_prints_is_nowhere(trial):
    value = KEY.reveal().encode()
    said = child.MESSAGE.replace("done", f"the key is {KEY.reveal()}").encode() + b"\n"
    error = b"Error: bad key " + value + b"\n"
    # Cut in the middle of the secret, wherever that is.
    host = FakeHost(prints(BEGIN + said + REPLY[len(BEGIN) :] + value, error, piece=5))
    trial.run(host)
    for path in trial.folder.path.iterdir():
        assert value not in path.read_bytes(), path
    assert b"***KEY***" in trial.folder.codex.read_bytes()
    assert b"***KEY***" in trial.folder.stderr.read_bytes()


# --- a host that fails ---------------------------------------------------------------------------------------------


def test_a_start_that_is_refused(trial):
    host = FakeHost(prints())
    host.fails["start"] = ConfigurationError("cwd: / is not a directory.")
    state = trial.run(host)
    trial.check_reports(3)
    assert state.attempts[0].ending.failure is Failure.STARTUP


def test_a_start_whose_answer_is_lost_leaves_no_agent(trial):
    class Unheard(FakeHost):
        async def start(self, launch):
            await super().start(launch)
            raise HostError("the host did not answer.")

    host = Unheard(prints(BEGIN, hangs=True))
    state = trial.run(host)
    trial.check_reports(6)
    assert state.attempts[0].ending.failure is Failure.NEVER_STARTED
    assert ("stop", 1, StopReason.LOST) in host.asked
    assert host.running == []


def test_a_host_that_goes_away(trial):
    host = FakeHost(prints(BEGIN, breaks=UnreachableError("devbox is out of reach.")))
    state = trial.run(host)
    trial.check_reports(6)
    assert state.attempts[0].ending.failure is Failure.TRANSPORT
    reason = state.verdict.reason
    assert "devbox is out of reach." in reason
    assert f"codex-runner attach {RUN}" in state.verdict.remedy
    # The host ends it at the nearer of its two limits; near enough, since it counts by itself.
    (until,) = re.findall(r"until about (\S+)Z \(timeout\)", reason)
    assert datetime.fromisoformat(until + "Z").timestamp() == pytest.approx(time.time() + 60 + 15, abs=10)
    assert not state.guards["process sweep"].passed
    assert [what for what, *_ in host.asked] == ["start", "follow", "close"], "nothing else is asked of a lost host"


def test_attaching_goes_on_with_a_host_that_is_here_again(trial):
    """The verdict of the first runner was that the host is lost. The agent worked on."""
    trial.run(FakeHost(prints(BEGIN, breaks=UnreachableError("devbox is out of reach."))))
    state = trial.run(FakeHost(prints(BEGIN + COMMAND + REPLY[len(BEGIN) :]), present=[(RUN, 1)]), attach=True)
    trial.check_reports(0)
    assert state.reply == "done"
    assert state.guards["process sweep"].passed
    assert trial.folder.codex.read_bytes() == BEGIN + COMMAND + REPLY[len(BEGIN) :]
    assert [event.exit_code for event in trial.events if isinstance(event, ev.RunEnded)] == [6, 0]


def test_a_host_that_is_lost_while_it_takes_the_job(trial):
    """Nobody knows whether codex was started, and it is not said that it was not."""
    host = FakeHost(prints(REPLY))
    host.fails["start"] = host.fails["stop"] = UnreachableError("devbox is out of reach.")
    state = trial.run(host)
    trial.check_reports(6)
    assert state.attempts[0].ending.failure is Failure.TRANSPORT
    assert "may still be running on" in state.verdict.reason


@pytest.mark.parametrize("limits", [{"stall": 1.0}, {"command": 1.0}, {"exit_grace": 1.0}])
def test_a_lost_line_is_no_silence_of_codex(tmp_path, limits):
    """Three seconds without a line, more than codex may be silent: what it did comes when the line is back."""
    trial = Trial(tmp_path, limits=generous(**limits))
    begins = {"stall": BEGIN, "command": BEGIN + COMMAND, "exit_grace": REPLY}[next(iter(limits))]
    host = FakeHost(Play(((0, "stdout", begins), (3, "stdout", REPLY.removeprefix(begins)))))

    async def lose(trial):
        await asyncio.sleep(0.05)
        host.reachable = False
        await asyncio.sleep(3.1)
        host.reachable = True

    state = trial.run(host, meanwhile=lose)
    trial.check_reports(0)
    assert state.attempts[0].stop is None


def test_a_supervisor_that_is_lost(trial):
    host = FakeHost(prints(BEGIN + COMMAND, lost=True))
    state = trial.run(host)
    trial.check_reports(6)
    assert state.attempts[0].ending.failure is Failure.LOST
    assert ("stop", 1, StopReason.LOST) in host.asked
    assert host.running == []
    # What it left was ended in its stead, and the host said so.
    assert state.attempts[0].exit.stopped is StopReason.LOST
    assert state.guards["process sweep"].passed


@pytest.mark.parametrize("forged", [{"stdout_size": 3}, {"stdout_cksum": 1}])
def test_bytes_that_did_not_arrive_whole_are_never_a_success(trial, forged):
    state = trial.run(FakeHost(prints(REPLY, forged=forged)))
    trial.check_reports(6)
    assert state.attempts[0].ending.failure is Failure.TRANSPORT
    assert "checksum" in state.verdict.reason


def test_a_directory_that_cannot_be_removed_is_told(trial):
    host = FakeHost(prints(REPLY))
    host.fails["discard"] = HostError("the disk is broken.")
    state = trial.run(host)
    assert "not removed: the disk is broken." in state.verdict.reason
    assert state.verdict.remedy.startswith("Remove the run's directory on the host by hand")
    trial.check_reports(70)


def test_a_host_that_is_lost_when_all_is_done(trial):
    """Everything is here; the directory goes with a later run."""
    host = FakeHost(prints(REPLY))
    host.fails["discard"] = UnreachableError("devbox is out of reach.")
    state = trial.run(host)
    trial.check_reports(0)
    assert [(warning.code, "out of reach" in warning.message) for warning in state.warnings] == [
        ("run-directory", True)
    ]


def test_a_host_that_does_not_confirm_the_end(trial, monkeypatch):
    monkeypatch.setattr("codex_runner.engine.attempt._STOP_PATIENCE", 0.2)
    host = FakeHost(prints(BEGIN, hangs=True, deaf=True))
    state = trial.run(host, meanwhile=stop_when(lambda state: state.turns, StopReason.INTERRUPTED))
    trial.check_reports(6)
    assert "may still be running" in state.verdict.reason
    assert not state.guards["process sweep"].passed


def test_a_busy_host_that_confirms_the_end_late(trial, monkeypatch):
    """It gives signs of life meanwhile: it is not lost, and the stop is what ended the run."""
    monkeypatch.setattr("codex_runner.engine.attempt._STOP_PATIENCE", 0.1)
    host = FakeHost(prints(BEGIN, hangs=True, slow=1.0))
    host.gives_signs = True
    state = trial.run(host, meanwhile=stop_when(lambda state: state.turns, StopReason.TERMINATED))
    trial.check_reports(143)
    assert state.guards["process sweep"].passed


def test_a_live_host_that_never_confirms_the_end(trial, monkeypatch):
    monkeypatch.setattr("codex_runner.engine.attempt._BUSY_PATIENCE", 0.2)
    host = FakeHost(prints(BEGIN, hangs=True, deaf=True))
    host.gives_signs = True
    trial.run(host, meanwhile=stop_when(lambda state: state.turns, StopReason.TERMINATED))
    trial.check_reports(6)


def test_a_second_attempt_does_not_make_good_what_the_first_left_running(tmp_path):
    trial = Trial(tmp_path, retry=RetryPolicy(attempts=2))
    failed = lines('{"type":"turn.failed","error":{"message":"Too many requests, try again in 0s"}}')
    plays = [prints(BEGIN + failed, code=1, forged={"swept": Sweep.FAILED}), prints(REPLY)]
    state = trial.run(FakeHost(lambda launch: plays[launch.attempt - 1]))
    assert [attempt.ending.failure for attempt in state.attempts] == [Failure.RATE_LIMIT, None]
    trial.check_reports(70)
    assert "after attempt 1" in state.verdict.reason
    assert state.verdict.remedy.startswith("End the agent's processes that are left on the host")


# --- a runner that fails -------------------------------------------------------------------------------------------


def test_a_credential_that_is_refused_starts_nothing(trial):
    async def refuse(job, *, now, tell, on_retry, on_secret):
        raise CredentialError("no token.")

    trial.credentials.borrow = refuse
    host = FakeHost(prints(REPLY))
    trial.run(host)
    trial.check_reports(4)
    assert host.launches == []


def test_a_sink_that_fails_is_left_out_and_told(trial):
    broken, late = Watcher(fails_at=2), Watcher()
    trial.sinks = [broken, late]
    state = trial.run(FakeHost(prints(REPLY)))
    trial.check_reports(0)
    (warning,) = state.warnings
    assert warning.code == "sink"
    assert "Watcher failed" in warning.message
    assert len(broken.seen) == 2
    assert late.seen == trial.records, "the others see everything, in order"


def test_sinks_that_all_fail_at_once(trial):
    trial.sinks = [Watcher(fails_at=3), Watcher(fails_at=3), Watcher(fails_at=3)]
    state = trial.run(FakeHost(prints(REPLY)))
    trial.check_reports(0)
    assert len(state.warnings) == 3


class FullDisk:
    """A journal whose disk is full after so many records."""

    def __init__(self, journal, room):
        self._journal, self._room = journal, room

    def copy(self, stream, data):
        self._journal.copy(stream, data)

    def append(self, record):
        if record.seq > self._room:
            raise ConfigurationError("events.jsonl cannot be written: No space left on device.")
        self._journal.append(record)

    def close(self):
        self._journal.close()


@pytest.mark.parametrize("room", [1, 2, 3, 4, 5])
def test_a_full_disk_ends_the_agent_and_is_told(trial, room):
    trial.journal_of = lambda journal: FullDisk(journal, room)
    host = FakeHost(prints(BEGIN + COMMAND, hangs=True))
    state = trial.run(host)
    assert state.verdict.exit_code == 3
    assert "No space left on device" in state.verdict.reason
    assert host.running == [], "the agent still works where nobody notes what it does"
    trial.check_reports(3)


def test_a_verdict_that_cannot_be_noted_is_no_success(trial, tmp_path):
    other = Trial(tmp_path / "other")
    other.run(FakeHost(prints(REPLY)))
    trial.journal_of = lambda journal: FullDisk(journal, len(other.records) - 1)
    state = trial.run(FakeHost(prints(REPLY)))
    assert (state.verdict.exit_code, state.verdict.result) == (3, "failed")
    assert state.verdict.reason.startswith("codex completed its turn; and events.jsonl cannot be written")
    trial.check_reports(3)


def test_a_report_that_cannot_be_written_is_no_success(trial):
    trial.folder.report.mkdir(parents=True)
    state = trial.run(FakeHost(prints(REPLY)))
    assert (state.verdict.exit_code, state.verdict.result) == (3, "failed")
    assert state.verdict.reason.startswith("codex completed its turn; and these reports could not be written: ")
    trial.check_reports(3)
    verdicts = [(event.exit_code, event.result) for event in trial.events if isinstance(event, ev.RunEnded)]
    assert verdicts == [(0, "succeeded"), (3, "failed")]
    assert trial.sinks[0].seen[-1].event == state.verdict
    assert trial.sinks[0].closed


def test_a_report_that_cannot_be_written_leaves_a_bad_exit_code_as_it_is(trial):
    trial.folder.report.mkdir(parents=True)
    assert trial.run(FakeHost(prints(BEGIN, code=1))).verdict.exit_code == 1
    trial.check_reports(1)


def test_a_journal_that_is_not_on_disk_is_no_success(trial):
    class LostAtTheEnd(FullDisk):
        def close(self):
            raise ConfigurationError("events.jsonl cannot be written: Input/output error.")

    trial.journal_of = lambda journal: LostAtTheEnd(journal, 1000)
    state = trial.run(FakeHost(prints(REPLY)))
    assert (state.verdict.exit_code, state.verdict.result) == (3, "failed")
    trial.check_reports(3)


def test_a_bug_ends_the_agent_and_leaves_reports(trial):
    def parse(line):
        raise ZeroDivisionError(KEY.reveal())

    trial.agent.parse = parse
    host = FakeHost(prints(BEGIN, hangs=True))
    state = trial.run(host)
    trial.check_reports(70)
    assert "a bug in codex-runner: ZeroDivisionError at test_runner.py" in state.verdict.reason
    assert host.running == []
    assert KEY.reveal() not in trial.folder.run_json.read_text()


# --- limits and wishes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "stream", "failure", "code"),
    [
        ({"timeout": 0.3}, BEGIN, Failure.TIMEOUT, 9),
        ({"stall": 0.3}, BEGIN, Failure.STALLED, 10),
        ({"command": 0.3}, BEGIN + COMMAND, Failure.COMMAND_TIMEOUT, 9),
        ({"exit_grace": 0.3}, REPLY, None, 0),
    ],
)
def test_limits(tmp_path, limits, stream, failure, code):
    trial = Trial(tmp_path, limits=generous(**limits))
    host = FakeHost(prints(stream, hangs=True))
    state = trial.run(host)
    trial.check_reports(code)
    assert state.attempts[0].ending.failure is failure
    assert host.running == []
    assert [w.code for w in state.warnings] == (["lingered"] if failure is None else [])


@pytest.mark.parametrize(("reason", "code"), [(StopReason.INTERRUPTED, 130), (StopReason.TERMINATED, 143)])
def test_signals(trial, reason, code):
    host = FakeHost(prints(BEGIN, hangs=True))

    async def twice(trial):
        await stop_when(lambda state: state.turns, reason)(trial)
        trial.stopping.request(StopReason.CANCELLED)

    trial.run(host, meanwhile=twice)
    trial.check_reports(code)
    assert host.running == []
    assert [event.reason for event in trial.events if isinstance(event, ev.StopRequested)] == [reason.value]


def test_a_signal_while_a_check_runs_still_gives_everything_back(tmp_path):
    trial = Trial(tmp_path, checks=(Check("slow", "sleep 60"), Check("never", "true")))
    cancelled = []

    async def sleep():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    host = FakeHost(prints(REPLY), answers={"sleep 60": sleep})
    started = stop_when(lambda _: any(isinstance(e, ev.CheckStarted) for e in trial.events), StopReason.TERMINATED)
    state = trial.run(host, meanwhile=started)
    trial.check_reports(143)
    assert cancelled
    assert "never" not in state.checks
    assert ("discard",) in host.asked


def test_a_check_on_a_host_that_goes_away_still_gives_everything_back(tmp_path):
    async def goes_away():
        raise HostError("devbox is out of reach.")

    trial = Trial(tmp_path, checks=(Check("c", "make"),))
    host = FakeHost(prints(REPLY), answers={"make": goes_away})
    trial.run(host)
    trial.check_reports(6)
    assert ("discard",) in host.asked


def test_a_reply_that_codexs_own_record_does_not_know_is_none(tmp_path):
    record = b'{"type":"event_msg","payload":{"type":"task_complete","last_agent_message":null}}\n'
    noise = b"sh: warning: setlocale: LC_ALL: cannot change locale\n"
    script = shell_script("codex_runner.codex", "rollout.sh")
    trial = Trial(tmp_path)
    state = trial.run(FakeHost(prints(REPLY), answers={script: Completed(0, noise + record + noise, 0.0)}))
    trial.check_reports(1)
    assert (state.reply, state.attempts[0].ending.failure) == (None, Failure.NO_REPLY)
    assert fold(trial.records).reply is None


def test_a_record_that_cannot_be_read_changes_nothing(tmp_path):
    host = FakeHost(prints(REPLY))
    host.fails["execute"] = HostError("devbox is out of reach.")
    trial = Trial(tmp_path)
    assert trial.run(host).reply == "done"
    trial.check_reports(0)


def test_checks_are_judged(tmp_path):
    trial = Trial(tmp_path, checks=(Check("good", "true"), Check("bad", "false")))
    output = b"x" * 100_000 + KEY.reveal().encode()
    state = trial.run(FakeHost(prints(REPLY), answers={"false": Completed(2, output, 1.0)}))
    trial.check_reports(1)
    assert (state.checks["good"].passed, state.checks["bad"].passed) == (True, False)
    assert state.checks["bad"].output.endswith("x***KEY***")
    assert len(state.checks["bad"].output) <= 64 * 1024


# --- attaching -----------------------------------------------------------------------------------------------------


def leave(trial, *events, copies=b""):
    """Write what a runner that was killed has left."""
    journal = FileJournal.create(trial.folder)
    recorder = Recorder(RunState(), journal, [], Redactor())
    for event in events:
        recorder.emit(event)
    if copies:
        journal.copy("stdout", copies)
    journal.close()


def started(trial):
    return ev.RunStarted(RUN, "docs", "local", {"job": ev.to_json(trial.job), "secrets": []})


def test_attaching_to_a_run_that_never_began_does_not_begin_it(trial):
    """The credential may be another by now, and codex would run without the environment that the job gave it."""
    leave(trial, started(trial))
    host = FakeHost(prints(REPLY))
    state = trial.run(host, attach=True)
    trial.check_reports(6)
    assert host.launches == []
    assert "before it started codex" in state.verdict.reason
    assert [type(event) for event in trial.events].count(ev.RunStarted) == 1


def test_attaching_to_an_attempt_that_never_began(trial):
    leave(trial, started(trial), ev.RunPrepared({}), ev.AttemptStarted(1))
    state = trial.run(FakeHost(prints(REPLY)), attach=True)
    trial.check_reports(6)
    assert state.attempts[0].ending.failure is Failure.NEVER_STARTED


def test_attaching_to_a_run_that_ended_in_time_and_is_read_later(tmp_path):
    """The job's time is over now, and was not when codex ended: nothing is to be stopped any more."""
    trial = Trial(tmp_path, limits=generous(timeout=0.2))
    leave(trial, started(trial), ev.RunPrepared({}), ev.AttemptStarted(1))
    time.sleep(0.3)
    state = trial.run(FakeHost(prints(REPLY, piece=1), present=[(RUN, 1)]), attach=True)
    trial.check_reports(0)
    assert state.attempts[0].stop is None


def test_attaching_to_an_attempt_that_is_just_being_born(trial):
    leave(trial, started(trial), ev.RunPrepared({}), ev.AttemptStarted(1))

    class Slow(FakeHost):
        async def follow(self, run_id, attempt, position):
            if len(self.asked) < 3:
                self._ask("follow", attempt)
                raise RunGoneError(f"run {run_id} has no attempt {attempt}.")
            async for piece in super().follow(run_id, attempt, position):
                yield piece

    state = trial.run(Slow(prints(REPLY), present=[(RUN, 1)]), attach=True)
    trial.check_reports(0)
    assert state.reply == "done"


@pytest.mark.parametrize("cut", range(0, len(BEGIN + COMMAND + REPLY) - len(BEGIN), 37))
def test_attaching_goes_on_where_the_other_stopped(tmp_path, cut):
    """The first runner dies after so many bytes; what both together left is what one would have."""
    stream = BEGIN + COMMAND + REPLY[len(BEGIN) :]
    alone, both = Trial(tmp_path / "alone"), Trial(tmp_path / "both")
    alone.run(FakeHost(prints(stream)))

    class Killed(BaseException):
        pass

    class Dies(FakeHost):
        async def follow(self, run_id, attempt, position):
            async for piece in super().follow(run_id, attempt, position):
                if piece.offset + len(piece.data) > cut:
                    raise Killed
                yield piece

    with pytest.raises(Killed):
        both.run(Dies(prints(stream, piece=1)))
    both.run(FakeHost(prints(stream), present=[(RUN, 1)]), attach=True)
    both.check_reports(0)
    ours = [event for event in both.events if not (isinstance(event, ev.AttemptStarted) and event.attached)]
    assert [event.kind for event in ours] == [event.kind for event in alone.events]
    said = ("item.", "turn.", "thread.")
    assert [e for e in ours if e.kind.startswith(said)] == [e for e in alone.events if e.kind.startswith(said)]
    assert both.folder.codex.read_bytes() == stream


def attached(tmp_path, stream, **limits):
    """Attach to a run whose codex has printed `stream`, of which all is on record, and says nothing more."""
    trial = Trial(tmp_path, limits=generous(**limits))

    class Killed(BaseException):
        pass

    class Dies(FakeHost):
        async def follow(self, run_id, attempt, position):
            yield await anext(super().follow(run_id, attempt, position))
            raise Killed

    with pytest.raises(Killed):
        trial.run(Dies(prints(stream)))
    host = FakeHost(prints(stream, hangs=True), present=[(RUN, 1)])
    return trial, trial.run(host, attach=True)


def test_a_command_that_was_open_is_still_open(tmp_path):
    _, state = attached(tmp_path, BEGIN + COMMAND, stall=0.3, command=1.0)
    assert state.attempts[0].ending.failure is Failure.COMMAND_TIMEOUT


def test_a_turn_that_was_over_is_still_over(tmp_path):
    trial, state = attached(tmp_path, REPLY, exit_grace=0.3)
    assert state.attempts[0].ending.failure is None
    trial.check_reports(0)
    assert [warning.code for warning in state.warnings] == ["lingered"]


def test_the_last_words_of_before_count(tmp_path):
    trial = Trial(tmp_path)
    leave(
        trial,
        started(trial),
        ev.RunPrepared({}),
        ev.AttemptStarted(1),
        ev.Diagnostic("ERROR", "Missing environment variable: `KEY`."),
    )
    state = trial.run(FakeHost(prints(code=1), present=[(RUN, 1)]), attach=True)
    assert state.attempts[0].ending.failure is Failure.CREDENTIAL
    assert "Missing environment variable" in state.verdict.reason


def test_what_was_judged_is_not_judged_again(tmp_path):
    trial = Trial(tmp_path, checks=(Check("first", "one"), Check("second", "two")))
    leave(
        trial,
        started(trial),
        ev.RunPrepared({}),
        ev.AttemptStarted(1),
        ev.TurnStarted(),
        ev.AttemptEnded(1, Ending(None, "codex completed its turn")),
        ev.CheckStarted("first", "one"),
        ev.CheckEnded("first", True, 0, 1.0, ""),
        ev.CheckStarted("second", "two"),
    )
    host = FakeHost(prints())
    trial.run(host, attach=True)
    trial.check_reports(0)
    assert [asked for asked in host.asked if asked[0] != "close"] == [("execute", "two"), ("discard",)]


def test_a_verdict_that_was_given_stands(trial):
    leave(trial, started(trial), ev.AttemptStarted(1), ev.RunEnded(130, "failed", "the runner was interrupted"))
    host = FakeHost(prints())
    trial.run(host, attach=True)
    trial.check_reports(130)
    assert [type(event) for event in trial.events].count(ev.RunEnded) == 1
    assert [what for what, *_ in host.asked] == ["close"]
