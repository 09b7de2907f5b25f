"""The scenario `release_notes`: an agent that drafts RELEASE_NOTES.md from the repository's log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from codex_runner.demo.model_wire import Answer, add_file, message, patch, reply, shell

if TYPE_CHECKING:
    from codex_runner.demo.model_request import ModelRequest

FILE = "RELEASE_NOTES.md"
LOG_COMMAND = "git --no-pager log --oneline --no-decorate --no-color --no-merges -n 200"

# Login shells may print their own lines into a command's output: only lines with a commit count.
_COMMIT = re.compile(r"^([0-9a-f]{7,40}) (\S.*)$", re.MULTILINE)

_SECTIONS = {
    "Added": re.compile(r"(add|introduce|support|feat)", re.IGNORECASE),
    "Fixed": re.compile(r"(fix|correct|repair)", re.IGNORECASE),
    "Documented": re.compile(r"(doc|describe|explain)", re.IGNORECASE),
}
_REST = "Changed"
_PREFIX = re.compile(r"^\w+(\([^)]*\))?!?: ")  # of a conventional commit: `feat(cli): `


def release_notes(step: int, request: ModelRequest) -> Answer:
    """Read the log, write the notes from its output, say how many commits they cover."""
    if step == 0:
        return reply(message(f"I will read the log and draft {FILE} from it."), shell(LOG_COMMAND))
    commits = _COMMIT.findall(request.outputs[0])
    if not commits:
        return reply(message(f"The log shows no commits, so there is nothing to write into {FILE}."))
    if step == 1:
        return reply(patch(add_file(FILE, notes(commits))))
    return reply(message(f"{FILE} is drafted from {len(commits)} commits; nothing else was changed."))


def notes(commits: list[tuple[str, str]]) -> str:
    """Group commits (hash, subject) by what they do, newest first within each group, as Markdown."""
    groups: dict[str, list[str]] = {}
    for commit, subject in commits:
        title = next((name for name, verb in _SECTIONS.items() if verb.match(subject)), _REST)
        groups.setdefault(title, []).append(f"- {_PREFIX.sub('', subject)} ({commit})")
    sections = (f"## {title}\n\n" + "\n".join(groups[title]) for title in (*_SECTIONS, _REST) if title in groups)
    return "\n\n".join(["# Release notes", *sections]) + "\n"
