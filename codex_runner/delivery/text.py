"""The words of a delivery: title and body of a pull request, commit message, branch. Bounded as a forge counts.

Each is a template. `{{SUMMARY}}` is the agent's reply, `{{CHANGES}}` the list of what it changed: whole on a line of
its own, elsewhere the first line. `{{RUN_LINK}}` is the CI system's page of the run. `{{WORKFLOW}}`, `{{JOB}}` and
`{{RUN}}` name it, and the job's variables have names of their own. Each value but the link goes through
`delivery.neutral`; the template's own words are the user's, and stay as they are.
"""

from __future__ import annotations

import re
from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from codex_runner.dataclass import dataclass
from codex_runner.delivery import neutral
from codex_runner.delivery.record import renew, room, write
from codex_runner.domain.branch_name import as_branch
from codex_runner.domain.delivery import ForgeKind, PullText
from codex_runner.engine.prompt import replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from codex_runner.domain.delivery import DeliveryRecord
    from codex_runner.domain.delivery_spec import DeliverySpec

BODY: Final = """\
{{SUMMARY}}

### Changes

{{CHANGES}}

Job {{JOB}} of {{WORKFLOW}}, run {{RUN}}. {{RUN_LINK}}
"""
"""The body without a `body_file`."""

NO_SUMMARY: Final = "The agent gave no summary."
_BLOCKS: Final = ("SUMMARY", "CHANGES")
_LINK = re.compile(r"https?://[^\s<>\"'`()\[\]\\]+")
_OPEN_TAG = re.compile(
    r"<(?:pre|script|style|textarea|!--)(?!.*(?:</(?:pre|script|style|textarea)|-->))", re.IGNORECASE | re.DOTALL
)
_DRAFT = re.compile(r"\s*[\[(]?\s*(draft|wip)\b\s*[\])]?\s*:?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The lengths that a forge takes. `measure` counts as the forge does."""

    title: int
    body: int
    measure: Callable[[str], int]
    said: str


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


BOUNDS: Final = MappingProxyType(
    {
        # GitHub counts code points: 65,536 emoji are as many as 65,536 letters.
        ForgeKind.GITHUB: Bounds(256, 65_536, len, "65,536 characters"),
        # A title's limit is 255, and a draft's title begins with `Draft: `. A description's limit is a mebibyte.
        ForgeKind.GITLAB: Bounds(248, 1_048_576, _bytes, "1,048,576 bytes"),
        ForgeKind.GIT: Bounds(256, 65_536, len, "65,536 characters"),
    }
)
LONGEST_MESSAGE: Final = 65_536  # characters
_LONGEST_SUBJECT = 256
_LONGEST_LINE = 1000  # characters that are read of a line which is shortened anyway


@dataclass(frozen=True, slots=True)
class Words:
    """What a run has to say. `summary` is the agent's reply, `changes` a text of lines, `link` an address or "".

    `names` are the job's variables. None of them is trusted.
    """

    workflow: str
    job: str
    run: str
    summary: str = ""
    changes: str = ""
    link: str = ""
    names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def pull_text(  # noqa: PLR0913, PLR0917 - what a pull request says, and within which bounds
    spec: DeliverySpec,
    words: Words,
    kind: ForgeKind,
    record: DeliveryRecord,
    before: str = "",
    bounds: Bounds | None = None,
) -> PullText:
    """Return title and body of a pull request, with the record's block.

    `before` is the body that the forge has. What people and bots have added to it stays, if there is room for it.
    `bounds` None means those of the forge's API.
    """
    bounds = BOUNDS[kind] if bounds is None else bounds
    kept = renew(before, "", record) if before else write("", record)
    if bounds.measure(kept) > bounds.body // 2:
        kept, before = room(record), ""
    text = body(spec, words, bounds, bounds.body - bounds.measure(kept))
    return PullText(
        title(spec, words, bounds), renew(before, text, record) if before else write(text, record), spec.draft
    )


def title(spec: DeliverySpec, words: Words, bounds: Bounds) -> str:
    """Return the title: one line. No value makes it a draft, as GitLab would read its first word."""
    text = _one_line(spec.title, words, spec, bounds.title)
    if _DRAFT.match(text) and not _DRAFT.match(spec.title):
        text = _one_line(f"{{{{JOB}}}}: {spec.title}", words, spec, bounds.title)
    return text


def commit_message(spec: DeliverySpec, words: Words) -> str:
    """Return the commit's message, which ends with a newline. Its subject is the first line of the template."""
    subject, _, rest = spec.commit_message.partition("\n")
    head = _one_line(subject, words, spec, _LONGEST_SUBJECT)
    blocks = {name: of(words, spec, LONGEST_MESSAGE) for name, of in (("SUMMARY", _summary), ("CHANGES", _changes))}
    more = _filled(rest, words, spec, blocks)
    whole = f"{head}\n\n{more}\n" if more else f"{head}\n"
    return _cut(whole, LONGEST_MESSAGE, len, "65,536 characters")


def branch(spec: DeliverySpec, words: Words) -> str:
    """Return the branch's name. A name's value may hold slashes, and nothing that git refuses."""
    values = {**words.names, "WORKFLOW": words.workflow, "JOB": words.job}
    return as_branch(replaced(spec.branch, {name: as_branch(value) for name, value in values.items()}))


def body(spec: DeliverySpec, words: Words, bounds: Bounds, most: int) -> str:
    """Return the body's text, at most `most` as the forge counts. The summary is cut first, then the changes."""
    template = BODY if spec.body is None else spec.body

    def whole(summary: str, changes: str) -> str:
        return _filled(template, words, spec, {"SUMMARY": summary, "CHANGES": changes})

    summary, changes = _summary(words, spec, bounds.body), _changes(words, spec, bounds.body)
    text = whole(summary, changes)
    if bounds.measure(text) <= most:
        return text
    fixed = bounds.measure(whole("", ""))
    changes = _cut(changes, max(0, (most - fixed) // 4), bounds.measure, bounds.said)
    left = most - bounds.measure(whole("", changes))
    text = whole(_cut(summary, max(0, left), bounds.measure, bounds.said), changes)
    return text if bounds.measure(text) <= most else _cut(text, most, bounds.measure, bounds.said)


# --- templates -------------------------------------------------------------------------------------------------------


def _beginning(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _summary(words: Words, spec: DeliverySpec, most: int) -> str:
    return neutral.markdown(_beginning(words.summary, most), mentions=spec.text.mentions).strip("\n") or NO_SUMMARY


def _changes(words: Words, spec: DeliverySpec, most: int) -> str:
    return neutral.block(_beginning(words.changes, most), mentions=spec.text.mentions).strip("\n") or "None."


def _values(words: Words, spec: DeliverySpec) -> dict[str, str]:
    """Return the value of each name, as one line."""

    def line(text: str) -> str:
        return neutral.line(text, mentions=spec.text.mentions)

    values = {**words.names, "WORKFLOW": words.workflow, "JOB": words.job, "RUN": words.run}
    return {
        **{name: line(value) for name, value in values.items()},
        "SUMMARY": line(_first_line(words.summary)) or NO_SUMMARY,
        "CHANGES": line(_first_line(words.changes)),
        "RUN_LINK": words.link if _LINK.fullmatch(words.link) else line(words.link),
    }


def _first_line(text: str) -> str:
    """Return the first line with words, without the marks of a heading, a list or emphasis around it."""
    lines = (re.sub(r"^\s*(?:(?:#{1,6}|[-*+]|>)\s+)+|\s+#+\s*$", "", each).strip() for each in text.splitlines())
    line = next((each for each in lines if re.search(r"^(?!```|~~~).*\w", each)), "")[:_LONGEST_LINE]
    return re.sub(r"^(\*\*|__)(.+?)\1", r"\2", line)


def _one_line(template: str, words: Words, spec: DeliverySpec, most: int) -> str:
    """Fill a template of one line. If it is too long, its values are shortened in turn, the summary first."""
    values = _values(words, spec)
    line = " ".join(replaced(template, values).split())
    for name in ("SUMMARY", *(each for each in values if each != "SUMMARY")):
        if len(line) <= most:
            break
        left = most - (len(line) - len(values[name]))
        values[name] = _shortened(values[name], max(1, left))
        line = " ".join(replaced(template, values).split())
    return line[:most] or words.job


def _filled(template: str, words: Words, spec: DeliverySpec, blocks: Mapping[str, str]) -> str:
    """Fill a template of Markdown. A name of `blocks` that has a line for itself is filled as a block of its own.

    Elsewhere a value is one line. A template with HTML gets no angle bracket from a value: in HTML there are no code
    spans.
    """
    values = _values(words, spec)
    if "<" in template:
        values = {name: value.replace("<", "\u2039") for name, value in values.items()}
    out: list[str] = []
    lines = template.replace("\r\n", "\n").split("\n")
    ended = False  # whether a block ends above: a line without a blank one above it would go on with it
    for at, line in enumerate(lines):
        name = line.rstrip().removeprefix("{{").removesuffix("}}")
        is_block = name in blocks and line.startswith("{{") and _is_open_ground("\n".join(lines[:at]))
        if (ended and line.strip()) or (is_block and out and out[-1].strip()):
            out.append("")
        out.append(blocks[name] if is_block else replaced(line, values))
        ended = is_block
    return "\n".join(out).strip("\n")


def _is_open_ground(before: str) -> bool:
    """Whether Markdown is read as such after this part of a template: not within a block of code, nor in HTML's."""
    fences = re.findall(r"^\s*(?:`{3,}|~{3,})", before, re.MULTILINE)
    return len(fences) % 2 == 0 and _OPEN_TAG.search(before) is None


# --- bounds ----------------------------------------------------------------------------------------------------------


def _shortened(line: str, most: int) -> str:
    """Shorten one line of neutral text, and keep it neutral: a code span may have lost its end."""
    return line if len(line) <= most else f"{_prefix(line, most - 1, len)}…"


def _prefix(line: str, most: int, measure: Callable[[str], int]) -> str:
    """Return a long beginning of a neutral line that is at most `most`, and neutral itself."""
    cut = line[: max(0, most)] if measure is len else line.encode()[: max(0, most)].decode(errors="ignore")
    while cut:
        if cut.count("`") % 2:
            cut = cut[: cut.rindex("`")]
        text = neutral.line(cut, mentions=True)
        if measure(text) <= most:
            return text
        cut = cut[: len(cut) * 9 // 10]
    return ""


def _cut(text: str, most: int, measure: Callable[[str], int], said: str) -> str:
    """Cut neutral Markdown, end a block of code that is open there, and say so. Returns "" if there is no room."""
    if measure(text) <= most:
        return text
    note = f"*The rest is cut: a text holds at most {said} here. The run's folder has all of it.*"
    left = most - measure(f"\n{neutral.FENCE}\n\n{note}")
    kept: list[str] = []
    is_code = False
    for line in text.split("\n"):
        if measure(line) + 1 > left:
            if not line.startswith(neutral.FENCE) and left > 1:
                kept.append(line[: left // 4] if is_code else _prefix(line, left - 1, measure))
            break
        left -= measure(line) + 1
        kept.append(line)
        is_code ^= line.startswith(neutral.FENCE)
    if is_code and kept[-1].startswith(neutral.FENCE):
        kept.pop()
        is_code = False
    if not kept:
        return note if measure(note) <= most else ""
    return "\n".join([*kept, *([neutral.FENCE] if is_code else []), "", note])
