"""The HTML report for people: one page that works offline and runs no script.

Its content security policy forbids scripts, the network, and any style but its own, whose digest it carries. All
foreign text goes through `escaping.html_text`: cleaned and escaped.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from codex_runner.domain.gate import GateDecision
from codex_runner.reports import facts, timeline
from codex_runner.reports.escaping import html_text as shown
from codex_runner.reports.moments import Lane, Moment, Mood, moments, of_lane, waited
from codex_runner.reports.outcome import headline, reason, remedy, word
from codex_runner.reports.room import REPORT_BYTES, Outputs, Page, both_ends
from codex_runner.text.clean import clean
from codex_runner.text.counts import counted, format_size
from codex_runner.text.dates import format_instant, format_minute
from codex_runner.text.durations import format_elapsed
from codex_runner.text.excerpts import last_lines, one_line, tail

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from codex_runner.domain.event import Record
    from codex_runner.domain.run import Usage
    from codex_runner.domain.state import RunState

_OUTPUT_BYTES = 64_000
_DIFF_LINES = 5000
_FRAME_BYTES = 200_000  # of a page, for its head and its styles
_REASON = 4000  # characters
_CHECK_LINES = 25  # of a failed check, at the page's top; the list below has the whole output
_CHECK_BYTES = 16_000
_DIFF_OPEN = 200  # lines
_FILES_SHOWN = 20
_WARNINGS = 200
_FILTERS = {
    "command": ("Commands", (Lane.COMMAND,)),
    "edit": ("Edits", (Lane.EDIT,)),
    "message": ("Messages", (Lane.MESSAGE,)),
    "tool": ("Tools", (Lane.TOOL,)),
    "trouble": ("Trouble", (Lane.TROUBLE,)),
    "runner": ("Runner", (Lane.ATTEMPT, Lane.MODEL, Lane.CHECK)),
}


def html_report(state: RunState, records: Iterable[Record], *, diff: str = "", limit: int = REPORT_BYTES) -> str:
    """Return the page, at most `limit` bytes of UTF-8.

    `records` are the run's, in order; `diff` is a unified diff of its changes, if any.
    """
    every = moments(records, Outputs().take)
    to = timeline.scale(every, state.started, state.ended or state.updated)
    red = state.verdict is not None and state.verdict.exit_code != 0
    page = Page(limit - _FRAME_BYTES)
    # The most important sections take from the budget first.
    proof = _checks(state, "checks", "Checks")
    if len(proof) > limit // 8:
        proof = _checks(state, "checks", "Checks", outputs=False)
    proof, figures = page.take(proof, limit // 4), page.take(_figures(state, every))
    happened, every = _moments(every, to, limit // 2)
    happened = page.take(happened)
    work = [page.take(_reply(state)), page.take(_changes(state, diff))]
    rest = [_checks(state, "guards", "Guards"), _warnings(state), _artifacts(state), _asked(state)]
    rest = [page.take(section) for section in rest]
    drawn = page.take(_timeline(every, to))
    # A red run's page begins with its checks.
    by_hand = page.take(_by_hand(state))
    sections = [by_hand, *([proof] if red else []), figures, drawn, *work, *([] if red else [proof]), happened, *rest]
    body = "\n".join(section for section in sections if section)
    skip = '<a class="skip" href="#moments">To what happened</a>\n' if 'id="moments"' in body else ""
    title = f"{shown(one_line(state.job, 200))}: {headline(state.verdict)}"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n<style>{_style()}</style>\n</head>\n<body>\n"
        f"{skip}{_head(state)}\n<main>\n{body}\n</main>\n"
        f"<footer>Times count from the run's start, {format_instant(state.started)}. "
        "Made by codex-runner from events.jsonl.</footer>\n"
        "</body>\n</html>\n"
    )


@cache
def _style() -> str:
    return resources.files("codex_runner.reports").joinpath("report.css").read_text("utf-8")


def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


# --- the page's parts ------------------------------------------------------------------------------------------------


def _head(state: RunState) -> str:
    verdict = state.verdict
    mood = Mood.WARN if verdict is None else Mood.BAD if verdict.exit_code else Mood.GOOD
    code = f' <span class="how">exit code {verdict.exit_code}</span>' if verdict and verdict.exit_code else ""
    advice = "" if facts.is_settled(state) else remedy(verdict)
    return (
        f'<header class="top"><h1>{shown(one_line(state.job, 200))}</h1>'
        f'<div class="run">{shown(one_line(state.run_id, 200))} · {format_minute(state.started)}</div>'
        f'<div class="verdict {mood}"><span class="pill {mood}">{headline(verdict)}</span>{code}'
        f'<p class="text">{_sentence(_cut(reason(verdict)))}</p>'
        + (f'<p class="remedy">What to do: {_sentence(_cut(advice))}</p>' if advice else "")
        + _gate(state)
        + _delivery(state)
        + "</div></header>"
    )


def _gate(state: RunState) -> str:
    """Return the paragraph about the gate. If it skipped the run, it is the reason above already."""
    if (gate := state.gate) is None or word(state.verdict) == "skipped":
        return ""
    output = f"<pre>{shown(tail(gate.output, 4000))}</pre>" if gate.decision == GateDecision.FAIL else ""
    return f'<p class="text">Gate: {gate.decision}. {_sentence(_cut(gate.reason))}</p>{output}'


def _delivery(state: RunState) -> str:
    """Return the paragraph about the delivery. Its links are the page's only ones that lead elsewhere."""
    if (delivery := state.delivery) is None:
        return ""
    link = facts.pull_link(state)
    pull = f" {_anchor(link)}" if link else ""
    later = " after the run, by <code>codex-runner deliver</code>" if delivery.later else ""
    told = " ".join(_sentence(_cut(part)) for part in (delivery.reason, delivery.commit_told) if part)
    return f'<p class="text">Delivery: {delivery.state.value}{later}.{pull} {told}</p>'


def _by_hand(state: RunState) -> str:
    parts = []
    for way in state.delivery.by_hand if state.delivery else ():
        parts.append(f'<p class="text">{_sentence(_cut(way.needs))}</p>')
        if way.commands:
            parts.append(f"<pre>{shown(chr(10).join(way.commands))}</pre>")
        if facts.is_link(way.link):
            parts.append(f'<p class="text">{"Then open " if way.commands else ""}{_anchor(way.link)}</p>')
    return f"<section><h2>Finish the delivery by hand</h2>{''.join(parts)}</section>" if parts else ""


def _anchor(link: str) -> str:
    return f'<a href="{shown(link)}">{shown(link)}</a>'


def _cut(text: str) -> str:
    return text if len(text) <= _REASON else f"{text[:_REASON]}…"


def _sentence(text: str) -> str:
    """Return a sentence as HTML, with the parts in backticks as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return shown(text)
    return "".join(f"<code>{shown(part)}</code>" if at % 2 else shown(part) for at, part in enumerate(parts))


def _figures(state: RunState, every: Sequence[Moment]) -> str:
    usage = state.usage
    failed = f"{state.failed_commands} failed" if state.failed_commands else ""
    attempts = len(state.attempts)
    waiting, money = waited(every), facts.money(state)
    figures = [
        ("Duration", format_elapsed(state.seconds), f"{format_elapsed(waiting)} for the model" if waiting else ""),
        ("Tokens", f"{usage.total:,}", f"{usage.cached_input:,} cached" if usage.cached_input else ""),
        ("Cost", f"{money[0]:.4f} {money[1]}" if money else "", ""),
        ("Commands", f"{state.commands:,}", failed),
        ("Files changed", f"{len(state.files):,}", ""),
        ("Attempts", str(attempts) if attempts > 1 else "", ""),
        ("Host", state.host, ""),
        ("Commit", facts.commit(state)[:8], _kept(state)),
        ("Model", facts.model(state), ""),
        ("codex", facts.codex_version(state), ""),
    ]
    cells = "".join(
        f"<div><dt>{name}</dt><dd>{shown(one_line(value, 80))}{f'<small>{note}</small>' if note else ''}</dd></div>"
        for name, value, note in figures
        if value
    )
    return f'<section aria-label="Figures"><dl class="figures">{cells}</dl>{_tokens(usage)}</section>'


def _kept(state: RunState) -> str:
    if state.workspace is None or not state.workspace_kept:
        return ""
    return f"workspace kept: {shown(one_line(state.workspace.path, 300))}"


def _tokens(usage: Usage) -> str:
    parts = [
        ("cached input", usage.cached_input),
        ("new input", usage.input - usage.cached_input),
        ("output", usage.output - usage.reasoning_output),
        ("reasoning", usage.reasoning_output),
    ]
    total = sum(max(0, count) for _, count in parts)
    if not total:
        return ""
    bars, legend, left = [], [], 0.0
    for number, (name, count) in enumerate(parts):
        width = max(0, count) / total * 100
        bars.append(f'<rect x="{left:.3f}%" y="0" width="{width:.3f}%" height="10" class="t{number}"/>')
        swatch = (
            f'<svg viewBox="0 0 10 10" aria-hidden="true"><rect width="10" height="10" rx="2" class="t{number}"/></svg>'
        )
        legend.append(f"<li>{swatch}{name} {max(0, count):,}</li>")
        left += width
    return (
        f'<br><div class="tokens"><svg height="10" role="img" aria-label="Tokens by kind">{"".join(bars)}</svg>'
        f'<ul class="legend">{"".join(legend)}</ul></div>'
    )


def _timeline(every: Sequence[Moment], to: timeline.Scale) -> str:
    if not every:
        return ""
    words = shown(timeline.summary(every))
    return (
        f'<section aria-label="Timeline: {words}"><h2>Timeline '
        f"<small>{format_elapsed(to.seconds)}, to scale</small></h2>\n"
        f"{timeline.timeline(every, to)}\n</section>"
    )


def _reply(state: RunState) -> str:
    if not state.reply:
        return ""
    text = shown(tail(state.reply, _OUTPUT_BYTES))
    return f'<section class="message"><h2>The agent\'s reply</h2><div class="text">{text}</div></section>'


def _asked(state: RunState) -> str:
    prompt = facts.prompt(state)
    if not prompt.strip():
        return ""
    return (
        "<section><details><summary><strong>What was asked</strong></summary>"
        f"<pre>{shown(tail(prompt, _OUTPUT_BYTES))}</pre></details></section>"
    )


def _checks(state: RunState, what: str, heading: str, *, outputs: bool = True) -> str:
    rows = []
    for name in facts.every(state, what):
        check, guard = state.checks.get(name), state.guards.get(name)
        if what == "checks" and check:
            how = "out of time" if check.exit_code is None else f"exit {check.exit_code}"
            rows.append(_row(name, how, "", format_elapsed(check.seconds), passed=check.passed))
            if outputs and not check.passed and check.output.strip():
                output = shown(tail(last_lines(check.output, _CHECK_LINES), _CHECK_BYTES))
                rows.append(f'<tr><td colspan="4"><pre>{output}</pre></td></tr>')
        elif what == "guards" and guard:
            rows.append(_row(name, guard.outcome, guard.message, "", passed=guard.passed, judged=guard.judged))
        else:
            rows.append(_row(name, "not reached", "", "", passed=None))
    if not rows:
        return ""
    return f'<section><h2>{heading}</h2><div class="scroll"><table>{"".join(rows)}</table></div></section>'


def _row(name: str, how: str, message: str, time: str, *, passed: bool | None, judged: bool = True) -> str:  # noqa: PLR0913 - a row's columns
    mood = Mood.WARN if not judged else Mood.PLAIN if passed is None else Mood.GOOD if passed else Mood.BAD
    return (
        f'<tr><td>{shown(one_line(name, 300))}</td><td><span class="pill {mood}">{how}</span></td>'
        f'<td class="text">{shown(one_line(message, 500))}</td><td class="number">{time}</td></tr>'
    )


def _changes(state: RunState, diff: str) -> str:
    """Show git's diffstat. Show the agent's own list of changes only if git was not asked."""
    diffstat = facts.fact(state, "diffstat")
    opened = " open" if diff.count("\n") <= _DIFF_OPEN else ""
    parts = [
        f"<pre>{shown(tail(diffstat, _OUTPUT_BYTES).strip(chr(10)))}</pre>" if diffstat else _files(state),
        f'<details{opened}><summary>The diff</summary><pre class="diff">{coloured(diff)}</pre></details>'
        if diff
        else "",
    ]
    content = "".join(parts)
    return f"<section><h2>Changes</h2>{content}</section>" if content else ""


def _files(state: RunState) -> str:
    rows = [
        f'<tr><td><span class="pill">{shown(one_line(change, 20))}</span></td>'
        f'<td class="path">{shown(one_line(path, 500))}</td></tr>'
        for path, change in list(state.files.items())[:500]
    ]
    if len(rows) <= _FILES_SHOWN:
        return f"<table>{''.join(rows)}</table>" if rows else ""
    return f"<details><summary>{counted(len(state.files), 'file')}</summary><table>{''.join(rows)}</table></details>"


def coloured(diff: str) -> str:
    """Return the lines of a unified diff as HTML, at most 5,000, each with the class of its kind."""
    lines = clean(diff).removesuffix("\n").split("\n")
    out = []
    for line in lines[:_DIFF_LINES]:
        kind = next((kind for start, kind in _DIFF_KINDS if line.startswith(start)), "")
        out.append(f'<span class="{kind}">{shown(line)}</span>' if kind else f"<span>{shown(line)}</span>")
    more = len(lines) - _DIFF_LINES
    return "".join(out) + (f"<span>... and {more:,} lines more</span>" if more > 0 else "")


_DIFF_KINDS = (
    ("diff ", "file"), ("+++ ", "file"), ("--- ", "file"), ("@@", "hunk"), ("+", "add"), ("-", "del"),
)  # fmt: skip


def _moments(every: Sequence[Moment], to: timeline.Scale, room: int) -> tuple[str, list[Moment]]:
    """Return the list of events in at most `room` bytes, and all moments: only those in the list are `listed`."""
    numbers = [number for number, moment in enumerate(every) if moment.listed]
    if not numbers:
        return "", list(every)
    first, last = both_ends(len(numbers), lambda at: _moment(numbers[at], every[numbers[at]], to), room)
    left_out = set(numbers[len(first) : len(numbers) - len(last)])
    note = f"{counted(len(left_out), 'event')}: the page would be too large. events.jsonl has them."
    middle = [f'<li><span class="what">left out</span><div class="body">{note}</div></li>'] if left_out else []
    items = "\n".join([*first, *middle, *last])
    section = (
        f'<section id="moments"><h2>What happened <small>{counted(len(numbers), "event")}</small></h2>{_filters(every)}'
        f'<ol class="moments">\n{items}\n</ol></section>'
    )
    return section, [
        replace(moment, listed=moment.listed and number not in left_out) for number, moment in enumerate(every)
    ]


def _filters(every: Sequence[Moment]) -> str:
    boxes = []
    for name, (label, lanes) in _FILTERS.items():
        count = sum(1 for lane in lanes for moment in of_lane(every, lane) if moment.listed)
        if count:
            boxes.append(
                f'<span><input type="checkbox" id="f-{name}" checked>'
                f'<label for="f-{name}">{label} {count:,}</label></span>'
            )
    return f'<fieldset class="filters"><legend>Show</legend>{"".join(boxes)}</fieldset>'


def _moment(number: int, moment: Moment, to: timeline.Scale) -> str:
    name = next(name for name, (_, lanes) in _FILTERS.items() if moment.lane in lanes)
    took = format_elapsed(moment.seconds) if moment.seconds >= 0.05 else ""
    return (
        f'<li id="m{number}" class="{name}"><span class="when">{format_elapsed(moment.start - to.start)}</span>'
        f'<span class="what">{shown(one_line(moment.kind, 60))}</span><div class="body">'
        f"{''.join(_body(moment, took))}</div></li>"
    )


def _body(moment: Moment, took: str) -> Iterator[str]:
    how = " · ".join(part for part in (one_line(moment.note, 300), took) if part)
    mood = moment.mood if moment.mood in (Mood.BAD, Mood.WARN) else ""
    title = f'<span class="title text">{shown(one_line(moment.title, 2000))}</span>' if moment.title else ""
    head = title + (f'<span class="how {mood}">{shown(how)}</span>' if how else "")
    text = moment.text.strip("\n") if moment.text.strip() else ""
    if not text:
        yield head
    elif moment.kind == "message":
        yield f'<div class="text">{shown(text)}</div>'
    else:
        opened = " open" if moment.shown else ""
        yield f'<details class="fold"{opened}><summary>{head or "output"}</summary><pre>{shown(text)}</pre></details>'


def _warnings(state: RunState) -> str:
    every = facts.warnings(state)
    rows = "".join(
        f"<tr><td><code>{shown(one_line(warning.code, 60))}</code></td>"
        f'<td class="text">{shown(one_line(warning.message, 1000))}</td></tr>'
        for warning in every[:_WARNINGS]
    )
    left = len(every) - _WARNINGS
    more = f"<p>... and {left:,} more, in run.json.</p>" if left > 0 else ""
    return f"<section><h2>Warnings</h2><table>{rows}</table>{more}</section>" if rows else ""


def _artifacts(state: RunState) -> str:
    rows = "".join(
        f'<tr><td class="path">{shown(one_line(kept.path, 500))}</td><td class="number">{format_size(kept.size)}</td>'
        f"<td><code>{shown(kept.sha256[:12])}</code></td></tr>"
        for kept in state.artifacts.values()
    )
    return f"<section><h2>Artifacts</h2><table>{rows}</table></section>" if rows else ""
