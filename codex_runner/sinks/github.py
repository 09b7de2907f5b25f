"""The log of a GitHub Actions step: groups, annotations, masks."""

from __future__ import annotations

import os
import re
import stat
from types import MappingProxyType
from typing import TYPE_CHECKING

from codex_runner.domain import event as ev
from codex_runner.redaction.secret_parts import parts
from codex_runner.sinks.console import LOG_LIMIT, LOG_WIDTH
from codex_runner.sinks.listing import ListingLog
from codex_runner.text.clean import clean_line
from codex_runner.text.excerpts import first_line, log_tail

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import TextIO

    from codex_runner.domain.event import Record
    from codex_runner.domain.secret import Secret
    from codex_runner.domain.state import RunState

ANNOTATIONS = 10  # for each level and step: GitHub shows no more
_MESSAGE = 4000  # characters of an annotation
_TAIL = 10  # lines of a failed check's output in its annotation
_NOTHING: Mapping[str, str] = MappingProxyType({})
_SHORTEST = 3  # characters: a mask for `}` would make the log unreadable and protect nothing
_PLACE = re.compile(
    r"(?:\./)?(?P<file>[\w./@+-]*[\w@+-]):(?P<line>\d{1,7})(?::(?P<col>\d{1,5}))?:?\s+(?P<message>\S.*)"
)


class GitHubLog(ListingLog):
    """Plain lines, with a group for each attempt and at most ten annotations for each level.

    Agent text is never put between `::stop-commands::` marks. The log's protection must not depend on a line that a
    full pipe or a killed runner may fail to write. Besides, act and Gitea read that mark differently. GitHub obeys `::`
    only at the beginning of a line (after white space), and none of ours begins with foreign text. It obeys `##[`
    anywhere, so `text.clean_line` breaks that up in all foreign text.
    """

    END = "::endgroup::"
    MOST = ANNOTATIONS

    def __init__(  # noqa: PLR0913 - independent settings, all named
        self,
        stream: TextIO,
        *,
        color: bool = False,
        width: int = LOG_WIDTH,
        verbose: bool = False,
        limit: int | None = LOG_LIMIT,
        path_prefix: str | None = None,
        masks: bool = False,
    ) -> None:
        """Write to `stream`. `path_prefix` leads from the repository's root to the checks' folder (`docs/`, or empty).

        None takes it from the run's own records of git. `masks` is True if GitHub itself reads the log, and may get
        secrets to mask.
        """
        super().__init__(stream, color=color, width=width, verbose=verbose, limit=limit)
        self._prefix = path_prefix
        self._masks = masks
        self._masked: set[str] = set()

    def add_mask(self, values: Iterable[Secret]) -> bool:
        """Have GitHub mask secrets, each whole and each of its parts, once. Call it before anything could print them.

        Call it on GitHub only: the command holds the value, and GitHub removes it from the log. Returns False, and
        writes nothing, if the stream is a plain file: the value would stay in it.
        """
        if _is_file(self._stream):
            return False
        for secret in values:
            value = secret.reveal()
            whole = dict.fromkeys((value, value.strip(), *sorted(parts(value))))
            new = [part for part in whole if len(part.strip()) >= _SHORTEST and part not in self._masked]
            self._masked.update(new)
            self._write(f"::add-mask::{_data(part)}" for part in new)
        self._stream.flush()
        return True

    def mask(self, secret: Secret) -> None:
        """See Sink.mask."""
        if self._masks:
            self.add_mask([secret])

    def _before(self, record: Record, state: RunState) -> Iterable[str]:
        match record.event:
            case ev.AttemptStarted() as event:
                title = first_line(f"Attempt {event.number}: {state.job}")
                return [*self._end_group(), *self._begin_group(f"::group::{_data(title)}")]
            case ev.RunEnded() | ev.CheckStarted():
                return self._end_group()
            case _:
                return ()

    def _after(self, record: Record, state: RunState) -> Iterable[str]:  # noqa: C901, PLR0911 - one arm a kind
        match record.event:
            case ev.AttemptEnded() as event:
                lines = self._end_group()
                if event.ending.failure is not None:
                    told = f"Attempt {event.number} failed ({event.ending.failure}): {event.ending.message}"
                    lines += self._annotate("warning", told)
                return lines
            case ev.Warned() as event if event.code != ev.NO_BUDGET:
                return self._annotate("warning", event.message, {"title": f"codex-runner: {event.code}"})
            case ev.ItemCompleted(item=ev.ItemWarning() as item):
                return self._annotate("warning", item.message, {"title": f"codex-runner: {item.code}"})
            case ev.ItemCompleted(item=ev.Command(refused=True) as item):
                told = "\n".join(log_tail(item.output, _TAIL))
                return self._annotate("warning", told, {"title": "codex-runner: sandbox-failed"})
            case ev.Diagnostic(code=str(code)) as event if code:
                return self._annotate("warning", event.message, {"title": f"codex-runner: {code}"})
            case ev.Unparsed(reason=ev.TRUNCATED) as event:
                told = f"codex printed a line of {event.size:,} bytes, which is too long to read: {event.text}"
                return self._annotate("warning", told, {"title": f"codex-runner: {ev.TRUNCATED}"})
            case ev.Guarded(failed=True) as event:
                return self._annotate("error", event.message, {"title": f"codex-runner: {event.name}"})
            case ev.CheckEnded(passed=False) as event:
                return self._annotate_check(event, _prefix_of(state) if self._prefix is None else self._prefix)
            case ev.RunEnded() as event:
                level = "notice" if event.exit_code == 0 else "error"
                told = f"{event.result}: {event.reason}"
                return self._annotate(level, told, {"title": f"codex-runner: {state.job}"}, verdict=True)
            case _:
                return ()

    def _annotate_check(self, event: ev.CheckEnded, prefix: str) -> list[str]:
        """Return one annotation for the check, then one for each line of code that its output names."""
        outcome = "ran out of time" if event.exit_code is None else f"failed with exit code {event.exit_code}"
        told = "\n".join((f"Check {first_line(event.name)} {outcome}.", *log_tail(event.output, _TAIL)))
        lines = self._annotate("error", told, {"title": f"codex-runner: {event.name}"})
        for match in _places(event.output):
            place: dict[str, str] = {"file": prefix + match["file"], "line": match["line"]}
            if match["col"]:
                place["col"] = match["col"]
            lines += self._annotate("error", match["message"], {"title": event.name, **place})
        return lines

    def _annotate(
        self, level: str, message: str, properties: Mapping[str, str] = _NOTHING, *, verdict: bool = False
    ) -> list[str]:
        """Return an annotation if GitHub would still show it."""
        if not self._is_listed(level, verdict=verdict):
            return []
        told = "\n".join(clean_line(line) for line in message.split("\n"))[:_MESSAGE]
        named = ",".join(f"{key}={_property(first_line(value))}" for key, value in properties.items())
        return [f"::{level}{' ' if named else ''}{named}::{_data(told) or level}"]


def _data(text: str) -> str:
    """Encode the text after the second `::`."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Encode a property's value."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _prefix_of(state: RunState) -> str:
    """Return the path from the repository's top, which git named before the agent began, to the job's folder."""
    top = (state.facts.get("tree") or {}).get("top", "").rstrip("/")
    cwd = state.workspace.cwd if state.workspace else state.facts.get("job", {}).get("cwd", "")
    inside = cwd.rstrip("/").removeprefix(f"{top}/") if top else cwd
    return "" if not inside or inside.startswith("/") else f"{inside}/"


def _places(output: str) -> Iterator[re.Match[str]]:
    """Yield each `file:line: message` at the beginning of a line, for files inside the repository only."""
    seen = set()
    for text in log_tail(output, 200):
        match = _PLACE.match(text[:_MESSAGE])
        if match is None or not {".", "/"} & set(file := match["file"]):  # `12:30 o'clock`, `error: 5: x`
            continue
        if file.startswith("/") or ".." in file.split("/"):
            continue
        if (where := (match["file"], match["line"])) not in seen:
            seen.add(where)
            yield match


def _is_file(stream: TextIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):  # in memory, or closed
        return False
