"""What codex's messages mean: the class of a failure, told from its words, its exit code and its stderr.

codex types none of its errors in `exec --json`, so the words are matched; docs/failures.md is written from this table.
A message that nothing matches is `unknown`, kept word for word, and never a success.
"""

from __future__ import annotations

import re

from codex_runner.domain.run import Ending, Failure, ProcessExit, StopReason
from codex_runner.domain.state import TURN_COMPLETED, TURN_FAILED, Attempt

# First match wins: the particular before the general. Apostrophes may be typographic.
MESSAGES: tuple[tuple[re.Pattern[str], Failure], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), failure)
    for pattern, failure in (
        (r"hit your usage limit|usage limit has been reached|usage_limit_reached", Failure.QUOTA),
        (r"quota exceeded|insufficient_quota|exceeded your current quota|check your plan and billing", Failure.QUOTA),
        (
            r"status 40[13]\b|unauthorized|forbidden|invalid_api_key|token (has )?expired|not logged in",
            Failure.CREDENTIAL,
        ),
        (r"cloud config bundle|workspace-managed policies", Failure.CREDENTIAL),
        (r"missing environment variable", Failure.CREDENTIAL),
        (r"status: 429|too many requests|rate limit", Failure.RATE_LIMIT),
        (r"context window|context_length_exceeded|ran out of room", Failure.CONTEXT_FULL),
        (r"model does not exist|model_not_found|model .{1,80} (is )?not (found|supported)", Failure.UNKNOWN_MODEL),
        (r"at capacity|overloaded|experiencing high demand|internal server error|status 5\d\d", Failure.CAPACITY),
        (r"stream disconnected|idle timeout|connection (failed|refused|reset)|error sending request", Failure.NETWORK),
        (r"transport error|network error|dns error|timed out|waiting for network", Failure.NETWORK),
        (r"bad request|invalid_request_error|status 400", Failure.BAD_REQUEST),
        (r"thread/resume failed", Failure.THREAD_LOST),
    )
)

_TOO_LONG = "Have the agent write what is large into a file, and reply with its name."
_RECONNECTING = re.compile(r"^Reconnecting\.\.\. \d+/\d+ ")


def classify(message: str) -> Failure:
    """Return the class of a failure message of codex."""
    return next((failure for pattern, failure in MESSAGES if pattern.search(message)), Failure.UNKNOWN)


def judge(attempt: Attempt, exit_: ProcessExit, stderr_tail: str, *, expect_message: bool = True) -> Ending:
    """Say how an attempt ended that nobody stopped (but for a codex that lingered after its final event)."""
    if attempt.turn == TURN_FAILED:
        message = attempt.turn_error or "turn.failed without a message"
        return Ending(classify(message), f"codex: {message}")
    if attempt.turn == TURN_COMPLETED:
        return _judge_completed(attempt, exit_, expect_message=expect_message)
    last_words = _last_words(stderr_tail)
    if attempt.turn is None and exit_.code not in (None, 0):
        failure = classify(last_words)
        return Ending(
            Failure.STARTUP if failure is Failure.UNKNOWN else failure,
            f"codex did not start ({exit_}): {last_words or 'it said nothing'}",
        )
    said = f"; the last error was: {attempt.last_error}" if attempt.last_error else ""
    said += f"; {attempt.unread}" if attempt.unread else ""
    return Ending(Failure.INCOMPLETE, f"codex ended with {exit_} and without a final event{said}")


def _judge_completed(attempt: Attempt, exit_: ProcessExit, *, expect_message: bool) -> Ending:
    """Look for what contradicts a completed turn."""
    failure, but, remedy = None, "", ""
    if exit_.code != 0 and exit_.stopped == StopReason.NONE:
        failure, but = Failure.CRASHED, f", and then ended with {exit_}"
    elif not attempt.items and not attempt.spent.total:
        failure, but = Failure.REFUSED, " without a word, a step or a token: a hook refused the prompt"
    elif attempt.unread:
        failure, but, remedy = Failure.NO_REPLY, f", but {attempt.unread}", _TOO_LONG
    elif attempt.commands and attempt.refused == attempt.commands:
        failure = Failure.REFUSED
        but = f", but its sandbox did not start, and no command of the agent ran ({attempt.commands} tried)"
    elif expect_message and not (attempt.answered and (attempt.reply or "").strip()):
        failure, but = Failure.NO_REPLY, " without a final message: a refusal or an empty reply"
    return Ending(failure, f"codex completed its turn{but}", remedy)


# `Error: ...`, and also `Error loading config.toml:`, whose reason comes in the next line, with a drawing below it.
_ERROR = re.compile(r"error\b[^:]{0,60}:", re.IGNORECASE)
_DRAWING = re.compile(r"(\d+ )?\|")


def _last_words(stderr_tail: str) -> str:
    """Find what codex said of its own end: its `Error:` line with its causes, else the last line that says anything."""
    lines = [line.strip() for line in stderr_tail.splitlines() if line.strip()]
    lines = lines[: next((n for n, line in enumerate(lines) if line.startswith("Stack backtrace")), len(lines))]
    start = next((n for n in range(len(lines) - 1, -1, -1) if _ERROR.match(lines[n])), None)
    if start is None:
        return lines[-1] if lines else ""
    return " ".join(line for line in lines[start : start + 6] if line != "Caused by:" and not _DRAWING.match(line))
