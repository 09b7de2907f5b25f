"""A forge's limits: which failures can pass, how long a forge asks to wait, and the pace of what makes content."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

from codex_runner.engine.server_faults import retry_after

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from codex_runner.delivery.answer import Answer

MINUTE: Final = 60.0
CREATIONS: Final = 80
"""GitHub's secondary limit for requests that make content, in a minute."""

_TRANSIENT: Final = frozenset({408, 425, 429})
_NO_RETRY: Final = frozenset({501, 505})  # the server will never be able to
# GitHub's words, in lower case. It sends a limit as 403, as 429, and by GraphQL as 200.
_LIMITED: Final = ("secondary rate limit", "rate limit exceeded", "abuse detection")
# GraphQL's words for a server's error, sent as 200.
_WRONG: Final = "something went wrong while executing your query"


def is_passing(answer: Answer) -> bool:
    """Whether a failure can pass by itself, so that the same request may succeed later."""
    server = answer.status >= 500 and answer.status not in _NO_RETRY
    return server or answer.status in _TRANSIENT or is_limited(answer) or _has_graphql_error(answer, _WRONG)


def is_limited(answer: Answer) -> bool:
    """Whether a forge refuses a request because there were too many."""
    if answer.status == 429:
        return True
    if answer.status == 200:
        return _has_graphql_error(answer, *_LIMITED)
    if answer.status != 403:
        return False
    exhausted = answer.headers.get("x-ratelimit-remaining") == "0"
    return exhausted or "retry-after" in answer.headers or any(words in answer.words.lower() for words in _LIMITED)


def wait_of(answer: Answer) -> float | None:
    """Return the seconds that a forge asks to wait, None if it does not say."""
    asked = retry_after(answer.headers.get("retry-after", ""))
    if asked is not None:
        return asked
    # GitHub's names, and GitLab's.
    for prefix in ("x-ratelimit", "ratelimit"):
        reset = answer.headers.get(f"{prefix}-reset", "")
        if answer.headers.get(f"{prefix}-remaining") == "0" and reset.isascii() and reset.isdigit():
            return max(0.0, float(reset[:12]) - time.time()) + 1.0  # the clocks differ
    return None


def _has_graphql_error(answer: Answer, *words: str) -> bool:
    if answer.status != 200 or b'"errors"' not in answer.content:
        return False
    document = answer.document
    if not isinstance(document, dict) or not document.get("errors"):
        return False
    said = answer.words.lower()
    return any(each in said for each in words)


class WritePace:
    """Keeps requests that make content below a number a minute."""

    def __init__(self, now: Callable[[], float], sleep: Callable[[float], Awaitable[None]]) -> None:
        """Begin with none made."""
        self._now, self._sleep = now, sleep
        self._made: deque[float] = deque(maxlen=CREATIONS)

    async def take(self) -> None:
        """Wait until one more may be made."""
        if len(self._made) == CREATIONS:
            left = self._made[0] + MINUTE - self._now()
            if left > 0:
                await self._sleep(left)
        self._made.append(self._now())
