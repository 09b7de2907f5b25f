"""Calls of a third party's server, bounded in time and size: whatever it sends, and however slowly."""

from __future__ import annotations

import contextlib
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

ANSWER_BYTES: Final = 8 << 20
"""More than any answer that is needed has: a listing of 100,000 tokens."""

_GLANCE: Final = 0.05  # seconds between two looks at whether a caller has been told to stop


class StoppedError(Exception):
    """The caller was told to stop, and the call was given up."""


class Wish:
    """Whether somebody wants the caller to stop. Unlike threading.Event it may be set by a signal's handler.

    An Event that is set by a handler deadlocks if its own thread is just about to wait for it.
    """

    def __init__(self) -> None:
        """Nobody does yet."""
        self._is_set = False
        self._awake: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Want it from now on. Idempotent."""
        self._is_set = True
        self._awake.put(None)

    def is_set(self) -> bool:
        """Whether somebody does."""
        return self._is_set

    def wait(self, seconds: float) -> bool:
        """Wait for so long, or until somebody does. For one thread at a time. Returns `is_set`."""
        if not self._is_set and seconds > 0:
            with contextlib.suppress(Empty):
                self._awake.get(timeout=seconds)
        return self._is_set

    def interruptibly(self, work: Callable[[], T]) -> T:
        """Do what may be cut short at any place, and return what it returns. See cli/signals.py."""
        return work()


def run_within(
    seconds: float, work: Callable[[], T], *, wish: Wish, grace: float = 0.0, abandon: Callable[[int], None]
) -> T:
    """Return what `work` returns or raise what it raises; give it up after so many seconds.

    `work` runs in a thread of its own: names that are not resolved, headers and bodies that trickle, nothing in it can
    hold the caller. TimeoutError if it took too long; StoppedError if it was not over `grace` seconds after the `wish`
    to stop. Then `abandon` gets the thread's identity, to cut what it waits for.
    """
    done: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def run() -> None:
        try:
            done.put((work(), None))
        except BaseException as error:  # noqa: BLE001 - it is raised where somebody waits for it
            done.put((None, error))

    thread = threading.Thread(target=run, name="call", daemon=True)
    thread.start()
    until = time.monotonic() + seconds
    stopping = False
    while True:
        if wish.is_set() and not stopping:
            stopping, until = True, min(until, time.monotonic() + grace)
        left = until - time.monotonic()
        try:
            value, error = done.get(timeout=max(0.0, min(left, _GLANCE)))
        except Empty:
            if left > 0:
                continue
            abandon(thread.ident or 0)
            if stopping:
                raise StoppedError from None
            raise TimeoutError from None
        if error is not None:
            raise error
        return value  # type: ignore[return-value] # there is one if there is no error
