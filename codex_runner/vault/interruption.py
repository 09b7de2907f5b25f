"""Signals that wait: a command that holds a login of ours is never cut short between two of its steps."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Final, Self, TypeVar

from codex_runner.engine.bounded import Wish

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

T = TypeVar("T")

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption(Wish):
    """The wish of INT, TERM or HUP, as a context manager for the main thread.

    Inside it no signal raises, so that no request is torn between its answer and the note of it: the wish is set, and
    what waits for Vault ends soon. Only within `interruptibly` a signal raises at once, as it would without this. The
    first signal counts, and raises at the end at the latest. A signal that was ignored before stays ignored.
    """

    def __init__(self) -> None:
        """Nothing is heard yet."""
        super().__init__()
        self.number: int | None = None
        """The signal that came first."""
        self._before: dict[int, Callable[[int, FrameType | None], object] | signal.Handlers] = {}
        self._raising = self._raised = self._over = False

    def __enter__(self) -> Self:
        """Listen from now on. Elsewhere than in the main thread nothing is heard."""
        if threading.current_thread() is threading.main_thread():
            for number in _ENDING:
                before = signal.getsignal(number)
                if callable(before) or before is signal.SIG_DFL:
                    self._before[number] = before
                    signal.signal(number, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the signals do again what they did, and raise what one of them wanted."""
        self._over = True
        for number, before in self._before.items():
            if signal.getsignal(number) == self._hear:
                signal.signal(number, before)
        if self.number is not None and not self._raised:
            self._end(self.number)

    def interruptibly(self, work: Callable[[], T]) -> T:
        """Do what may be cut short at any place, and return what it returns."""
        try:
            self._raising = True
            if self.number is not None:
                self._end(self.number)
            return work()
        finally:
            self._raising = False

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if self.number is None:
            self.number = number
            self.set()
        if self._raising or self._over:
            self._end(number)

    def _end(self, number: int) -> None:
        self._raising, self._raised = False, True
        before = self._before[number]
        if callable(before):
            before(number, None)
        else:
            raise SystemExit(128 + number)
