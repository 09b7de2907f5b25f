"""Options of `git push` with which GitLab opens and updates a merge request: the only way for CI_JOB_TOKEN.

GitLab's documentation of push options names them. git refuses a newline in an option. GitLab makes a newline of each
backslash with an `n` after it in a description, and of no other value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codex_runner.delivery.text import Bounds
from codex_runner.domain.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.domain.delivery import Decoration, PullRequest, PullText

_BYTES: Final = 65_000  # git sends each option as one packet, of 65,516 bytes at most
_NEWLINE: Final = "\\n"  # two characters


def escaped(text: str) -> str:
    """Return a description in one line, which GitLab splits again.

    GitLab has no escape for a backslash before an `n`. A space parts the two, or words of the agent would become lines.
    """
    text = text.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")
    return text.replace(_NEWLINE, "\\ n").replace("\n", _NEWLINE)


def _measure(text: str) -> int:
    return len(escaped(text).encode())


BOUNDS: Final = Bounds(248, 64_000, _measure, "64,000 bytes")
"""The lengths that fit into options."""


def push_options(base: str, text: PullText, decoration: Decoration, opened: PullRequest | None) -> Sequence[str]:
    """Return the options of a push that opens a merge request, or updates `opened`.

    The target is always there: without it, GitLab takes the default branch. Only a new merge request gets `create`, the
    draft state, labels and assignees: a person may have closed or changed the old one. Raises DeliveryError if a value
    cannot be sent.
    """
    options = [f"merge_request.target={base}", f"merge_request.title={text.title}"]
    options.append(f"merge_request.description={escaped(text.body)}")
    if opened is None:
        options.insert(0, "merge_request.create")
        options += [f"merge_request.label={label}" for label in decoration.labels]
        options += [f"merge_request.assign={assignee}" for assignee in decoration.assignees]
    if text.draft if opened is None else opened.draft:  # GitLab keeps that in the title, which is set anew
        options.append("merge_request.draft")
    for option in options:
        if not _is_fit(option):
            raise DeliveryError(
                f"GitLab cannot be told {option.partition('=')[0]}: its value has a newline, or is too long.",
                remedy="Shorten it to one line, or deliver with a project access token.",
            )
    return options


def _is_fit(option: str) -> bool:
    return not any(character in option for character in "\n\r\0") and len(option.encode(errors="replace")) <= _BYTES
