"""What a tag says: whether this tree may be released with it, the notes of its version, and the tag that moves with it.

    python3 ci/releasing/tag.py check v0.2.0    exit code 1, with everything that is wrong, unless it may be released
    python3 ci/releasing/tag.py notes v0.2.0    the version's notes from CHANGELOG.md, as a forge shows them
    python3 ci/releasing/tag.py moving v0.2.0   the tag that users of the action name: `v0`. Empty for a prerelease

It needs no package but the standard library, and no git: pipelines of two forges call it.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import sys
import tomllib
from pathlib import Path

from links import absolute

TOP = Path(__file__).parents[2]
_TAG = re.compile(r"v(\d+)\.(\d+)\.(\d+)((?:a|b|rc)\d+)?")
_SECTION = re.compile(r"^## (?P<name>.*)\n(?P<text>(?:(?!## ).*\n?)*)", re.MULTILINE)
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
    if "/OWNER/" in source(top):
        found.append("pyproject.toml names no owner of the repository: do the first step of docs/releasing.md.")
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


def moving(tag: str) -> str:
    """Return the tag of the major version, which moves to each release. Empty for a prerelease."""
    found = _TAG.fullmatch(tag)
    return f"v{found[1]}" if found and not found[4] else ""


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
        case ["moving", tag]:
            print(moving(tag))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
