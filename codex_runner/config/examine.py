"""Every mistake of a configuration file at once, each with its position. `load` stops where a run must stop.

A key that is wrong is left out, and the rest is read again, until the rest can be loaded. So one wrong key hides no
other mistake. Rules for several keys of a job are judged only if the job has lost none that they look at.
"""

from __future__ import annotations

import copy
import re
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from codex_runner.config.layers import Layer
from codex_runner.config.loading import config_of, incomplete, merged, read_file
from codex_runner.config.positions import Positions
from codex_runner.config.problems import nearest
from codex_runner.config.retired import RETIRED
from codex_runner.config.settings import JobSettings
from codex_runner.config.tables import CONFIG_FILE, table
from codex_runner.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from codex_runner.config.problems import Problem
    from codex_runner.config.retired import Retired
    from codex_runner.config.settings import Config

    Key = tuple[str | int, ...]

_ONE_ROUND_EACH: Final = 1000  # far more than a file has jobs and tables
_TOLD_BY_TOMLLIB: Final = re.compile(r"\(at (?:line (\d+), column (\d+)|end of document)\)")


@dataclass(slots=True)
class Examined:
    """A file, and what is wrong with it as far as it can be told without the files that it names.

    `config` is the rest of the file without the keys `left_out`. Its keys may contradict each other. It is None if no
    rest can be loaded.
    """

    config: Config | None = None
    problems: list[Problem] = field(default_factory=list)
    warnings: tuple[str, ...] = ()
    left_out: set[Key] = field(default_factory=set)
    text: str = ""

    def is_whole(self, job: str) -> bool:
        """Whether the job has each key, its own or another table's, that a rule for several keys looks at."""
        return not any(_bears(key) for key in self.left_out if key[0] != "jobs" or key[1:2] == (job,))


# The keys of a job, and the tables of the file, that rules for several keys look at.
_LOOKED_AT: Final = frozenset(
    (
        *("budget", "codex", "credential", "cwd", "delivery", "gate", "host", "hosts", "model", "on_check_failure"),
        *("prices", "retry", "sandbox", "workspace"),
    )
)


def _bears(key: Key) -> bool:
    """Whether a rule for several keys may look at this one, or at the one that was probably meant."""
    last = str(key[-1])
    inside = key[0] in {"jobs", "defaults"}
    known = set(table(JobSettings).keys) if inside else set(CONFIG_FILE.keys)
    if len(key) == 1 + (key[0] == "jobs"):  # a whole job, or a whole table of the file
        return key[0] == "jobs" or (nearest(last, CONFIG_FILE.keys) or "") in _LOOKED_AT | {"defaults"}
    meant = last if last in known or not inside else nearest(last, known) or ""
    return key[0] in _LOOKED_AT or meant in _LOOKED_AT


def examine(file: Path, start: Path, retired: Sequence[Retired] = RETIRED) -> Examined:
    """Read a file and find its mistakes. Raises ConfigurationError if there is no such file."""
    read = read_file(file, start)
    if read.problems:
        return Examined(problems=read.problems, text=_text(file))
    found = Examined(text=_text(file))
    rest = read.values
    for _ in range(_ONE_ROUND_EACH):
        layer = Layer(copy.deepcopy(rest), dict(read.origins))
        values, problems, warnings = merged((layer,), retired)
        found.warnings = found.warnings or tuple(warnings)
        found.problems += [each for each in problems if each not in found.problems]
        if values is not None and not problems:
            found.problems += [each for each in incomplete(values, (layer,)) if found.is_whole(str(each.path[1]))]
            found.config = config_of(file, values)
            return found
        # `layer` has the successors of retired keys, of which the problems speak.
        rest = layer.values
        if not _leave_out(rest, problems, found.left_out):
            return found
    return found


def _leave_out(values: dict[str, Any], problems: Iterable[Problem], left_out: set[Key]) -> bool:
    """Remove the wrong keys, and note them. Returns whether there is less to read now."""
    before = len(left_out)
    for each in problems:
        key = each.path[: 3 if each.path[:1] == ("jobs",) else 2 if each.path[:1] in _BY_NAME else 1]
        if not key or key in left_out:
            continue
        left_out.add(key)
        if key == ("version",):
            values["version"] = 1
            continue
        table: Any = values
        for part in key[:-1]:
            table = table.get(part) if isinstance(table, dict) else None
        if isinstance(table, dict):
            table.pop(key[-1], None)
    return len(left_out) > before


_BY_NAME: Final = {("defaults",), ("hosts",), ("prices",)}


def position(problem: Problem, text: str) -> tuple[int, int]:
    """Return the line and the column of a problem, from 1. Those of the whole file are 1 and 1."""
    if not problem.path and (told := _TOLD_BY_TOMLLIB.search(problem.problem)):
        lines = text.split("\n")
        return (int(told[1]), int(told[2])) if told[1] else (len(lines), len(lines[-1]) + 1)
    try:
        return Positions(text).of(problem.path)
    except (ValueError, IndexError, RecursionError):  # the text is no TOML: it has no keys
        return 1, 1


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ""
