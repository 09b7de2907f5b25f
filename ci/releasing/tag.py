"""What a tag says: whether this tree may be released with it, the notes of its version, and the tag that moves with it.

    python3 ci/releasing/tag.py check v0.2.0    exit code 1, with everything that is wrong, unless it may be released
    python3 ci/releasing/tag.py notes v0.2.0    the version's notes from CHANGELOG.md, as a forge shows them
    python3 ci/releasing/tag.py moving v0.2.0 v0.1.0 v0.1.1    the tag that users of the action name: `v0`. Empty for a
                                                prerelease, and if one of the other tags is a newer release
    python3 ci/releasing/tag.py owner NAME      put the account that has the repository where the tree says OWNER

It needs no package but the standard library, and no git: pipelines of two forges call it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from links import absolute

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TOP = Path(__file__).parents[2]
_TAG = re.compile(r"v(\d+)\.(\d+)\.(\d+)((?:a|b|rc)\d+)?")
_SECTION = re.compile(r"^## (?P<name>.*)\n(?P<text>(?:(?!## ).*\n?)*)", re.MULTILINE)
# The account that has the repository, where the tree does not name it yet. This line does not match itself.
_OWNER = re.compile(r"(?<=@)[O]WNER\b|\bOWNER(?=/codex-runner\b|\.github\.io\b)")
# A line that does not go on with the paragraph before it. A number and a dot may well do so: `exit code` and `1. If`.
_BEGINS = re.compile(r"\s*(?:[-*+>#|]|$)")


def version(top: Path = TOP) -> str:
    """Return the version that the package says of itself, which owns it."""
    text = (top / "codex_runner" / "__init__.py").read_text(encoding="utf-8")
    return str(re.findall(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)[0])


def source(top: Path = TOP) -> str:
    """Return the address of the repository, which pyproject.toml owns."""
    project = tomllib.loads((top / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["urls"]["Source"])


def named_by_init(top: Path = TOP) -> str:
    """Return the tag by which `codex-runner init github` names the action."""
    text = (top / "codex_runner" / "cli" / "pipelines.py").read_text(encoding="utf-8")
    return str(re.findall(r'^ACTION = "[^"@]+@([^"]+)"$', text, re.MULTILINE)[0])


def problems(tag: str, top: Path = TOP, repository: str = "") -> list[str]:
    """Return what is in the way of a release with this tag, one sentence each.

    `repository` is the address of the repository that releases, or empty if that is not known.
    """
    found = []
    if _TAG.fullmatch(tag) is None:
        found.append(f"The tag {tag} is no version: write v1.2.3, or v1.2.3rc1 for a prerelease.")
    if tag != f"v{version(top)}":
        found.append(f"The tag is {tag}, and codex_runner/__init__.py says {version(top)}: change one of them.")
    sections = _sections(top)
    heading, text = next(((name, text) for name, text in sections if _is_of(tag, name)), ("", ""))
    if not heading:
        found.append(f"CHANGELOG.md has no section `## {tag.removeprefix('v')} - YYYY-MM-DD`: write it.")
    elif not text.strip():
        found.append(f"CHANGELOG.md says nothing of {heading}: write what users notice.")
    if any(name == "Unreleased" and text.strip() for name, text in sections):
        found.append("CHANGELOG.md has lines under `## Unreleased`: move them to the version's section.")
    if (moves := moving(tag)) and moves != (named := named_by_init(top)):
        found.append(
            f"This release moves the tag {moves}, and `init github` names the action by {named}: change ACTION."
        )
    if files := [path.relative_to(top).as_posix() for path in _without_owner(top)]:
        told = f"{', '.join(files[:3])}{f' and {len(files) - 3} more' if len(files) > 3 else ''}"
        found.append(f"No owner of the repository is named in {told}: do the first step of docs/releasing.md.")
    elif repository and repository.lower() != source(top).lower():
        found.append(f"pyproject.toml says that the repository is {source(top)}, and this is {repository}.")
    return found


def notes(tag: str, top: Path = TOP) -> str:
    """Return the version's notes, each paragraph on one line, since forges break lines. LookupError without a section.

    A section with subheadings keeps them.
    """
    text = next((text for name, text in _sections(top) if _is_of(tag, name)), None)
    if text is None:
        raise LookupError(tag)
    return absolute(_unwrapped(text.strip()), "CHANGELOG.md", source(top), tag) + "\n"


def unreleased(top: Path = TOP) -> str:
    """Return the notes of a release that has no section yet. Empty if nothing is unreleased."""
    text = next((text for name, text in _sections(top) if name == "Unreleased"), "")
    return absolute(_unwrapped(text.strip()), "CHANGELOG.md", source(top), "main") + "\n"


def moving(tag: str, others: Iterable[str] = ()) -> str:
    """Return the tag of the major version, which moves to each release.

    Empty for a prerelease, and if one of the `others` is a newer release of the same major version: who names the
    major version would get an older one. Tags that are no versions do not count.
    """
    found = _TAG.fullmatch(tag)
    if found is None or found[4]:
        return ""
    releases = [other for other in map(_TAG.fullmatch, others) if other and other[1] == found[1] and not other[4]]
    return "" if any(_number(other) > _number(found) for other in releases) else f"v{found[1]}"


def own(name: str, top: Path = TOP) -> list[str]:
    """Put the account that has the repository where the tree says OWNER. Returns the files that it changed."""
    if re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?", name) is None:
        sys.exit(f"{name!r} is no name of an account on GitHub.")
    files = list(_without_owner(top))
    for path in files:
        path.write_text(_OWNER.sub(name, path.read_text(encoding="utf-8")), encoding="utf-8")
    return [path.relative_to(top).as_posix() for path in files]


def _without_owner(top: Path) -> Iterator[Path]:
    """Yield the files that say OWNER. Folders that hold nothing of the repository are left out, as no git is needed."""
    for folder, below, names in os.walk(top):
        below[:] = sorted(each for each in below if each == ".github" or not each.startswith((".", "build", "dist")))
        for path in (Path(folder) / each for each in sorted(names)):
            with contextlib.suppress(UnicodeDecodeError):
                if path.is_file() and _OWNER.search(path.read_text(encoding="utf-8")):
                    yield path


def _number(version: re.Match[str]) -> tuple[int, ...]:
    return tuple(int(version[group]) for group in (1, 2, 3))


def _sections(top: Path) -> list[tuple[str, str]]:
    text = (top / "CHANGELOG.md").read_text(encoding="utf-8")
    return [(found["name"], found["text"]) for found in _SECTION.finditer(text)]


def _is_of(tag: str, heading: str) -> bool:
    name, _, day = heading.partition(" - ")
    try:
        dt.date.fromisoformat(day)
    except ValueError:
        return False
    return f"v{name}" == tag


def _unwrapped(text: str) -> str:
    lines: list[str] = []
    fenced = False
    for line in text.splitlines():
        begins = fenced or _BEGINS.match(line) or not lines or not lines[-1] or lines[-1].startswith("#")
        if line.lstrip().startswith("```"):
            fenced, begins = not fenced, True
        if begins:
            lines.append(line.rstrip())
        else:
            lines[-1] += f" {line.strip()}"
    return "\n".join(lines)


def _releasing() -> str:
    """Return the address of the repository whose pipeline runs, or an empty string outside GitHub Actions."""
    name = os.environ.get("GITHUB_REPOSITORY", "")
    return f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{name}" if name else ""


def main(arguments: list[str]) -> None:
    match arguments:
        case ["check", tag]:
            if found := problems(tag, repository=_releasing()):
                sys.exit("\n".join(found))
            print(f"{tag} may be released.", file=sys.stderr)
        case ["notes", tag]:
            try:
                print(notes(tag), end="")
            except LookupError:
                sys.exit(f"CHANGELOG.md has no section of {tag}.")
        case ["moving", tag, *others]:
            print(moving(tag, others))
        case ["owner", name]:
            print("\n".join(own(name)))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
