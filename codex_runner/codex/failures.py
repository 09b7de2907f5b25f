"""How an attempt ended that nobody stopped: judged from its events, its exit code, and what it said on stderr."""

from __future__ import annotations

import re

from codex_runner.codex.classes import classify
from codex_runner.domain.attempt_state import TURN_COMPLETED, TURN_FAILED, Attempt
from codex_runner.domain.failure import Failure
from codex_runner.domain.run import Ending, ProcessExit, StopReason
from codex_runner.text.clean import is_blank

_POLICY = re.compile("cloud config bundle", re.IGNORECASE)
_ASK_DOCTOR = "Run the job again later, and keep the token: `codex-runner doctor` says whether it is refused."
_LOOK_AFTER = "Look in codex.jsonl for what came after the last message, and run the job again."
_TOO_LONG = "Have the agent write what is large into a file, and reply with its name."


def judge(
    attempt: Attempt, exit_: ProcessExit, stderr_tail: str, *, expect_message: bool = True, sandboxed: bool = True
) -> Ending:
    """Say how an attempt ended that nobody stopped (but for a codex that lingered after its final event)."""
    if attempt.turn == TURN_FAILED:
        message = attempt.turn_error or "turn.failed without a message"
        failure = classify(message)
        unknown = "an error of no class that codex-runner knows: " if failure is Failure.UNKNOWN else ""
        return Ending(failure, f"codex: {unknown}{message}")
    if attempt.turn == TURN_COMPLETED:
        return _judge_completed(attempt, exit_, expect_message=expect_message, sandboxed=sandboxed)
    if not _has_begun(attempt) and exit_.code not in (None, 0):
        return _judge_start(exit_, last_words(stderr_tail))
    said = f"; the last error was: {attempt.last_error}" if attempt.last_error else ""
    said += f"; {attempt.unread}" if attempt.unread else ""
    return Ending(Failure.INCOMPLETE, f"codex ended with {exit_} and without a final event{said}")


def _has_begun(attempt: Attempt) -> bool:
    """Whether the agent may have done something: from then on, its own words may be among those on stderr."""
    return bool(attempt.turn or attempt.items or attempt.open_items)


def _judge_start(exit_: ProcessExit, said: str) -> Ending:
    """Say why codex did not start, by its last words."""
    failure = classify(said)
    told = f"codex did not start ({exit_}): {said or 'it said nothing'}"
    if _POLICY.search(said):  # codex says the same whether it was refused or could not reach the service
        return Ending(failure, f"{told} (the cause is unknown: refused, or out of reach)", _ASK_DOCTOR)
    return Ending(Failure.STARTUP if failure is Failure.UNKNOWN else failure, told)


def _judge_completed(attempt: Attempt, exit_: ProcessExit, *, expect_message: bool, sandboxed: bool) -> Ending:
    """Look for what contradicts a completed turn."""
    failure, but = None, ""
    if attempt.resumes is not None and attempt.thread_id != attempt.resumes:
        failure, but = Failure.UNKNOWN, f", and did not say that it went on with thread {attempt.resumes}"
    elif (exit_.code != 0 or exit_.signal is not None) and exit_.stopped == StopReason.NONE:
        failure, but = Failure.CRASHED, f", and then ended with {exit_}"
    elif not attempt.items and not attempt.spent.total:
        failure, but = _nothing(attempt)
    elif attempt.unread:
        return Ending(Failure.NO_REPLY, f"codex completed its turn, but {attempt.unread}", _TOO_LONG)
    elif sandboxed and attempt.commands and attempt.refused == attempt.commands:
        failure = Failure.REFUSED
        but = f", but its sandbox did not start, and no command of the agent ran ({attempt.commands} tried)"
    elif expect_message and (not attempt.answered or is_blank(attempt.reply or "")):
        return _no_reply(attempt)
    elif attempt.thread_id is None:
        failure, but = Failure.UNKNOWN, ", and did not say of which thread, so that its record cannot be asked"
    return Ending(failure, f"codex completed its turn{but}")


def _nothing(attempt: Attempt) -> tuple[Failure, str]:
    """Say what a turn was that has nothing but warnings, and used no token."""
    told = " without a word, a step or a token"
    if attempt.last_error:
        return Failure.NO_REPLY, f"{told}; its last error was: {attempt.last_error}"
    return (
        Failure.REFUSED,
        f"{told}: a hook refused the prompt, or the model said nothing and its provider counts nothing",
    )


def _no_reply(attempt: Attempt) -> Ending:
    told = "codex completed its turn without a final message"
    if attempt.voided and attempt.reply is not None:
        return Ending(Failure.NO_REPLY, f"{told}: after the last one, {attempt.voided}", _LOOK_AFTER)
    if attempt.voided:
        return Ending(Failure.NO_REPLY, f"{told}: {attempt.voided}", _LOOK_AFTER)
    if attempt.reply:
        return Ending(Failure.NO_REPLY, f"{told}: the last one shows nothing, only spaces or invisible characters")
    return Ending(Failure.NO_REPLY, f"{told}: a refusal or an empty reply")


# `Error: ...`, and also `Error loading config.toml:`, whose reason comes in the next line, with a drawing below it.
_ERROR = re.compile(r"error\b[^:]{0,60}:", re.IGNORECASE)
_DRAWING = re.compile(r"(\d+ )?\|")


def last_words(stderr_tail: str) -> str:
    """Find what codex said of its own end: its `Error:` line with its causes, else the last line that says anything."""
    lines = [line.strip() for line in stderr_tail.splitlines() if line.strip()]
    lines = lines[: next((n for n, line in enumerate(lines) if line.startswith("Stack backtrace")), len(lines))]
    start = next((n for n in range(len(lines) - 1, -1, -1) if _ERROR.match(lines[n])), None)
    if start is None:
        return lines[-1] if lines else ""
    return " ".join(line for line in lines[start : start + 6] if line != "Caused by:" and not _DRAWING.match(line))
