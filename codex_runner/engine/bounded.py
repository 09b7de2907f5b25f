"""Deadlines for calls of a third party's server, which may answer slowly, without an end, or not at all."""

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
"""The largest answer that is read, in bytes: more than a listing of 100,000 tokens."""

_GLANCE: Final = 0.05  # seconds between two looks at whether a caller has been told to stop


class StoppedError(Exception):
    """The run is to stop, and the call was given up."""


class StopFlag:
    """A stop flag for blocking calls. Unlike threading.Event, a signal handler may set it.

    An Event that a handler sets deadlocks if the handler's own thread is just about to wait for it.
    """

    def __init__(self) -> None:
        """Begin unset."""
        self._is_set = False
        self._awake: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Set the flag. Idempotent."""
        self._is_set = True
        self._awake.put(None)

    def is_set(self) -> bool:
        """Whether the flag is set."""
        return self._is_set

    def wait(self, seconds: float) -> bool:
        """Wait for `seconds`, or until the flag is set. Returns `is_set`. For one thread at a time."""
        if not self._is_set and seconds > 0:
            with contextlib.suppress(Empty):
                self._awake.get(timeout=seconds)
        return self._is_set

    def interruptibly(self, work: Callable[[], T]) -> T:
        """Return `work()`, which a signal may interrupt at any point. See cli/signals.py."""
        return work()


def run_within(
    seconds: float, work: Callable[[], T], *, stop: StopFlag, grace: float = 0.0, abandon: Callable[[int], None]
) -> T:
    """Return what `work` returns, or raise what it raises; give it up after `seconds`.

    `work` runs in a thread of its own, so that a name that does not resolve or a body that trickles cannot hold the
    caller. Raises TimeoutError if it takes too long, StoppedError if it is not over `grace` seconds after `stop` was
    set. Before that, `abandon` gets the thread's identity, to close what the thread waits for.
    """
    done: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def run() -> None:
        try:
            done.put((work(), None))
        except BaseException as error:  # noqa: BLE001 - the waiting caller raises it
            done.put((None, error))

    thread = threading.Thread(target=run, name="call", daemon=True)
    thread.start()
    until = time.monotonic() + seconds
    stopping = False
    while True:
        if stop.is_set() and not stopping:
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
