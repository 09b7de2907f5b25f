"""One repository at GitHub: its address, its branches and commits, and GraphQL beside REST."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from codex_runner.dataclass import dataclass
from codex_runner.delivery.answer import MalformedError, take, take_text
from codex_runner.delivery.github_tokens import refused_remedy
from codex_runner.delivery.http import ForgeClient, Manners
from codex_runner.domain.errors import ConfigurationError, DeliveryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codex_runner.delivery.answer import Answer


def _is_early(answer: Answer) -> bool:
    """Whether GitHub does not know the branch yet that has just been pushed."""
    return answer.status == 422 and "could not resolve to a node" in answer.words.lower()


MANNERS: Final = Manners(
    name="GitHub",
    headers={"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"},
    sign=lambda token: {"authorization": f"Bearer {token}"},
    remedy=refused_remedy,
    is_early=_is_early,
)

_REPOSITORY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/(?!\.{1,2}$)[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as GitHub has it. `verified`: GitHub shows it as signed."""

    oid: str
    tree: str
    parents: tuple[str, ...]
    message: str
    verified: bool


class GitHubRepository:
    """One repository, reached with one token."""

    def __init__(self, client: ForgeClient, repository: str) -> None:
        """Make no request. `repository` is `owner/name`. Raises ConfigurationError if it is not."""
        if not _REPOSITORY.fullmatch(repository):
            raise ConfigurationError(
                f"`delivery.repository` is {repository[:100]!r}, which is no repository of GitHub.",
                remedy="Write it as owner/name.",
            )
        self.client, self.repository = client, repository
        self.owner = repository.partition("/")[0]
        self._node = ""

    async def ask(self, method: str, path: str, doing: str, **options: Any) -> Answer:
        """Make a request to an address below the repository's own. See ForgeClient.request for the options."""
        return await self.client.request(method, f"/repos/{self.repository}{path}", doing, **options)

    async def graphql(
        self, query: str, variables: Mapping[str, Any], doing: str
    ) -> tuple[dict[str, Any] | None, Answer]:
        """Make a GraphQL request. Returns its data, None if GitHub reports any error, and the answer itself."""
        body = {"query": query, "variables": variables}
        answer = await self.client.request("POST", self._graphql_address, doing, body=body)
        with self.client.understood(doing):
            document = take(answer.document, dict)
            if document.get("errors"):
                return None, answer
            return take(document, dict, "data"), answer

    async def node(self) -> str:
        """Return the repository's id in GraphQL."""
        if not self._node:
            doing = f"find the repository {self.repository}"
            answer = await self.ask("GET", "", doing)
            with self.client.understood(doing):
                self._node = take(answer.document, str, "node_id")
        return self._node

    async def tip(self, branch: str) -> str | None:
        """Return the commit of a branch, None if there is no such branch."""
        doing = f"find the branch {branch}"
        answer = await self.ask("GET", f"/git/ref/heads/{quote(branch)}", doing, accept={404})
        if answer.status == 404:
            return None
        with self.client.understood(doing):
            if take(answer.document, str, "ref") != f"refs/heads/{branch}":
                raise MalformedError("it is about another branch")
            return take(answer.document, str, "object", "sha")

    async def pulls(self, branch: str) -> Sequence[Any]:
        """Return the pull requests from a branch of this repository, of any state, the newest first."""
        doing = f"list the pull requests of {branch}"
        query = {"head": f"{self.owner}:{branch}", "state": "all", "sort": "created", "direction": "desc"}
        entries = await self.client.listing(f"/repos/{self.repository}/pulls", query, doing)
        with self.client.understood(doing):
            # GitHub ignores a `head` that it does not understand, and then lists all pull requests.
            return [each for each in entries if self.is_from(each, branch)]

    async def commit(self, oid: str) -> Commit:
        """Return a commit. Raises DeliveryError if the repository has none with this id."""
        doing = f"find the commit {oid[:12]}"
        answer = await self.ask("GET", f"/git/commits/{oid}", doing)
        with self.client.understood(doing):
            return read_commit(answer.document)

    def refused(self, answer: Answer, doing: str) -> DeliveryError:
        """Return the error for GraphQL's errors, which come as 200."""
        return DeliveryError(
            f"GitHub could not {doing}: {self.client.shown(answer.words) or 'it does not say why'}.",
            remedy=refused_remedy(answer),
        )

    def is_from(self, document: Any, branch: str) -> bool:
        """Whether a pull request is from this branch of this repository, not of a fork, which may be gone."""
        fork = take(document, object, "head", "repo")
        name = "" if fork is None else take(fork, str, "full_name")
        return name.casefold() == self.repository.casefold() and take(document, str, "head", "ref") == branch

    @property
    def _graphql_address(self) -> str:
        """GitHub's own is beside the REST API's address; Enterprise Server's replaces its /v3."""
        return f"{self.client.api.removesuffix('/v3')}/graphql"


def read_commit(document: Any) -> Commit:
    """Read a commit of the REST API. Raises MalformedError."""
    parents: Sequence[Any] = take(document, list, "parents")
    return Commit(
        oid=take(document, str, "sha"),
        tree=take(document, str, "tree", "sha"),
        parents=tuple(take(parent, str, "sha") for parent in parents),
        message=take_text(document, "message"),
        verified=take(document, bool, "verification", "verified"),
    )
