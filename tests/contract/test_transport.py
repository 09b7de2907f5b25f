"""What every Transport does. `host` is each implementation in turn; the children really misbehave."""

import asyncio
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.launches import TICK, collect, launch, processes_of, wait_until

from codex_runner.domain.cksum import cksum
from codex_runner.domain.errors import ConfigurationError, HostError
from codex_runner.domain.event import Position
from codex_runner.domain.host import Ended, Lost, Output
from codex_runner.domain.run import StopReason, Sweep, new_run_id
from codex_runner.domain.secret import Secret


@pytest.fixture
def tick():
    return TICK


def test_hands_over_every_byte_and_the_exit(host, run):
    async def work():
        job = launch("echo", 3, prompt=b"line one\n\xff\xfeline two, no newline")
        assert (await host.start(job)).new
        return await collect(host, job.run_id)

    stdout, stderr, last = run(work())
    assert stdout == b"line one\n\xff\xfeline two, no newline".decode("utf-8", "surrogateescape").encode(
        "utf-8", "surrogateescape"
    )
    assert stderr == b"to stderr\n"
    assert isinstance(last, Ended)
    assert (last.exit.code, last.exit.signal, last.exit.stopped) == (3, None, StopReason.NONE)
    assert (last.exit.stdout_size, last.exit.stdout_cksum) == (len(stdout), cksum(stdout))
    assert last.exit.stderr_size == len(stderr)


def test_a_second_start_joins_the_first(host, run):
    async def work():
        job = launch("lines", 5, 0.05)
        answers = await asyncio.gather(*(host.start(job) for _ in range(6)))
        return answers, await collect(host, job.run_id)

    answers, (stdout, _, _) = run(work())
    assert [answer.new for answer in answers].count(True) == 1
    assert stdout.count(b'"number":0') == 1


@pytest.mark.parametrize("at", [0, 1, 29, 30, 31, 100])
def test_follows_from_any_offset(host, run, at):
    async def work():
        job = launch("lines", 10, 0)
        await host.start(job)
        whole, _, _ = await collect(host, job.run_id)
        part, _, last = await collect(host, job.run_id, position=Position(stdout=at))
        return whole, part, last

    whole, part, last = run(work())
    assert part == whole[at:]
    assert isinstance(last, Ended)


def test_two_followers_see_the_same(host, run):
    async def work():
        job = launch("lines", 20, 0.01)
        await host.start(job)
        return await asyncio.gather(collect(host, job.run_id), collect(host, job.run_id))

    first, second = run(work())
    assert first == second


def test_a_large_output_arrives_whole(host, run):
    async def work():
        job = launch("bytes", 5_000_000)
        await host.start(job)
        return await collect(host, job.run_id)

    stdout, _, last = run(work())
    assert stdout == b"x" * 5_000_000
    assert last.exit.stdout_cksum == cksum(stdout)


def test_a_large_stderr_arrives_whole_and_in_pieces(host, run):
    async def work():
        job = launch("errors", 3_000_000)
        await host.start(job)
        return [piece async for piece in host.follow(job.run_id, 1, Position())]

    *pieces, last = run(work())
    assert b"".join(piece.data for piece in pieces) == b"y" * 3_000_000
    assert {piece.stream for piece in pieces} == {"stderr"}
    assert max(len(piece.data) for piece in pieces) <= 1 << 20, "no more is held at once"
    assert last.exit.stderr_size == 3_000_000


def test_bytes_come_while_the_child_runs(host, run):
    async def work():
        job = launch("hangs")
        await host.start(job)
        async for piece in host.follow(job.run_id, 1, Position()):
            if isinstance(piece, Output):
                await host.stop(job.run_id, 1, StopReason.CANCELLED)
        return piece

    assert run(work()).exit.stopped is StopReason.CANCELLED


def test_the_child_has_its_directory_its_environment_and_no_more(host, run, tmp_path, monkeypatch):
    value = "it's a \\secret\\n with\nlines, $dollars and `ticks`\n"

    async def work():
        job = launch("environment", cwd=tmp_path, environment={"GIVEN": Secret("given", value), "PLAIN": "p"})
        await host.start(job)
        return await collect(host, job.run_id)

    text = run(work())[0].decode()
    assert f"cwd={str(tmp_path)!r}" in text
    assert f"GIVEN={value!r}" in text
    assert "PLAIN='p'" in text
    assert "VAULT_TOKEN" not in text
    assert "HOST_SECRET" not in text
    assert "RUNNER_TRACKING_ID='tracked'" in text
    assert "CODEX_HOME=" in text


def test_the_configuration_lies_in_codex_home(host, run, tmp_path):
    async def work():
        job = launch("environment", config="model = 'é'\n")
        await host.start(job)
        stdout, _, _ = await collect(host, job.run_id)
        home = next(line for line in stdout.decode().splitlines() if line.startswith("CODEX_HOME="))
        return job.run_id, Path(home.partition("=")[2].strip("'"), "config.toml")

    run_id, path = run(work())
    assert path.parts[-4:] == ("runs", run_id, "home", "config.toml")
    assert path.read_text() == "model = 'é'\n"
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("schema", [None, '{"title": "é"}\n', "x" * 200_000])
def test_a_schema_lies_beside_it(host, run, schema):
    async def work():
        job = launch("environment", schema=schema, prompt=b"p\n" * 5000)
        await host.start(job)
        stdout, _, _ = await collect(host, job.run_id)
        home = next(line for line in stdout.decode().splitlines() if line.startswith("CODEX_HOME="))
        return Path(home.partition("=")[2].strip("'"), "output-schema.json")

    path = run(work())
    assert (path.read_text() if path.exists() else None) == schema


def test_stops_with_the_first_reason(host, run):
    async def work():
        job = launch("hangs")
        await host.start(job)
        await host.stop(job.run_id, 1, StopReason.STALLED)
        await host.stop(job.run_id, 1, StopReason.CANCELLED)
        result = await collect(host, job.run_id)
        await host.stop(job.run_id, 1, StopReason.CANCELLED)
        return result

    _, _, last = run(work())
    assert last.exit.stopped is StopReason.STALLED


def test_ends_a_child_that_ignores_signals_all_the_same(host, run):
    async def work():
        job = launch("ignores-signals")
        await host.start(job)
        async for piece in host.follow(job.run_id, 1, Position()):
            if isinstance(piece, Output) and b"turn.started" in piece.data:
                break
        await host.stop(job.run_id, 1, StopReason.INTERRUPTED)
        return job.run_id, await collect(host, job.run_id)

    run_id, (_, _, last) = run(work())
    assert last.exit.signal == signal.SIGKILL
    wait_until(lambda: processes_of(run_id) == [], 60)


@pytest.mark.parametrize("mode", ["leaks-stdout", "forks-away"])
def test_sweeps_what_a_child_leaves_behind(host, run, mode):
    async def work():
        job = launch(mode)
        await host.start(job)
        return job.run_id, await collect(host, job.run_id)

    run_id, (stdout, _, last) = run(work())
    assert b"turn.completed" in stdout
    assert last.exit.code == 0
    assert last.exit.killed >= 1
    wait_until(lambda: processes_of(run_id) == [], 60)


def test_sweeps_what_forks_as_fast_as_it_can(host, run, tmp_path):
    beat = tmp_path / "beat"
    beat.touch()

    async def work():
        job = launch("flees", beat, 30)
        await host.start(job)
        return await collect(host, job.run_id)

    _, _, last = run(work())
    before = beat.stat().st_mtime_ns
    time.sleep(0.5)
    assert (last.exit.swept, beat.stat().st_mtime_ns) == (Sweep.CLEAN, before)


def test_says_which_signal_ended_the_child(host, run):
    async def work():
        job = launch("dies")
        await host.start(job)
        return await collect(host, job.run_id)

    _, _, last = run(work())
    assert (last.exit.code, last.exit.signal) == (None, signal.SIGKILL)


def test_the_supervisor_keeps_the_time_by_itself(host, run):
    async def work():
        job = launch("hangs", timeout=-8 * TICK)  # with the supervisor's grace of ten ticks on top: two
        await host.start(job)
        return await collect(host, job.run_id)

    assert run(work())[2].exit.stopped is StopReason.TIMEOUT


def test_a_supervisor_counts_in_ticks(host, run, pid_file):
    """All of its times shrink alike, and the files of the run directory say so."""

    async def work():
        job = launch("ignores-signals", timeout=-5 * TICK, orphan=60)
        await host.start(job)
        _, _, last = await collect(host, job.run_id)
        return pid_file(job.run_id).with_name("request").read_text().split()[3:7], last

    (timeout, orphan, _, tick), last = run(work())
    assert (timeout, orphan, tick) == ("5", "600", "0.1")
    assert (last.exit.stopped, last.exit.signal) == (StopReason.TIMEOUT, signal.SIGKILL)


def test_an_agent_that_nobody_follows_is_ended(host, run, pid_file):
    async def work():
        job = launch("hangs", orphan=2 * TICK)
        await host.start(job)
        ended = pid_file(job.run_id).with_name("exit").exists
        await asyncio.to_thread(wait_until, ended, 60)
        return await collect(host, job.run_id)

    assert run(work())[2].exit.stopped is StopReason.ORPHANED


def test_an_agent_that_somebody_follows_lives(host, run):
    async def work():
        job = launch("lines", 8, 0.5, orphan=20 * TICK)
        await host.start(job)
        return await collect(host, job.run_id)

    stdout, _, last = run(work())
    assert stdout.count(b"tick") == 8
    assert last.exit.stopped is StopReason.NONE


def test_following_what_is_not_there_is_an_error(host, run):
    with pytest.raises(HostError, match="no attempt"):
        run(collect(host, new_run_id("test")))


def test_stopping_and_discarding_what_is_not_there_is_not(host, run):
    async def work():
        await host.stop(new_run_id("test"), 1, StopReason.CANCELLED)
        await host.discard(new_run_id("test"))

    run(work())


def immutable(path, sign):
    return subprocess.run(["chattr", sign, path], check=False, capture_output=True).returncode == 0


def test_what_cannot_be_discarded_is_told(host, run, pid_file):
    async def work():
        job = launch("reply")
        await host.start(job)
        await collect(host, job.run_id)
        home = pid_file(job.run_id).parents[2] / "home"
        if not immutable(home, "+i"):
            pytest.skip("nothing here can be made immutable")
        try:
            with pytest.raises(HostError, match="cannot be removed"):
                await host.discard(job.run_id)
        finally:
            immutable(home, "-i")
        await host.discard(job.run_id)
        return home

    assert not run(work()).parent.exists()


def test_discards_everything(host, run):
    async def work():
        job = launch("reply")
        await host.start(job)
        await collect(host, job.run_id)
        await host.discard(job.run_id)
        with pytest.raises(HostError):
            await collect(host, job.run_id)

    run(work())


def test_a_second_attempt_does_not_start_beside_a_live_one(host, run):
    async def work():
        job = launch("hangs")
        await host.start(job)
        try:
            with pytest.raises(HostError, match="still going"):
                await host.start(launch("reply", run_id=job.run_id, attempt=2))
        finally:
            await host.stop(job.run_id, 1, StopReason.CANCELLED)
            await collect(host, job.run_id)
        assert (await host.start(launch("reply", run_id=job.run_id, attempt=2))).new
        await collect(host, job.run_id, attempt=2)

    run(work())


def test_a_program_that_is_missing_is_a_clear_error(host, run):
    job = launch("reply")
    object.__setattr__(job, "command", ("/no/such/codex", "exec"))
    with pytest.raises(ConfigurationError, match="/no/such/codex"):
        run(host.start(job))


def test_a_directory_that_is_missing_is_a_clear_error(host, run):
    with pytest.raises(ConfigurationError, match="/no/such/folder"):
        run(host.start(launch("reply", cwd="/no/such/folder")))


def test_a_command_that_ends_at_once_is_not_waited_for(host, run):
    """The clock beside it is told to go in the moment in which it starts its sleep."""

    async def many():
        async with asyncio.timeout(60):
            return [await host.execute("exit 3", timeout=3600) for _ in range(40)]

    assert {done.exit_code for done in run(many())} == {3}


def test_executes_a_script_with_hostile_arguments(host, run, tmp_path):
    hostile = ["", "$(touch pwned)", "a b", "", "'\"", "-n", "new\nline", "`id`", "*", ""]
    done = run(host.execute('printf "<%s>" "$@"', cwd=str(tmp_path), arguments=hostile, timeout=10))
    assert done.exit_code == 0
    assert done.output.decode() == "".join(f"<{each}>" for each in hostile)
    assert list(tmp_path.iterdir()) == []


def test_ends_a_script_that_takes_too_long(host, run, tmp_path):
    done = run(host.execute("echo before; sleep 600 & sleep 600", cwd=str(tmp_path), timeout=0.5))
    assert done.exit_code is None
    assert b"before" in done.output


def test_a_killed_supervisor_is_noticed(host, run, supervisor_pid):
    async def work():
        job = launch("hangs")
        await host.start(job)
        os.kill(supervisor_pid(job.run_id), signal.SIGKILL)
        _, _, last = await collect(host, job.run_id)
        assert isinstance(last, Lost)
        # And what it leaves can still be ended.
        await host.stop(job.run_id, 1, StopReason.CANCELLED)
        _, _, last = await collect(host, job.run_id)
        assert isinstance(last, Ended)
        assert last.exit.swept is Sweep.BEST_EFFORT
        return job.run_id

    run_id = run(work())
    wait_until(lambda: processes_of(run_id) == [], 60)


def ticks(attempt):
    """How many have been counted; 0 while the file is not there, or is being written."""
    words = (attempt / "ticks").read_text().split() if (attempt / "ticks").exists() else []
    return int(words[0]) if words else 0


def test_a_killed_supervisor_leaves_no_agent_even_when_nobody_asks(host, run, pid_file, supervisor_pid):
    async def work():
        job = launch("forks-away-and-hangs")
        await host.start(job)
        attempt = pid_file(job.run_id).parent
        await asyncio.to_thread(wait_until, (attempt / "stdout").read_bytes, 60)
        await asyncio.to_thread(wait_until, lambda: ticks(attempt) > 0, 60)
        since = ticks(attempt)
        await asyncio.to_thread(wait_until, lambda: ticks(attempt) > since, 60)
        os.kill(supervisor_pid(job.run_id), signal.SIGKILL)
        return job.run_id

    run_id = run(work())
    wait_until(lambda: processes_of(run_id) == [], 60)


@pytest.mark.parametrize(("word", "message"), [(0, "another host"), (1, "rebooted"), (3, "was killed")])
def test_a_run_whose_host_is_not_what_it_was_is_lost(host, run, pid_file, word, message):
    """A changed word is what a reboot leaves, or a home that several hosts share."""

    def say(words, run_id):
        changed = pid_file(run_id).with_name("pid.changed")
        changed.write_text(" ".join(words) + "\n")
        changed.replace(pid_file(run_id))  # a follower looks meanwhile, and must never see half of it

    async def work():
        job = launch("hangs")
        await host.start(job)
        words = pid_file(job.run_id).read_text().split()
        say([*words[:word], "1", *words[word + 1 :]], job.run_id)
        _, _, last = await collect(host, job.run_id)
        say(words, job.run_id)
        await host.stop(job.run_id, 1, StopReason.CANCELLED)
        _, _, again = await collect(host, job.run_id)
        return last, again

    last, again = run(work())
    assert isinstance(last, Lost)
    assert message in last.message
    assert isinstance(again, Ended)
