"""What a repository would tell codex, as `survey.sh` found it: instructions, skills, a configuration of its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.git.guard import guard_script
from codex_runner.shell.leftovers import leftovers_script
from codex_runner.shell.scratch import scratch_script
from codex_runner.shell.script import shell_script

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Document:
    """A file of instructions. `size` is the whole file's in bytes, `data` its beginning, up to the limit."""

    path: str
    size: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found for the folder `at`, from the top of its repository, `root`, down to it. Paths are the kernel's.

    `project` are entries of `.codex` folders. `skills` are all SKILL.md files that codex would find, `sources` the
    folders of skills to hand to it (`folder PATH`, or `tree HASH PATH`). `unlisted` are files of instructions, and
    `unlisted_skills` folders, that lead out of the repository or cannot be read. `commit` is the base of a proposal;
    `no_base` is git's reason if there is none.
    """

    at: str = ""
    root: str = ""
    project: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    unlisted_skills: tuple[str, ...] = ()
    documents: tuple[Document, ...] = ()
    commit: str = ""
    no_base: str | None = None

    def shown(self, path: str) -> str:
        """Return a path as people name it: relative to the top of the repository."""
        return path.removeprefix(self.root.rstrip("/") + "/")


def functions() -> str:
    """Return the shell functions that look (`survey FOLDER WANTED`), and those of leftovers.sh and scratch.sh."""
    text = shell_script("codex_runner.codex", "survey.sh")
    return f"{guard_script()}\n{scratch_script()}\n{leftovers_script()}\n{text}"


def wanted(mode: str, limit: int, names: Sequence[str], bases: Sequence[str]) -> str:
    """Return what `survey` is to look for. A name of several lines is none that codex could find."""
    lines = [f"mode {mode}", f"limit {limit}", *(f"name {name}" for name in names), *(f"base {base}" for base in bases)]
    return "\n".join(line for line in lines if "\n" not in line)


def read_survey(lines: Iterable[str]) -> Survey:
    """Read the lines that `survey` printed; others are left out."""
    found = read_answers(lines)

    def every(key: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(found.get(key, ())))

    sizes, texts = map(int, found.get("bytes", ())), map(bytes.fromhex, found.get("hex", ()))
    return Survey(
        at="".join(every("at")[:1]),
        root="".join(every("root")[:1]),
        project=every("project"),
        skills=every("skill"),
        sources=every("skills"),
        unlisted=every("unlisted"),
        unlisted_skills=every("unlisted-skills"),
        documents=tuple(map(Document, found.get("document", ()), sizes, texts)),
        commit="".join(every("base")[:1]),
        no_base=next(iter(every("no-base")), None),
    )


def read_answers(lines: Iterable[str]) -> dict[str, list[str]]:
    """Read lines `KEY VALUE` as `told` prints them: the values of each key, in order."""
    found: dict[str, list[str]] = {}
    for line in lines:
        key, _, value = line.partition(" ")
        found.setdefault(key, []).append(_ESCAPE.sub(lambda match: "\n" if match[1] == "n" else match[1], value))
    return found
