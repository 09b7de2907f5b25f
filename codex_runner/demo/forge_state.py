"""The nouns of the small forge: requests and replies, tokens, pull requests, faults, settings."""

from __future__ import annotations

import json
import time
from dataclasses import field
from typing import TYPE_CHECKING, Any

from codex_runner.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Request:
    """A request that came. `number` counts from 1. The names of `headers` are in lower case."""

    number: int
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body's JSON, None if there is none."""
        try:
            return json.loads(self.body or b"null")
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class ForgeReply:
    """What is sent. `work` is done before it is sent."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_reply(status: int, document: Any, **headers: str) -> ForgeReply:
    """Return a reply of JSON. Underscores in the names of `headers` stand for dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ForgeReply(
        status, json.dumps(document).encode(), {"content-type": "application/json; charset=utf-8", **named}
    )


class Refusal(Exception):  # noqa: N818 - it ends a request, and becomes its reply
    """A request is refused."""

    def __init__(self, reply: ForgeReply) -> None:
        """Keep the reply."""
        super().__init__(reply.status)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request: its connection is cut, or it gets `reply`.

    `after`: the server has done its work before. Otherwise it does nothing.
    """

    after: bool = False
    reply: ForgeReply | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A token that the forge knows. `rights`: "contents", "pulls", "issues"; an empty set sees nothing.

    `signs`: what it commits through the API is signed. `scopes` is what GitHub lists for a classic token. `job`: it is
    GitLab's CI_JOB_TOKEN, which can push, and read merge requests.
    """

    login: str
    rights: frozenset[str] = frozenset({"contents", "pulls", "issues"})
    signs: bool = False
    scopes: str | None = None
    job: bool = False


@dataclass(slots=True)
class Pull:
    """A pull request, or a merge request. `tip` is its branch's last commit. `merged_at` is a date of RFC 3339."""

    number: int
    branch: str
    base: str
    title: str
    author: str
    body: str = ""
    draft: bool = False
    tip: str = ""
    state: str = "open"
    merged: bool = False
    merged_at: str = ""
    labels: list[str] = field(default_factory=list)
    reviewers: list[str] = field(default_factory=list)
    teams: list[str] = field(default_factory=list)
    assignees: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Protection:
    """A rule for the branches that match `pattern`: a push of them is refused, and so is the API.

    `reason` is git's word for the ref, `lines` are what a push prints. `message` is the API's. `when` is what it
    refuses: "any", "create", "replace" (no fast-forward), or "unsigned".
    """

    pattern: str
    reason: str
    lines: tuple[str, ...]
    message: str = "Cannot update this protected ref."
    when: str = "any"


@dataclass(slots=True)
class Settings:
    """What an owner can set, and what a test wants.

    `actions_open`: GitHub Actions may open pull requests. `new_labels`: a label that is missing is made. `job_pushes`:
    CI_JOB_TOKEN may push. `job_reads`: it may read merge requests, as of GitLab 18.4. `option_error` is why GitLab does
    not do what the options of a push ask for. `unresolved` and `unseen` are the numbers of pull requests and of commits
    that are refused because their branch is too new.
    `remaining` is the rest of the requests of the hour. `creations` is GitHub's secondary limit a minute. `now` is the
    server's clock.
    """

    private: bool = True
    archived: bool = False
    drafts: bool = True
    actions_open: bool = True
    new_labels: bool = True
    job_pushes: bool = True
    job_reads: bool = True
    option_error: str = ""
    free_tier: bool = True
    unresolved: int = 0
    unseen: int = 0
    remaining: int = 5000
    creations: int = 80
    users: set[str] = field(default_factory=lambda: {"ada", "grace"})
    teams: set[str] = field(default_factory=lambda: {"writers"})
    labels: set[str] = field(default_factory=lambda: {"documentation"})
    protected: set[str] = field(default_factory=lambda: {"main"})
    protections: list[Protection] = field(default_factory=list)
    now: Callable[[], float] = time.monotonic
