"""What a forge says of a token and of a branch: its owner, its repositories, the protections of the base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from codex_runner.delivery.answer import MalformedError, take
from codex_runner.delivery.github_tokens import GitHubTokenKind
from codex_runner.domain.delivery import ForgeKind
from codex_runner.domain.errors import RunnerError
from codex_runner.domain.governance import Attested, Topic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from codex_runner.delivery.http import ForgeClient

_SHOWN = 100  # repositories


class ForgeQuestions:
    """Asks one forge about the token of a client. Changes nothing there."""

    def __init__(self, client: ForgeClient, kind: ForgeKind, repository: str, token: GitHubTokenKind | None) -> None:
        """Ask nothing yet. `token` is the kind of the token at GitHub."""
        self._client, self._kind, self._repository = client, kind, repository
        self._token_kind = token

    async def answers(self, base: str | None) -> list[Attested]:
        """Return all answers. What the forge does not say is not known, with its words."""
        if self._kind is ForgeKind.GITHUB:
            return await self._github(base)
        return await self._gitlab(base)

    async def _github(self, base: str | None) -> list[Attested]:
        top = f"/repos/{self._repository}"
        is_app = self._token_kind is GitHubTokenKind.INSTALLATION
        kind = Attested(Topic.TOKEN_OWNER, "delivery_token_kind", why="its prefix is none that GitHub documents")
        if self._token_kind not in {None, GitHubTokenKind.UNKNOWN}:
            kind = Attested(Topic.TOKEN_OWNER, "delivery_token_kind", str(self._token_kind), "the token's prefix")
        found = [kind, await self._ask(Topic.TOKEN_OWNER, "delivery_token_account", self._viewer)]
        if is_app:
            path = f"/installation/repositories?per_page={_SHOWN}"
            found.append(await self._get(Topic.REPOSITORIES, "delivery_repositories", path, _installed))
        else:
            why = "GitHub lists the repositories of an App's token alone"
            found.append(Attested(Topic.REPOSITORIES, "delivery_repositories", why=why))
        found.append(await self._get(Topic.REPOSITORIES, "delivery_rights", top, _rights_at_github))
        branch = base or await self._default_branch(top)
        if branch is None:
            why = "the default branch is not known"
            return [
                *found,
                *(Attested(Topic.PROTECTION, fact, why=why) for fact in ("base", "protected", "rules")),
            ]
        named = quote(branch, safe="")
        return [
            *found,
            Attested(Topic.PROTECTION, "base", branch, "the configuration" if base else f"GitHub {top}"),
            await self._get(Topic.PROTECTION, "protected", f"{top}/branches/{named}", _protected),
            await self._get(Topic.PROTECTION, "rules", f"{top}/rules/branches/{named}", _rules),
        ]

    async def _gitlab(self, base: str | None) -> list[Attested]:
        top = f"/projects/{quote(self._repository, safe='')}"
        branch = base or await self._default_branch(top)
        found = [
            await self._get(
                Topic.TOKEN_OWNER, "delivery_token_account", "/user", lambda said: take(said, str, "username")
            ),
            await self._get(
                Topic.TOKEN_OWNER,
                "delivery_token_scopes",
                "/personal_access_tokens/self",
                lambda said: [str(each) for each in take(said, list, "scopes")],
            ),
            await self._get(
                Topic.REPOSITORIES,
                "delivery_repositories",
                f"/projects?min_access_level=30&simple=true&per_page={_SHOWN}",
                lambda said: [take(each, str, "path_with_namespace") for each in take(said, list)],
            ),
        ]
        if branch is None:
            return [
                *found,
                *(
                    Attested(Topic.PROTECTION, fact, why="the default branch is not known")
                    for fact in ("base", "protected")
                ),
            ]
        path = f"{top}/repository/branches/{quote(branch, safe='')}"
        return [
            *found,
            Attested(Topic.PROTECTION, "base", branch, "the configuration" if base else f"GitLab {top}"),
            await self._get(Topic.PROTECTION, "protected", path, _protected),
            await self._get(Topic.PROTECTION, "rules", path, _pushes_at_gitlab),
        ]

    async def _get(self, question: Topic, fact: str, path: str, read: Callable[[Any], Any]) -> Attested:
        async def ask() -> tuple[Any, str]:
            answer = await self._client.request("GET", path, f"answer {path.partition('?')[0]}")
            return read(answer.document), f"{self._client.name} GET {path.partition('?')[0]}"

        return await self._ask(question, fact, ask)

    async def _ask(self, question: Topic, fact: str, ask: Callable[[], Awaitable[tuple[Any, str]]]) -> Attested:
        try:
            value, source = await ask()
        except MalformedError as error:
            return Attested(question, fact, why=f"{self._client.name}'s answer is not understood: {error}")
        except RunnerError as error:
            return Attested(question, fact, why=error.message)
        if value is None:
            return Attested(question, fact, why=f"{self._client.name} does not say")
        return Attested(question, fact, value, source)

    async def _viewer(self) -> tuple[str, str]:
        address = f"{self._client.api.removesuffix('/v3')}/graphql"
        body = {"query": "query { viewer { login } }", "variables": {}}
        answer = await self._client.request("POST", address, "say whose token this is", body=body)
        return take(answer.document, str, "data", "viewer", "login"), "GitHub GraphQL viewer"

    async def _default_branch(self, top: str) -> str | None:
        try:
            answer = await self._client.request("GET", top, "find the repository")
            return take(answer.document, str, "default_branch")
        except (RunnerError, MalformedError):
            return None


def _installed(said: Any) -> list[str]:
    names = [take(each, str, "full_name") for each in take(said, list, "repositories")]
    more = take(said, int, "total_count") - len(names)
    return [*names, f"and {more} more"] if more > 0 else names


def _rights_at_github(said: Any) -> dict[str, bool] | None:
    rights = take(said, dict).get("permissions")
    if not isinstance(rights, dict):
        return None
    return {str(name): each for name, each in rights.items() if isinstance(each, bool)}


def _protected(said: Any) -> bool:
    return take(said, bool, "protected")


def _rules(said: Any) -> list[str]:
    return sorted({take(each, str, "type") for each in take(said, list)})


def _pushes_at_gitlab(said: Any) -> dict[str, bool] | None:
    names = ("can_push", "developers_can_push", "developers_can_merge")
    return {name: said[name] for name in names if isinstance(said.get(name), bool)} or None
