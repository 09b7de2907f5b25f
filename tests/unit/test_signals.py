"""What INT, TERM and HUP do at each moment of a command."""

import asyncio
import os
import signal
import subprocess
import sys
import threading

import pytest

from codex_runner.cli.signals import Following, follow
from codex_runner.domain.cancellation import Stopped
from codex_runner.domain.run import StopReason
from codex_runner.engine.stopping import Stopping

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 30  # seconds: a defence against a hang


@pytest.fixture(autouse=True)
def handlers():
    """What the signals do before a command follows anything; all is put back."""

    def ended(number, _):
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, ended) for number in SIGNALS}
    yield ended
    assert {signal.getsignal(number) for number in SIGNALS} == {ended}, "a handler was left behind"
    for number, handler in before.items():
        signal.signal(number, handler)


def strike(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


async def wait(stopping):
    async with asyncio.timeout(PATIENCE):
        await stopping.wait()
    return stopping.stop.reason


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGINT, StopReason.INTERRUPTED),
        (signal.SIGTERM, StopReason.TERMINATED),
        (signal.SIGHUP, StopReason.HUNG_UP),
    ],
)
def test_a_signal_asks_the_run_to_stop(number, reason):
    stopping = Stopping()

    async def run():
        strike(number)
        return await wait(stopping)

    assert follow(stopping.request, run()) is reason


def test_a_signal_before_the_run_begins_is_kept():
    stopping = Stopping()
    with Following(stopping.request) as following:
        strike()
        strike(signal.SIGINT)
        assert following.run(wait(stopping)) is StopReason.TERMINATED, "the first one counts"


def test_a_signal_after_the_run_changes_nothing():
    stopping = Stopping()
    with Following(stopping.request) as following:
        assert following.run(asyncio.sleep(0, "its verdict")) == "its verdict"
        strike()


def test_a_signal_that_another_thread_is_handed_wakes_the_run_up():
    """Python runs handlers in the main thread alone, and that may sleep in `select` for ever."""
    stopping, over = Stopping(), threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()

    async def run():
        loop = asyncio.get_running_loop()
        loop.call_later(0.1, signal.pthread_kill, thread.ident, signal.SIGTERM)
        return await wait(stopping)

    try:
        assert follow(stopping.request, run()) is StopReason.TERMINATED
    finally:
        over.set()
        thread.join()


def test_a_run_that_stops_before_it_begins_ends_the_command_as_the_signal_would():
    stopping = Stopping()

    async def run():
        strike()
        await stopping.unless_stopped(asyncio.sleep(PATIENCE))

    with pytest.raises(SystemExit) as ended:
        follow(stopping.request, run())
    assert ended.value.code == 128 + signal.SIGTERM


def test_a_signal_in_the_last_step_of_a_run_is_heard():
    stopping = Stopping()

    async def run():
        strike()

    follow(stopping.request, run())
    assert stopping.stop.reason is StopReason.TERMINATED


def test_a_run_that_stops_without_a_signal_says_so():
    stopping = Stopping()

    async def run():
        stopping.request(StopReason.CANCELLED)
        stopping.raise_if_asked()

    with pytest.raises(Stopped):
        follow(stopping.request, run())


def test_a_hangup_that_was_ignored_stays_ignored(handlers):
    stopping = Stopping()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Following(stopping.request):
            strike(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, handlers)
    assert stopping.stop is None


def test_no_signal_is_blocked_in_what_is_started():
    async def run():
        shell = await asyncio.create_subprocess_exec("sh", "-c", "kill -TERM $$; echo blocked", stdout=subprocess.PIPE)
        output, _ = await shell.communicate()
        return shell.returncode, output

    assert follow(lambda _: None, run()) == (-signal.SIGTERM, b"")


@pytest.mark.parametrize("number", SIGNALS)
def test_once_the_verdict_stands_a_signal_does_not_change_the_exit_code(number):
    program = (
        "import os, sys\n"
        "from codex_runner.cli import signals\n"
        "signals.unwind()\n"
        "with signals.Following(print):\n"
        "    signals.settle(9)\n"
        "    os.kill(os.getpid(), int(sys.argv[1]))\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(int(number))], check=False).returncode == 9
