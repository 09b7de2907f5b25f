"""Retry with exponential backoff and jitter, decided by the class of the failure. Pure; all times are in seconds.

Only failures that can pass by themselves are retried: a refusal or an exceeded quota would be the same again. If the
service names a time ("try again in 20s"), the pause is at least that; if it does not fit into the time left, there is
no retry. codex retries by itself before it gives up: its tries count, and the backoff continues from them.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.domain.failure import Failure
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    import random

    from tenacity import RetryCallState

    from codex_runner.domain.policy import RetryPolicy


@dataclass(frozen=True, slots=True)
class RetryIn:
    """Retry after `seconds`. `resume`: resume the thread if there is one; otherwise start afresh."""

    seconds: float
    resume: bool
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not retry; `reason` is a sentence. `might_pass`: a retry could have helped, but none is left."""

    reason: str
    might_pass: bool = True


@dataclass(frozen=True, slots=True)
class Pace:
    """Exponential backoff from `first` up to `longest` seconds. Half of each pause is jitter, so that jobs spread."""

    first: float
    longest: float


# By class of failure: how soon each can pass.
PACES = {
    Failure.CAPACITY: Pace(15.0, 240.0),
    Failure.RATE_LIMIT: Pace(20.0, 300.0),
    Failure.NETWORK: Pace(5.0, 120.0),
    Failure.TRANSPORT: Pace(2.0, 60.0),
    Failure.STALLED: Pace(1.0, 30.0),
    Failure.THREAD_LOST: Pace(1.0, 30.0),
}

# Retried only if the message names the time at which they end.
_ENDS_BY_ITSELF = frozenset({Failure.QUOTA})

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = r"(\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])"
_IN = re.compile(rf"(?:try|retry)(?: again)? (?:in|after) ((?:{_SPAN}[\s,]*(?:and )?)+)", re.IGNORECASE)
_PIECE = re.compile(_SPAN, re.IGNORECASE)
_HEADER = re.compile(r"retry[-_ ]after\W{1,4}(\d+(?:\.\d+)?)\b", re.IGNORECASE)
_AT = re.compile(
    r"(?:try|retry)(?: again)? at (?:([a-z]{3})[a-z]* (\d{1,2})(?:st|nd|rd|th)?,? (\d{4}),? (?:at )?)?"
    r"(\d{1,2}):(\d{2})(?::\d{2})?(?:\s?([ap])\.?m\b\.?)?",
    re.IGNORECASE,
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_MINUTE = 60.0
_JUST_PAST = dt.timedelta(hours=1)


def decide(  # noqa: PLR0913 - all that a decision rests on
    policy: RetryPolicy,
    failure: Failure,
    message: str,
    *,
    attempt: int,
    elapsed: float,
    deadline: float,
    rng: random.Random,
    now: dt.datetime,
    own_retries: int = 0,
) -> RetryIn | GiveUp:
    """Decide whether to retry after attempt number `attempt` (from 1), which ended in `failure` with `message`.

    `elapsed` and `deadline` (the job's timeout) count from the run's start. `now` is the host's wall clock with its
    time zone, in which codex names times of the day. `own_retries` counts codex's own retries over the whole run.
    """
    told = told_pause(message, now)
    if not failure.retried and not (failure in _ENDS_BY_ITSELF and told is not None):
        return GiveUp(f"{failure.value} is not retried: {failure.meaning}", might_pass=False)
    if attempt >= policy.attempts:
        return GiveUp(f"{attempt} of {policy.attempts} attempts are used (retry.attempts)")
    if attempt + own_retries >= policy.tries:
        return GiveUp(f"{attempt} attempts and {own_retries} tries of codex's own reach retry.tries ({policy.tries})")
    # The service's time is a minimum: jitter on top keeps waiting jobs from retrying all at once.
    pace = PACES.get(failure, PACES[Failure.RATE_LIMIT])
    pause = _pause(pace, attempt + (own_retries > 0), rng) if told is None else told + rng.random() * min(10, 1 + told)
    end = deadline if policy.total is None else min(deadline, policy.total)
    left = end - elapsed - pause
    if left < policy.least:
        said = "the service asks for" if told is not None else "the next attempt would come after"
        return GiveUp(f"{said} {format_duration(pause)}, and only {format_duration(end - elapsed)} are left")
    asked = ", when the service said" if told is not None else ""
    return RetryIn(pause, failure is not Failure.THREAD_LOST, f"because of {failure.value}{asked}")


def told_pause(message: str, now: dt.datetime) -> float | None:
    """Return the seconds after which a message says to try again. Returns None if it names no time."""
    if found := _IN.search(message):
        return sum(float(number) * _unit(word) for number, word in _PIECE.findall(found[1]))
    if found := _HEADER.search(message):
        return float(found[1])
    found = _AT.search(message)
    return None if found is None else _until(found, now)


def _unit(word: str) -> float:
    word = word.lower()
    return _UNITS["ms"] if word.startswith(("ms", "milli")) else _UNITS[word[0]]


def _until(found: re.Match[str], now: dt.datetime) -> float | None:
    month, day, year, hour, minute, half = found.groups()
    hours = int(hour) % 12 + (12 if half.lower() == "p" else 0) if half else int(hour)
    try:
        at = now.replace(hour=hours, minute=int(minute), second=0, microsecond=0)
        if month:
            at = at.replace(year=int(year), month=_MONTHS.index(month.lower()) + 1, day=int(day))
        elif at < now - _JUST_PAST:
            at += dt.timedelta(days=1)
    except ValueError:  # no such time
        return None
    # The message is cut to the minute: round up to the next one.
    return max(0.0, (at - now).total_seconds() + _MINUTE)


def _pause(pace: Pace, number: int, rng: random.Random) -> float:
    from tenacity import RetryCallState, wait_exponential

    state: RetryCallState = RetryCallState(None, None, (), {})  # type: ignore[arg-type]  # no call: only its number is read
    state.attempt_number = number
    whole = wait_exponential(multiplier=pace.first, max=pace.longest)(state)
    return whole * (0.5 + rng.random() / 2)
