"""Options of `git push` with which GitLab opens a merge request: the only way for CI_JOB_TOKEN.

With that token, the API of merge requests answers 403.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codex_runner.domain.errors import DeliveryError

if TYPE_CHECKING:
    from codex_runner.domain.delivery import Decoration, PullText

_BYTES: Final = 65_000  # git sends each option as one packet, of 65,516 bytes at most


def push_options(base: str, text: PullText, decoration: Decoration) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the options of a push, each the value of one `--push-option`, and sentences for what they leave out.

    Without `create`, GitLab ignores the others in silence; a later push without the target sets the default branch
    again. So both are always there. GitLab does nothing at all if the branch is up to date already. Raises
    DeliveryError if a value cannot be sent: git refuses a newline.
    """
    options = ["merge_request.create", f"merge_request.target={base}", f"merge_request.title={text.title}"]
    left_out: list[str] = []
    if text.draft:
        options.append("merge_request.draft")
    if text.body and not _is_fit(f"merge_request.description={text.body}"):
        left_out.append(
            "The merge request has no description: with a job's token it travels as an option of git push, on one line."
        )
    elif text.body:
        options.append(f"merge_request.description={text.body}")
    options += [f"merge_request.label={label}" for label in decoration.labels]
    options += [f"merge_request.assign={assignee}" for assignee in decoration.assignees]
    if decoration.reviewers:
        left_out.append("The merge request has no reviewers: an option of git push cannot name them.")
    for option in options:
        if not _is_fit(option):
            raise DeliveryError(
                f"GitLab cannot be told {option.partition('=')[0]}: its value has a newline, or is too long.",
                remedy="Shorten it to one line, or deliver with a project access token.",
            )
    return tuple(options), tuple(left_out)


def _is_fit(option: str) -> bool:
    return not any(character in option for character in "\n\r\0") and len(option.encode(errors="replace")) <= _BYTES
