"""GitHub as a forge: pull requests by its REST API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from codex_runner.delivery.answer import MalformedError, take, take_date, take_link, take_text
from codex_runner.delivery.attach import attach
from codex_runner.delivery.github_api import MANNERS, GitHubRepository
from codex_runner.delivery.github_commits import GitHubCommits
from codex_runner.delivery.github_tokens import (
    ACTIONS_LOGIN,
    GitHubTokenKind,
    expiry_warnings,
    missing_right,
    token_kind,
)
from codex_runner.delivery.governance import ForgeQuestions
from codex_runner.delivery.http import ForgeClient, ForgeEndpoint, Timing
from codex_runner.domain.delivery import Access, ForgeKind, PullOutcome, PullRequest, PullState
from codex_runner.domain.errors import CredentialError, DeliveryError, ForgeUnreachableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.delivery.answer import Answer
    from codex_runner.domain.delivery import Decoration, ForgeCredential, PullText
    from codex_runner.domain.governance import Attested

_WHO: Final = "query { viewer { login } }"


class GitHubForge:
    """A repository at GitHub or GitHub Enterprise. See the port for what its methods promise."""

    kind = ForgeKind.GITHUB

    def __init__(
        self, endpoint: ForgeEndpoint, credential: ForgeCredential, repository: str, timing: Timing | None = None
    ) -> None:
        """Open no connection yet. `repository` is `owner/name`; `timing` is the requests'.

        Raises ConfigurationError if the repository or the endpoint cannot be used.
        """
        self._client = ForgeClient(endpoint, credential.secret, MANNERS, timing)
        self._token_kind = token_kind(credential.secret.reveal().strip())
        self.repository = GitHubRepository(self._client, repository)
        """Its branches and commits."""
        self.commits = GitHubCommits(self.repository)
        """Commits without a push."""

    async def check(self, base: str | None) -> Access:
        """Ask for the repository, the branch, and whose token this is. Changes nothing."""
        doing = f"find the repository {self.repository.repository}"
        answer = await self.repository.ask("GET", "", doing)
        with self._client.understood(doing):
            found = take(answer.document, dict)
            default_branch = take(found, str, "default_branch")
            if take(found, bool, "archived"):
                raise DeliveryError("The repository at GitHub is archived: it takes no push.")
        if lack := missing_right(self._token_kind, answer.headers, found):
            raise CredentialError(f"GitHub takes the token, but {lack[0]}.", remedy=lack[1])
        branch = base or default_branch
        tip = await self.repository.tip(branch)
        if tip is None:
            raise DeliveryError(
                f"The branch {branch} does not exist at GitHub.", remedy="Correct `delivery.base`, or push the branch."
            )
        login = await self._login()
        signs = self._token_kind is GitHubTokenKind.INSTALLATION or login.endswith("[bot]")
        warnings = [*expiry_warnings(answer.headers)]
        if signs and not login:
            warnings.append("GitHub does not say whose token this is: CI may wait for a person's approval.")
        return Access(default_branch, tip, signs=signs, waits=login == ACTIONS_LOGIN, warnings=tuple(warnings))

    async def require_opening(self, base: str) -> None:
        """Raise DeliveryError if GitHub refuses this token a pull request. Opens none: the branch has no new commit.

        GitHub tells what an App's token may do only when it refuses a request.
        """
        doing = "open pull requests with this token"
        probe = {"title": "A probe", "head": base, "base": base}
        await self.repository.ask("POST", "/pulls", doing, body=probe, accept={422})

    async def find(self, branch: str) -> Sequence[PullRequest]:
        """Return the pull requests from this branch, of any state, the newest first."""
        entries = await self.repository.pulls(branch)
        with self._client.understood(f"list the pull requests of {branch}"):
            return [_pull(each) for each in entries]

    async def open(self, branch: str, base: str, text: PullText) -> PullRequest:
        """Open a pull request. Returns the open one if there is one from this branch to this base already."""
        doing = f"open a pull request from {branch} to {base}"
        body = {"title": text.title, "body": text.body, "head": branch, "base": base, "draft": text.draft}
        answer = await self.repository.ask("POST", "/pulls", doing, body=body, accept={422})
        if answer.status == 422:
            if "already exists" not in answer.words.lower():
                raise self._client.refusal(answer, doing)
            for pull in await self.find(branch):
                if pull.state is PullState.OPEN and pull.base == base:
                    return pull
            raise self._client.refusal(answer, doing)
        with self._client.understood(doing):
            pull = _pull(answer.document)
            if (pull.branch, pull.base) != (branch, base):
                raise MalformedError("it is about other branches")
            return pull

    async def update(self, number: int, text: PullText) -> PullRequest:
        """Set title and body of a pull request. Leaves its draft state alone."""
        return await self._change(number, f"update the pull request #{number}", title=text.title, body=text.body)

    async def close(self, number: int) -> None:
        """Close a pull request. Idempotent."""
        doing = f"close the pull request #{number}"
        pull = await self._change(number, doing, state="closed")
        if pull.state is PullState.OPEN:
            raise DeliveryError(f"GitHub could not {doing}: it is still open.")

    async def outcome(self, number: int) -> PullOutcome | None:
        """Return what has become of a pull request. Returns None if the repository's are shown, and it is not there."""
        doing = f"find the pull request #{number}"
        answer = await self.repository.ask("GET", f"/pulls/{number}", doing, accept={404, 410})
        if answer.status in {404, 410}:
            doing = f"list the pull requests of {self.repository.repository}"
            answer = await self.repository.ask("GET", "/pulls?state=all&per_page=1", doing)
            with self._client.understood(doing):
                take(answer.document, list)
            return None
        with self._client.understood(doing):
            pull = _pull(answer.document)
            if pull.number != number or not self.repository.is_from(answer.document, pull.branch):
                raise MalformedError("it is about another pull request")
            merged = take_date(answer.document, "merged_at")
        is_merged = pull.state is PullState.MERGED
        has_branch = None if is_merged else await self.repository.tip(pull.branch) is not None
        return PullOutcome(number, pull.link, pull.state, pull.branch, pull.draft, merged, has_branch)

    async def decorate(self, number: int, decoration: Decoration) -> Sequence[str]:
        """Add labels, reviewers and assignees. Returns a sentence for each that failed."""
        issue, pull = f"/issues/{number}", f"/pulls/{number}"

        async def label(name: str) -> bool:
            answer = await self._attach(f"{issue}/labels", labels=[name])
            return name.casefold() in _names(take(answer.document, list), "name")

        async def reviewer(name: str) -> bool:
            team = name.rpartition("/")[2] if "/" in name else ""
            asked: dict[str, Any] = {"team_reviewers": [team]} if team else {"reviewers": [name]}
            answer = await self._attach(f"{pull}/requested_reviewers", **asked)
            field, key = ("requested_teams", "slug") if team else ("requested_reviewers", "login")
            return (team or name).casefold() in _names(take(answer.document, list, field), key)

        async def assignee(name: str) -> bool:
            # If GitHub cannot assign a user, it leaves them out in silence.
            answer = await self._attach(f"{issue}/assignees", assignees=[name])
            return name.casefold() in _names(take(answer.document, list, "assignees"), "login")

        return await attach(self._client, decoration, label=label, reviewer=reviewer, assignee=assignee)

    async def governance(self, base: str | None) -> Sequence[Attested]:
        """See Forge.governance."""
        return await ForgeQuestions(self._client, self.kind, self.repository.repository, self._token_kind).answers(base)

    async def aclose(self) -> None:
        """Close the connections. Idempotent."""
        await self._client.aclose()

    async def _attach(self, path: str, **body: Any) -> Answer:
        return await self.repository.ask("POST", path, "add it", body=body)

    async def _change(self, number: int, doing: str, **body: Any) -> PullRequest:
        answer = await self.repository.ask("PATCH", f"/pulls/{number}", doing, body=body)
        with self._client.understood(doing):
            pull = _pull(answer.document)
            if pull.number != number:
                raise MalformedError("it is about another pull request")
            return pull

    async def _login(self) -> str:
        """Return the login behind the token, "" if GitHub does not say."""
        try:
            data, _ = await self.repository.graphql(_WHO, {}, "say whose token this is")
        except ForgeUnreachableError:
            raise
        except DeliveryError:
            return ""
        try:
            return take(data, str, "viewer", "login")
        except MalformedError:
            return ""


def _pull(document: Any) -> PullRequest:
    states = {"open": PullState.OPEN, "closed": PullState.CLOSED}
    state = states.get(take(document, str, "state"))
    if state is None:
        raise MalformedError("it has an unknown state")
    if take(document, object, "merged_at") is not None:
        state = PullState.MERGED
    return PullRequest(
        number=take(document, int, "number"),
        link=take_link(document, "html_url"),
        state=state,
        branch=take(document, str, "head", "ref"),
        base=take(document, str, "base", "ref"),
        tip=take(document, str, "head", "sha"),
        title=take(document, str, "title"),
        body=take_text(document, "body"),
        draft="draft" in document and take(document, bool, "draft"),
    )


def _names(entries: list[Any], key: str) -> set[str]:
    return {take(entry, str, key).casefold() for entry in entries}
