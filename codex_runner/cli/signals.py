"""INT, TERM and HUP, from the start of the process to its exit. No other module sets a handler for them.

At each moment one of these holds:

- `unwind`, from the start: a signal raises, so that logins are given back and scratch folders are removed.
- `Interruption`, while the command is logged in to Vault: a signal waits for the answer to a request, then raises.
- `Following`, while the command follows a run: a signal asks the run to stop, also if it comes before the run begins.
- `settle`, once the verdict stands: a signal ends the process at once, with the verdict's exit code. A run that
  succeeded is not green before its result is printed.

No signal is ever blocked: a process that is started meanwhile would keep it blocked for its whole life.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, TypeVar

from codex_runner.domain.cancellation import Stopped
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.run import StopReason
from codex_runner.engine.bounded import StopFlag

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from types import FrameType, TracebackType

T = TypeVar("T")

_Handler: TypeAlias = "Callable[[int, FrameType | None], Any] | signal.Handlers"

_REASONS: Final[Mapping[int, StopReason]] = {
    signal.SIGINT: StopReason.INTERRUPTED,
    signal.SIGTERM: StopReason.TERMINATED,
    signal.SIGHUP: StopReason.HUNG_UP,
}


def unwind() -> None:
    """Let TERM and HUP raise SystemExit, as INT raises KeyboardInterrupt. Comes first in the process."""
    for number in _asked() - {signal.SIGINT}:
        signal.signal(number, _unwind)
    # The parent may have ignored SIGCHLD: then the exit status of a child would be lost.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def settle(code: int | None) -> None:
    """End the process at once with `code` on a signal: the verdict stands, and only output is left to be written.

    The log may be a pipe that another process does not read: then the signal is the only way out. None stands for the
    signal's own exit code: the run succeeded, and its result has not been printed yet.
    """
    for number in _asked():
        signal.signal(number, lambda number, _: os._exit(128 + number if code is None else code))


class Following:
    """A context manager around a run and all that follows it. A signal asks the run to stop.

    `request` gets the reason for each signal, also before the run begins and after it has ended. If the run stops
    before it has begun (`Stopped`), the signal's earlier action is taken.
    """

    def __init__(self, request: Callable[[StopReason], None]) -> None:
        """`request` must be safe to call at any place of the program, any number of times."""
        self._request = request
        self._before: dict[int, _Handler] = {}
        self._first: int | None = None
        self._is_running = False

    def __enter__(self) -> Self:
        """Listen from now on."""
        self._before = {number: _replace(number, self._hear) for number in _asked()}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the earlier handlers, unless `settle` has set its own."""
        _restore(self._before, self._hear)
        if isinstance(error, Stopped) and self._first is not None:
            _do(self._before[self._first], self._first)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine in its own event loop, which a signal wakes up."""
        return asyncio.run(self._awake(work))

    async def _awake(self, work: Coroutine[Any, Any, T]) -> T:
        """Wake the event loop by a socket: Python runs handlers in the main thread alone, which may sleep in `select`.

        asyncio's own handlers would do the same. But between their removal and the next handler, a signal has its
        default action; to block it meanwhile protects the main thread alone.
        """
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            far.setblocking(False)
            loop.add_reader(near, self._read, near)
            signal.set_wakeup_fd(far.fileno(), warn_on_full_buffer=False)
            self._is_running = True
            try:
                return await work
            finally:
                self._is_running = False
                signal.set_wakeup_fd(-1)
                loop.remove_reader(near)
                with contextlib.suppress(BlockingIOError):
                    self._read(near)  # what came since the loop's last turn

    def _read(self, near: socket.socket) -> None:
        for number in near.recv(64):
            self._ask(number)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if not self._is_running:
            self._ask(number)

    def _ask(self, number: int) -> None:
        if (reason := _REASONS.get(number)) is not None:
            self._first = self._first or number
            self._request(reason)


def follow(request: Callable[[StopReason], None], work: Coroutine[Any, Any, T]) -> T:
    """Run the coroutine to its end, as `Following` does, for a command that has nothing to do afterwards."""
    with Following(request) as following:
        return following.run(work)


class Interruption(StopFlag):
    """The stop flag of INT, TERM and HUP, as a context manager for the main thread: for a command that holds a login.

    Inside it no signal raises, so that no request is torn between its answer and the note of it: the flag is set, and
    what waits for Vault ends soon. Only within `interruptibly` a signal raises at once, as it would without this. The
    first signal counts, and raises at the end at the latest. A signal that was ignored before stays ignored.
    """

    def __init__(self) -> None:
        """Sets no handler yet."""
        super().__init__()
        self._number: int | None = None
        self._before: dict[int, _Handler] = {}
        self._raising = self._raised = self._over = False

    def __enter__(self) -> Self:
        """Set the handlers. Does nothing outside the main thread."""
        if threading.current_thread() is threading.main_thread():
            for number in _REASONS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = _replace(number, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the earlier handlers, and raise what the first signal asked for."""
        self._over = True
        _restore(self._before, self._hear)
        if self._number is not None and not self._raised:
            self._end(self._number)

    def interruptibly(self, work: Callable[[], T]) -> T:
        """Call the function, which a signal may cut short at any place, and return its result."""
        try:
            self._raising = True
            if self._number is not None:
                self._end(self._number)
            return work()
        finally:
            self._raising = False

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if self._number is None:
            self._number = number
            self.set()
        if self._raising or self._over:
            self._end(number)

    def _end(self, number: int) -> None:
        self._raising, self._raised = False, True
        _do(self._before[number], number)


def _asked() -> set[signal.Signals]:
    """Return the signals that ask a command to end: not SIGHUP if it is ignored, as below `nohup`."""
    hangup = set() if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else {signal.SIGHUP}
    return {signal.SIGINT, signal.SIGTERM, *hangup}


def _unwind(number: int, _frame: object) -> None:
    for each in _asked() - {signal.SIGINT}:
        signal.signal(each, signal.SIG_IGN)  # a second signal would cut the unwinding short
    raise SystemExit(ExitCode.HUNG_UP if number == signal.SIGHUP else ExitCode.TERMINATED)


def _replace(number: int, handler: _Handler) -> _Handler:
    return signal.signal(number, handler) or signal.SIG_DFL  # type: ignore[return-value] # an int is a Handlers here


def _restore(before: dict[int, _Handler], ours: _Handler) -> None:
    for number, handler in before.items():
        if signal.getsignal(number) == ours:
            signal.signal(number, handler)


def _do(handler: _Handler, number: int) -> None:
    """Do what the earlier handler would have done. The default action is to end."""
    if callable(handler) and not isinstance(handler, signal.Handlers):
        handler(number, None)
    else:
        raise SystemExit(128 + number)
