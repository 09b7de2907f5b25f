"""Judges how an attempt ended if the runner did not stop it: by its events, its exit code, and its stderr."""

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
_TOO_LONG = "Tell the agent in the prompt to write large results into a file, and to reply with its name."


def judge(
    attempt: Attempt, exit_: ProcessExit, stderr_tail: str, *, expect_message: bool = True, sandboxed: bool = True
) -> Ending:
    """Return how an attempt ended that the runner did not stop, except for lingering after its final event."""
    if attempt.turn == TURN_FAILED:
        message = attempt.turn_error or "turn.failed without a message"
        failure = classify(message)
        unknown = "an error that codex-runner cannot classify: " if failure is Failure.UNKNOWN else ""
        return Ending(failure, f"codex: {unknown}{message}")
    if attempt.turn == TURN_COMPLETED:
        return _judge_completed(attempt, exit_, expect_message=expect_message, sandboxed=sandboxed)
    if not _has_begun(attempt) and exit_.code not in (None, 0):
        return _judge_start(exit_, last_words(stderr_tail))
    said = f"; the last error was: {attempt.last_error}" if attempt.last_error else ""
    said += f"; {attempt.unread}" if attempt.unread else ""
    return Ending(Failure.INCOMPLETE, f"codex ended with {exit_} and without a final event{said}")


def _has_begun(attempt: Attempt) -> bool:
    """Return True if the agent may have done something: then its own words may be on stderr, too."""
    return bool(attempt.turn or attempt.items or attempt.open_items)


def _judge_start(exit_: ProcessExit, said: str) -> Ending:
    """Return why codex did not start, by its last words."""
    failure = classify(said)
    told = f"codex did not start ({exit_}): {said or 'it printed nothing'}"
    if _POLICY.search(said):  # codex prints the same for a refusal and for a service that is out of reach
        return Ending(failure, f"{told} (the cause is unknown: refused, or out of reach)", _ASK_DOCTOR)
    return Ending(Failure.STARTUP if failure is Failure.UNKNOWN else failure, told)


def _judge_completed(attempt: Attempt, exit_: ProcessExit, *, expect_message: bool, sandboxed: bool) -> Ending:
    """Return the verdict on a completed turn: a failure if other facts contradict it."""
    failure, but = None, ""
    if attempt.resumes is not None and attempt.thread_id != attempt.resumes:
        failure, but = Failure.UNKNOWN, f", and did not confirm that it resumed thread {attempt.resumes}"
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
        failure, but = Failure.UNKNOWN, ", and reported no thread id, so codex-runner cannot read its record"
    return Ending(failure, f"codex completed its turn{but}")


def _nothing(attempt: Attempt) -> tuple[Failure, str]:
    """Return the failure of a turn that has only warnings, and used no token."""
    told = " without a word, a step or a token"
    if attempt.last_error:
        return Failure.NO_REPLY, f"{told}; its last error was: {attempt.last_error}"
    return (
        Failure.REFUSED,
        f"{told}: a hook refused the prompt, or the model's reply was empty and its provider reports no token counts",
    )


def _no_reply(attempt: Attempt) -> Ending:
    told = "codex completed its turn without a final message"
    if attempt.voided and attempt.reply is not None:
        return Ending(Failure.NO_REPLY, f"{told}: after the last one, {attempt.voided}", _LOOK_AFTER)
    if attempt.voided:
        return Ending(Failure.NO_REPLY, f"{told}: {attempt.voided}", _LOOK_AFTER)
    if attempt.reply:
        return Ending(Failure.NO_REPLY, f"{told}: the last one has only spaces or invisible characters")
    return Ending(Failure.NO_REPLY, f"{told}: a refusal or an empty reply")


# `Error: ...`, and also `Error loading config.toml:`, whose reason is on the next line, with a drawing below it.
_ERROR = re.compile(r"error\b[^:]{0,60}:", re.IGNORECASE)
_DRAWING = re.compile(r"(\d+ )?\|")


def last_words(stderr_tail: str) -> str:
    """Return codex's reason for its end: its last `Error:` line with its causes, otherwise the last line."""
    lines = [line.strip() for line in stderr_tail.splitlines() if line.strip()]
    lines = lines[: next((n for n, line in enumerate(lines) if line.startswith("Stack backtrace")), len(lines))]
    start = next((n for n in range(len(lines) - 1, -1, -1) if _ERROR.match(lines[n])), None)
    if start is None:
        return lines[-1] if lines else ""
    return " ".join(line for line in lines[start : start + 6] if line != "Caused by:" and not _DRAWING.match(line))
