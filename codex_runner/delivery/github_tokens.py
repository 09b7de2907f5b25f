"""GitHub's tokens: their kinds, what each may do, and what to do about a refusal."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from codex_runner.delivery.branch_rules import rule_of
from codex_runner.text.dates import format_minute, parse_date

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from codex_runner.delivery.answer import Answer

ACTIONS_LOGIN: Final = "github-actions[bot]"
"""The login behind GITHUB_TOKEN. An App's token has the App's own."""

_SOON: Final = 7 * 86400.0
_NEEDS: Final = "contents and pull requests, both read and write"

_RIGHTS: Final = f"Give the token the permissions {_NEEDS}."
_UNSEEN: Final = f"GitHub answers 404 if the token may not see it. {_RIGHTS}"
_REMEDIES: Final = (
    (
        "not permitted to create or approve pull requests",
        (
            'Turn on "Allow GitHub Actions to create and approve pull requests" in the settings of the repository or '
            "its organization (Actions, General), or deliver with an App's token."
        ),
    ),
    (
        "resource not accessible by integration",
        (
            "Give the workflow's job `permissions: contents: write` and `pull-requests: write`, or the App the "
            f"permissions {_NEEDS}."
        ),
    ),
    ("resource not accessible by personal access token", _RIGHTS),
    (
        "without `workflow",  # `workflows` permission, `workflow` scope
        "The change touches .github/workflows: deliver it with an App's token that has `workflows: write`.",
    ),
    (
        "draft pull requests are not supported",
        "Set `delivery.draft = false`: this repository's plan has no draft pull requests.",
    ),
    ("saml", "Authorize the token for the organization's single sign-on, in the settings of its owner."),
)
"""GitHub's words, in lower case, and what to do."""


class GitHubTokenKind(StrEnum):
    """The kind of a token. Its prefix tells it."""

    INSTALLATION = "installation token"  # of an App, or GITHUB_TOKEN
    FINE_GRAINED = "fine-grained personal access token"
    CLASSIC = "classic personal access token"
    USER = "user token"  # of an App or an OAuth App, on behalf of a person
    UNKNOWN = "token"


_PREFIXES: Final = {
    "ghs_": GitHubTokenKind.INSTALLATION,
    "github_pat_": GitHubTokenKind.FINE_GRAINED,
    "ghp_": GitHubTokenKind.CLASSIC,
    "gho_": GitHubTokenKind.USER,
    "ghu_": GitHubTokenKind.USER,
}


def token_kind(token: str) -> GitHubTokenKind:
    """Return the kind of a token."""
    return next((kind for prefix, kind in _PREFIXES.items() if token.startswith(prefix)), GitHubTokenKind.UNKNOWN)


def missing_right(
    kind: GitHubTokenKind, headers: Mapping[str, str], repository: Mapping[str, Any]
) -> tuple[str, str] | None:
    """Return what a token lacks, as far as the answer for the repository tells, and the remedy. None if nothing.

    GitHub lists the scopes of a classic token, and a person's rights. Of an installation's token it tells nothing
    before a request is refused.
    """
    scopes = headers.get("x-oauth-scopes")
    if kind is GitHubTokenKind.CLASSIC and scopes is not None:
        has = {scope.strip() for scope in scopes.split(",")}
        enough = {"repo"} if repository.get("private", True) else {"repo", "public_repo"}
        if has.isdisjoint(enough):
            return "the token lacks the scope `repo`", "Make a token with the scope `repo`, or a fine-grained one."
    rights = repository.get("permissions")
    if kind is not GitHubTokenKind.INSTALLATION and isinstance(rights, dict) and rights.get("push") is False:
        return (
            "the token may not push to the repository",
            f"Give the token, and the account behind it, the rights {_NEEDS}.",
        )
    return None


def expiry_warnings(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence if a personal token expires soon."""
    text = headers.get("github-authentication-token-expiration", "")
    try:
        end = parse_date(text.replace(" UTC", "+00:00"))
    except ValueError:
        return
    if end - time.time() < _SOON:
        yield f"The delivery's token expires on {format_minute(end)}: renew it."


def refused_remedy(answer: Answer) -> str | None:
    """Return what to do about a refusal of GitHub, None if nothing better than the default is known."""
    words = answer.words.lower()
    for said, remedy in _REMEDIES:
        if said in words:
            return f"{remedy}{_accepted(answer)}"
    if rule := rule_of(answer.words.replace("; ", "\n")):
        return rule.remedy
    if "x-github-sso" in answer.headers:
        return _REMEDIES[-1][1]
    return {
        403: f"{_RIGHTS}{_accepted(answer)}",
        404: f"Correct `delivery.repository`, `delivery.api` or the token: {_UNSEEN}",
    }.get(answer.status)


def _accepted(answer: Answer) -> str:
    """Return the permissions that GitHub names, as a sentence after a space. "" if it names none."""
    named = answer.headers.get("x-accepted-github-permissions", "")
    known = all(character.isalnum() or character in "_=,; " for character in named)
    return f" This request needs {named[:100]}." if named and known else ""
