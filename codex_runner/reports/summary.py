"""The summary in Markdown for people: the prompt, the outcome and its reason, and the artifacts."""

from __future__ import annotations

import errno
import os
import re
import stat
import textwrap
from typing import TYPE_CHECKING

from codex_runner.domain.gate import GateDecision
from codex_runner.reports import facts
from codex_runner.reports.outcome import headline, reason, remedy, word
from codex_runner.text.clean import without_attachments
from codex_runner.text.counts import counted, format_size
from codex_runner.text.durations import format_elapsed
from codex_runner.text.excerpts import first_lines, one_line, tail

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from codex_runner.domain.attempt_state import Attempt
    from codex_runner.domain.delivery import Delivered
    from codex_runner.domain.state import RunState

STEP_SUMMARY_BYTES = 1024 * 1024  # GitHub's limit for one step; with a byte more it shows nothing at all
_LIMIT = 256 * 1024
_PROMPT_LINES = 12
_WRAP = textwrap.TextWrapper(100, break_long_words=False, break_on_hyphens=False, replace_whitespace=False)
_ROWS = 50
# Escape only characters that could be markup: people read a report in a terminal, too.
_MARKUP = re.compile(
    r"(^[-+=>#]|[\\`*\[\]<|~@$]|#(?=\w)|&(?=[#\w])|(?<![^\W_])_|_(?![^\W_])|:(?=//|[\w+-]*[a-z+-][\w+-]*:)|(?<=www)\.)",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"^(\d+)(?=[.)])")
_SIGNS = {"succeeded": "✅", "skipped": "⏭️", "running": "⏳"}


def summary(state: RunState, *, limit: int = _LIMIT) -> str:
    """Return the summary, at most `limit` bytes of UTF-8.

    Text of the agent, of checks and of the repository is fenced or escaped, so it cannot become markup. If the summary
    is too long, sections that do not fit are left out, and a line says so.
    """
    red = state.verdict is not None and state.verdict.exit_code != 0
    # A red run's checks come first; a green run's reply and changes do.
    proof, work = [_checks(state), _attempts(state.attempts)], [_reply(state), _changes(state)]
    sections = [
        _head(state),
        _by_hand(state),
        *([*proof, *work] if red else [*work, *proof]),
        _warnings(state),
        _guards(state),
        _artifacts(state),
        _usage(state),
        _asked(state),
    ]
    return _within((section for section in sections if section), limit)


def append_step_summary(path: Path, text: str, *, limit: int = STEP_SUMMARY_BYTES) -> bool:
    """Append `text` to a CI step's summary file. Returns False, and appends only a note, if it would be too large.

    Keeps the file's contents. Raises OSError if it cannot be written or is not a regular file: a pipe could block a run
    that has its verdict.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
    with os.fdopen(descriptor, "ab") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        there = found.st_size
        data = (b"\n" if there else b"") + text.encode(errors="replace")
        fits = there + len(data) <= limit
        if not fits:
            data = b"\ncodex-runner: the summary is too large for this page: see summary.md.\n"
        if there + len(data) <= limit:
            file.write(data)
    return fits


def fenced(text: str) -> str:
    """Return `text` in a fence that it cannot close: one backtick longer than its longest run of backticks."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def escaped(text: str, limit: int = 300) -> str:
    """Return `text` on one line, with all that Markdown or HTML could read as markup escaped."""
    return _NUMBERED.sub(r"\1\\", _MARKUP.sub(r"\\\1", one_line(text, limit)))


def sentence(text: str, limit: int = 2000) -> str:
    """Return a sentence on one line, escaped, with the parts in backticks as code."""
    parts = one_line(text, limit).split("`")
    if len(parts) % 2 == 0:
        return escaped(text, limit)
    text = "".join(code(part) if at % 2 else _MARKUP.sub(r"\\\1", part) for at, part in enumerate(parts))
    return _NUMBERED.sub(r"\1\\", text)


def _head(state: RunState) -> str:
    verdict = state.verdict
    lines = [
        f"## {_SIGNS.get(word(verdict), '❌')} {escaped(state.job)}: {headline(verdict)}",
        sentence(reason(verdict)),
    ]
    if (advice := remedy(verdict)) and not facts.is_settled(state):
        lines.append(f"**What to do:** {sentence(advice)}")
    if (gate := state.gate) is not None and word(verdict) != "skipped":  # else it is the reason above
        lines.append(f"**Gate:** {gate.decision}. {sentence(gate.reason)}")
        if gate.decision == GateDecision.FAIL and gate.output.strip():
            lines.append(fenced(tail(gate.output, 4000)))
    if (delivery := state.delivery) is not None:
        lines.append(_delivery(state, delivery))
    if state.workspace is not None and state.workspace_kept:
        lines.append(f"The workspace is kept on {code(state.host)}: {code(state.workspace.path)}")
    named = {
        "host": state.host,
        "model": facts.model(state),
        "codex": facts.codex_version(state),
        "commit": facts.commit(state)[:8],
        "run": state.run_id,
        "thread": state.thread_id or "",
    }
    about = [f"{name} {code(value)}" for name, value in named.items() if value]
    ended = [f"exit code {verdict.exit_code}"] if verdict and verdict.exit_code else []
    lines.append(" · ".join([*ended, format_elapsed(state.seconds), *about]))
    return "\n\n".join(lines)


def _delivery(state: RunState, delivery: Delivered) -> str:
    link = f" {pull}" if (pull := facts.pull_link(state)) else ""
    told = (sentence(part) for part in (delivery.reason, delivery.commit_told) if part)
    later = " after the run, by `codex-runner deliver`" if delivery.later else ""
    return f"**Delivery:** {delivery.state.value}{later}.{link} {' '.join(told)}".rstrip()


def _by_hand(state: RunState) -> str:
    ways = state.delivery.by_hand if state.delivery else ()
    parts = []
    for way in ways:
        parts.append(sentence(way.needs))
        if way.commands:
            parts.append(fenced("\n".join(way.commands)))
        if facts.is_link(way.link):
            parts.append(f"{'Then open ' if way.commands else ''}{way.link}")
    return "\n\n".join(["### Finish the delivery by hand", *parts]) if parts else ""


def code(text: str) -> str:
    """Return `text` in a code span that it cannot close, and that no table can split."""
    line = one_line(text, 300).replace("|", "¦")
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    ticks = "`" * (longest + 1)
    pad = " " if line[:1] in ("`", " ", "") or line[-1:] == "`" else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def _asked(state: RunState) -> str:
    prompt = first_lines(without_attachments(facts.prompt(state)), _PROMPT_LINES, 2000)
    return f"### Asked\n\n{fenced(_wrapped(prompt))}" if prompt.strip() else ""


def _reply(state: RunState) -> str:
    if not state.reply:
        return ""
    return f"### The agent's reply\n\n{fenced(_wrapped(tail(without_attachments(state.reply), 20_000)))}"


def _wrapped(text: str) -> str:
    """Wrap long lines between words: a fence does not wrap, and prose often has one line for each paragraph."""
    lines = text.strip("\n").split("\n")
    return "\n".join("\n".join(_WRAP.wrap(line)) if len(line) > _WRAP.width else line for line in lines)


def _checks(state: RunState) -> str:
    rows, outputs = [], []
    for name in facts.every(state, "checks"):
        check = state.checks.get(name)
        if check is None:
            rows.append((escaped(name), "⏭️ not reached", ""))
            continue
        how = "out of time" if check.exit_code is None else f"exit {check.exit_code}"
        rows.append((escaped(name), f"{'✅' if check.passed else '❌'} {how}", format_elapsed(check.seconds)))
        if not check.passed and check.output.strip():
            output = fenced(tail(without_attachments(check.output), 8000).strip("\n"))
            outputs.append(f"The end of {code(name)}:\n\n{output}")
    return "\n\n".join(["### Checks", _table(("Check", "Result", "Time"), rows), *outputs]) if rows else ""


def _changes(state: RunState) -> str:
    diffstat = facts.fact(state, "diffstat")
    if diffstat:
        return f"### Changes\n\n{fenced(tail(without_attachments(diffstat), 8000).strip(chr(10)))}"
    if not state.files:
        return ""
    return "### Changes\n\n" + _list(f"{change} {code(path)}" for path, change in state.files.items())


def _attempts(attempts: list[Attempt]) -> str:
    if len(attempts) < 2:
        return ""
    rows = [
        (
            str(attempt.number),
            escaped(_how_it_ended(attempt)),
            escaped(str(attempt.exit or "")),
            format_elapsed(max(0.0, attempt.ended - attempt.started)) if attempt.ended else "",
        )
        for attempt in attempts
    ]
    return "### Attempts\n\n" + _table(("#", "How it ended", "Process", "Time"), rows)


def _how_it_ended(attempt: Attempt) -> str:
    said = attempt.ending.message if attempt.ending else "no ending"
    failed = [check.name for check in attempt.checks.values() if not check.passed]
    return f"{said}; failed checks: {', '.join(failed)}" if failed else said


def _guards(state: RunState) -> str:
    rows = []
    for name in facts.every(state, "guards"):
        guard = state.guards.get(name)
        sign = "✅" if guard and guard.passed else "❌" if guard and guard.failed else "❔" if guard else "⏭️"
        sign = f"{sign} {guard.outcome if guard else 'not reached'}"
        rows.append((escaped(name), sign, escaped(guard.message) if guard else ""))
    return "### Guards\n\n" + _table(("Promise", "Result", "What was found"), rows) if rows else ""


def _warnings(state: RunState) -> str:
    if not (every := facts.warnings(state)):
        return ""
    return "### Warnings\n\n" + _list(f"{code(w.code)} {sentence(w.message, 500)}" for w in every)


def _artifacts(state: RunState) -> str:
    """List the artifacts and the other files: people often read this text without access to the run's folder."""
    kept = _list(f"{code(kept.path)} ({format_size(kept.size)})" for kept in state.artifacts.values())
    more = (
        f"The run's folder {code(state.run_id)} has them, `report.html` (each command with its output, the diff, "
        "a timeline), `run.json` and `events.jsonl`."
    )
    return f"### Artifacts\n\n{kept}\n\n{more}" if state.artifacts else more.replace("has them,", "has")


def _usage(state: RunState) -> str:
    usage = state.usage
    if not usage.total and not state.commands:
        return ""
    return (
        f"### Usage\n\n{usage.total:,} tokens: {usage.input:,} in ({usage.cached_input:,} cached), "
        f"{usage.output:,} out ({usage.reasoning_output:,} reasoning){_money(state)}. "
        f"{counted(state.commands, 'command')}, {state.failed_commands} failed."
    )


def _money(state: RunState) -> str:
    known = facts.money(state)
    return "" if known is None else f", {known[0]:.4f} {escaped(known[1], 20)}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows[:_ROWS])]
    return "\n".join(lines) + _and_more(len(rows))


def _list(lines: Iterable[str]) -> str:
    every = list(lines)
    return "\n".join(f"- {line}" for line in every[:_ROWS]) + _and_more(len(every))


def _and_more(count: int) -> str:
    return f"\n\n... and {count - _ROWS} more, in run.json." if count > _ROWS else ""


def _within(sections: Iterable[str], limit: int) -> str:
    note = "\nSome sections are too large for this page: see run.json.\n"
    text, room, left_out = "", limit - len(note.encode()), False
    for section in sections:
        more = f"{text}\n{section}\n" if text else f"{section}\n"
        if len(more.encode()) > room:
            left_out = True
        else:
            text = more
    return text + note if left_out and room >= 0 else text
