"""GitLab as a forge: merge requests by its API with an access token. See gitlab_job for a job's own token."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from codex_runner.delivery.answer import Answer, MalformedError, take, take_date, take_link, take_text
from codex_runner.delivery.attach import attach
from codex_runner.delivery.governance import ForgeQuestions
from codex_runner.delivery.http import ForgeClient, ForgeEndpoint, Manners, Timing
from codex_runner.domain.delivery import Access, ForgeKind, PullOutcome, PullRequest, PullState
from codex_runner.domain.errors import ConfigurationError, CredentialError, DeliveryError, ForgeUnreachableError
from codex_runner.text.dates import parse_day_or_date

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.domain.delivery import Decoration, ForgeCredential, PullText
    from codex_runner.domain.governance import Attested

_DEVELOPER: Final = 30  # the level that may push, and open merge requests
_SOON: Final = 7 * 86400.0
_DRAFT: Final = re.compile(r"\s*(?:\[Draft\]|\(Draft\)|Draft:)\s*", re.IGNORECASE)
_STATES: Final = {
    "opened": PullState.OPEN,
    "locked": PullState.OPEN,  # while it is being merged
    "closed": PullState.CLOSED,
    "merged": PullState.MERGED,
}
NEEDS: Final = "a project access token with the role Developer and the scope `api`"


def _remedy(answer: Answer) -> str | None:
    if answer.status == 404:
        return f"Correct `delivery.repository`. GitLab also answers 404 if the token may not see it: use {NEEDS}."
    if answer.status == 403:
        return f"Use {NEEDS}."
    return None


MANNERS: Final = Manners(
    name="GitLab",
    headers={"accept": "application/json"},
    sign=lambda token: {"private-token": token},
    remedy=_remedy,
    is_early=lambda _: False,
)


class GitLabForge:
    """A project at GitLab. See the port for what its methods promise. A pull request is a merge request here."""

    kind = ForgeKind.GITLAB
    manners = MANNERS

    def __init__(
        self, endpoint: ForgeEndpoint, credential: ForgeCredential, repository: str, timing: Timing | None = None
    ) -> None:
        """Open no connection yet. `repository` is the project's path, such as `group/project`.

        Raises ConfigurationError if the repository or the endpoint cannot be used.
        """
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)+", repository):
            raise ConfigurationError(
                f"`delivery.repository` is {repository[:100]!r}, which is no project of GitLab.",
                remedy="Write it as group/project.",
            )
        self._client = ForgeClient(endpoint, credential.secret, self.manners, timing)
        self._name = repository
        self._project_path = f"/projects/{quote(repository, safe='')}"

    async def check(self, base: str | None) -> Access:
        """Ask for the project, the branch, and the token's scopes. Changes nothing."""
        doing = f"find the project {self._name}"
        answer = await self._ask("GET", "", doing)
        with self._client.understood(doing):
            found = take(answer.document, dict)
            default_branch = take(found, str, "default_branch")
            if take(found, bool, "archived"):
                raise DeliveryError("The project at GitLab is archived: it takes no push.")
            if found.get("merge_requests_access_level") == "disabled":
                raise DeliveryError("Merge requests are turned off in the project at GitLab.")
            level = _access_level(found.get("permissions"))
        if level is not None and level < _DEVELOPER:
            raise CredentialError(
                f"GitLab takes the token, but its role in {self._name} is too low to push.", remedy=f"Use {NEEDS}."
            )
        branch = base or default_branch
        doing = f"find the branch {branch}"
        answer = await self._ask("GET", f"/repository/branches/{quote(branch, safe='')}", doing, accept={404})
        if answer.status == 404:
            raise DeliveryError(
                f"The branch {branch} does not exist at GitLab.", remedy="Correct `delivery.base`, or push the branch."
            )
        with self._client.understood(doing):
            tip = take(answer.document, str, "commit", "id")
        return Access(default_branch, tip, warnings=tuple(await self._judge_token()))

    async def find(self, branch: str) -> Sequence[PullRequest]:
        """Return the merge requests from this branch, of any state, the newest first."""
        doing = f"list the merge requests of {branch}"
        query = {"source_branch": branch, "state": "all", "order_by": "created_at", "sort": "desc"}
        entries = await self._client.listing(f"{self._project_path}/merge_requests", query, doing)
        with self._client.understood(doing):
            return [_merge_request(each) for each in entries if _is_from(each, branch)]

    async def open(self, branch: str, base: str, text: PullText) -> PullRequest:
        """Open a merge request. Returns the open one if there is one from this branch to this base already."""
        doing = f"open a merge request from {branch} to {base}"
        body = {
            "source_branch": branch,
            "target_branch": base,
            "title": _titled(text.title, draft=text.draft),
            "description": text.body,
        }
        answer = await self._ask("POST", "/merge_requests", doing, body=body, accept={409})
        if answer.status == 409:
            for pull in await self.find(branch):
                if pull.state is PullState.OPEN and pull.base == base:
                    return pull
            raise self._client.refusal(answer, doing)
        with self._client.understood(doing):
            pull = _merge_request(answer.document)
            if (pull.branch, pull.base) != (branch, base):
                raise MalformedError("it is about other branches")
            return pull

    async def update(self, number: int, text: PullText) -> PullRequest:
        """Set title and description. Leaves the draft state alone, which GitLab keeps in the title."""
        doing = f"update the merge request !{number}"
        now = await self._get(number, doing)
        title = _titled(text.title, draft=now.draft)
        return await self._put(number, doing, title=title, description=text.body)

    async def close(self, number: int) -> None:
        """Close a merge request. Idempotent."""
        doing = f"close the merge request !{number}"
        if (await self._get(number, doing)).state is not PullState.OPEN:
            return
        if (await self._put(number, doing, state_event="close")).state is PullState.OPEN:
            raise DeliveryError(f"GitLab could not {doing}: it is still open.")

    async def outcome(self, number: int) -> PullOutcome | None:
        """Return what has become of a merge request. Returns None if the project's are shown, and it is not there."""
        doing = f"find the merge request !{number}"
        answer = await self._ask("GET", f"/merge_requests/{number}", doing, accept={404})
        if answer.status == 404:
            doing = f"list the merge requests of {self._name}"
            answer = await self._ask("GET", "/merge_requests?state=all&per_page=1", doing)
            with self._client.understood(doing):
                take(answer.document, list)
            return None
        with self._client.understood(doing):
            pull = _merge_request(answer.document)
            if pull.number != number or not _is_from(answer.document, pull.branch):
                raise MalformedError("it is about another merge request")
            merged = take_date(answer.document, "merged_at") if pull.state is PullState.MERGED else None
        has_branch = None if pull.state is PullState.MERGED else await self._has_branch(pull.branch)
        return PullOutcome(number, pull.link, pull.state, pull.branch, pull.draft, merged, has_branch)

    async def decorate(self, number: int, decoration: Decoration) -> Sequence[str]:
        """Add labels, reviewers and assignees. Returns a sentence for each that failed."""
        path = f"/merge_requests/{number}"

        async def label(name: str) -> bool:
            answer = await self._ask("PUT", path, "add it", body={"add_labels": name})
            return name in take(answer.document, list, "labels")

        async def person(name: str, key: str, field: str) -> bool:
            user = await self._user(name)
            now = _ids((await self._ask("GET", path, "add it")).document, key)
            if user is None or user in now:
                return user is not None
            # The Free tier has one reviewer and one assignee, and leaves the others out in silence.
            answer = await self._ask("PUT", path, "add it", body={field: [*now, user]})
            return user in _ids(answer.document, key)

        return await attach(
            self._client,
            decoration,
            label=label,
            reviewer=lambda name: person(name, "reviewers", "reviewer_ids"),
            assignee=lambda name: person(name, "assignees", "assignee_ids"),
        )

    async def governance(self, base: str | None) -> Sequence[Attested]:
        """See Forge.governance."""
        return await ForgeQuestions(self._client, self.kind, self._name, None).answers(base)

    async def aclose(self) -> None:
        """Close the connections. Idempotent."""
        await self._client.aclose()

    async def _has_branch(self, branch: str) -> bool | None:
        """Whether the branch exists. None: GitLab does not show this token any branch, as with a job's."""
        path = f"/repository/branches/{quote(branch, safe='')}"
        answer = await self._ask("GET", path, f"find the branch {branch}", accept={404})
        if answer.status != 404:
            return True
        return False if "branch not found" in answer.words.lower() else None

    async def _judge_token(self) -> Sequence[str]:
        """Return warnings about the token. Raises CredentialError if it lacks a scope."""
        doing = "describe the token"
        try:
            answer = await self._client.request("GET", "/personal_access_tokens/self", doing)
        except ForgeUnreachableError:
            raise
        except (DeliveryError, CredentialError):
            return ["GitLab does not describe the delivery's token: whether it may open merge requests is not known."]
        with self._client.understood(doing):
            scopes = take(answer.document, list, "scopes")
            end = take_text(answer.document, "expires_at")
            if "api" not in scopes:
                raise CredentialError("GitLab takes the token, but it lacks the scope `api`.", remedy=f"Use {NEEDS}.")
            try:
                soon = bool(end) and parse_day_or_date(end) - time.time() < _SOON
            except ValueError:
                raise MalformedError("its `expires_at` is no date") from None
        return [f"The delivery's token expires on {end}: renew it."] if soon else []

    async def _ask(self, method: str, path: str, doing: str, **options: Any) -> Answer:
        return await self._client.request(method, f"{self._project_path}{path}", doing, **options)

    async def _get(self, number: int, doing: str) -> PullRequest:
        return self._read(await self._ask("GET", f"/merge_requests/{number}", doing), number, doing)

    async def _put(self, number: int, doing: str, **body: Any) -> PullRequest:
        answer = await self._ask("PUT", f"/merge_requests/{number}", doing, body=body)
        return self._read(answer, number, doing)

    def _read(self, answer: Answer, number: int, doing: str) -> PullRequest:
        with self._client.understood(doing):
            pull = _merge_request(answer.document)
            if pull.number != number:
                raise MalformedError("it is about another merge request")
            return pull

    async def _user(self, name: str) -> int | None:
        answer = await self._client.request("GET", f"/users?username={quote(name, safe='')}", "find the user")
        users = take(answer.document, list)
        return take(users[0], int, "id") if users else None


def _merge_request(document: Any) -> PullRequest:
    state = _STATES.get(take(document, str, "state"))
    if state is None:
        raise MalformedError("it has an unknown state")
    return PullRequest(
        number=take(document, int, "iid"),
        link=take_link(document, "web_url"),
        state=state,
        branch=take(document, str, "source_branch"),
        base=take(document, str, "target_branch"),
        tip=take_text(document, "sha"),
        title=_DRAFT.sub("", take(document, str, "title"), count=1)
        if take(document, bool, "draft")
        else take(document, str, "title"),
        body=take_text(document, "description"),
        draft=take(document, bool, "draft"),
    )


def _is_from(document: Any, branch: str) -> bool:
    """Whether a merge request is from this branch of this project, not of a fork."""
    same = take(document, object, "source_project_id") == take(document, int, "target_project_id")
    return same and take(document, str, "source_branch") == branch


def _titled(title: str, *, draft: bool) -> str:
    """Return a title that makes a draft or none: GitLab keeps that in the title alone."""
    bare = title
    while match := _DRAFT.match(bare):
        bare = bare[match.end() :]
    return f"Draft: {bare}" if draft else bare


def _access_level(permissions: Any) -> int | None:
    """Return the highest level that GitLab tells, None if it tells none."""
    parts = (
        [permissions.get(name) for name in ("project_access", "group_access")] if isinstance(permissions, dict) else []
    )
    levels = [
        part["access_level"] for part in parts if isinstance(part, dict) and isinstance(part.get("access_level"), int)
    ]
    return max(levels, default=None)


def _ids(document: Any, key: str) -> list[int]:
    return [take(each, int, "id") for each in take(document, list, key)]
