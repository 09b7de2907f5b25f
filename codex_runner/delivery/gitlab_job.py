"""GitLab with CI_JOB_TOKEN: git's push opens and updates merge requests, and the API only shows them.

GitLab documents for this token: a push needs a setting of the project and starts no pipeline, and the API lists merge
requests and shows one. So the options of a push carry title and description, and the API tells what came of them.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from codex_runner.delivery.answer import Answer, take
from codex_runner.delivery.gitlab import MANNERS, NEEDS, GitLabForge
from codex_runner.delivery.record import read
from codex_runner.domain.delivery import IfUnchanged, PullState
from codex_runner.domain.delivery_spec import Signing
from codex_runner.domain.errors import ConfigurationError, DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from codex_runner.delivery.push import Pushed
    from codex_runner.domain.delivery import Decoration, DeliveryRecord, PullRequest
    from codex_runner.domain.delivery_spec import DeliverySpec

USER: Final = "gitlab-ci-token"
"""The user name that git over HTTPS sends with such a token."""

_PREFIX: Final = "glcbt-"
_PAUSES: Final = (0.0, 1.0, 2.0, 4.0)  # seconds before each look: a replica of GitLab's database may be late


def is_job_token(token: str) -> bool:
    """Whether the form of a token tells that GitLab made it for a job."""
    return token.startswith(_PREFIX)


def _remedy(answer: Answer) -> str | None:
    if answer.status in {403, 404}:
        return (
            "With CI_JOB_TOKEN the runner needs GitLab 18.4 or later, merge requests turned on, and the project of the "
            f"job itself as `delivery.repository`. Otherwise use {NEEDS}."
        )
    return None


class GitLabJobForge(GitLabForge):
    """The project of a CI job, reached with the job's token. GitLab refuses what the API would change."""

    manners = dataclasses.replace(MANNERS, sign=lambda token: {"job-token": token}, remedy=_remedy)

    async def require_reading(self) -> None:
        """Raise DeliveryError or CredentialError unless the token may list merge requests."""
        doing = "list the merge requests"
        answer = await self._ask("GET", "/merge_requests?per_page=1&view=simple", doing)
        with self._client.understood(doing):
            take(answer.document, list)

    async def opened(self, branch: str, base: str, record: DeliveryRecord, pushed: Pushed) -> PullRequest:
        """Return the open merge request that a push has opened or updated.

        Raises DeliveryError, with GitLab's words from the push, if there is none or it was not updated.
        """
        found: PullRequest | None = None
        for seconds in _PAUSES:
            await self._client.pause(seconds)
            pulls = [pull for pull in await self.find(branch) if pull.state is PullState.OPEN]
            found = next((pull for pull in pulls if pull.base == base), None)
            if found is not None and read(found.body) == record:
                return found
        did = f"opened no merge request to {base}" if found is None else f"did not update !{found.number}"
        why = f": {pushed.warning}" if pushed.warning else ", and does not say why"
        raise DeliveryError(
            f"GitLab took the push of {branch}, but {did}{why}.",
            remedy="Correct what it names. The next delivery pushes again.",
        )

    async def lacking(self, number: int, decoration: Decoration) -> Sequence[str]:
        """Return a sentence for each label and assignee of a new merge request that the push did not bring."""
        doing = f"read the merge request !{number}"
        answer = await self._ask("GET", f"/merge_requests/{number}", doing)
        with self._client.understood(doing):
            labels: list[str] = take(answer.document, list, "labels")
            people = {take(each, str, "username") for each in take(answer.document, list, "assignees")}
        wanted = (
            *(("label", name, labels) for name in decoration.labels),
            *(("assignee", name, people) for name in decoration.assignees),
        )
        return [
            f"The {what} {name!r} was not added: GitLab left it out; it may not exist, or lack the rights."
            for what, name, there in wanted
            if name not in there
        ]


def require_possible(spec: DeliverySpec) -> None:
    """Raise ConfigurationError if the job asks for what no job's token can do."""
    if broken := [name for name in (*spec.labels, *spec.assignees) if {*name} & {*"\n\r\0"}]:
        raise ConfigurationError(
            f"With CI_JOB_TOKEN, {broken[0]!r} cannot be sent: an option of git push has one line.",
            remedy="Correct `delivery.labels` and `delivery.assignees`.",
        )
    key, value = "", ""
    if spec.if_unchanged is IfUnchanged.CLOSE:
        key, value = "if_unchanged", "skip"
    elif spec.signing is Signing.REQUIRED:
        key, value = "signing", "auto"
    if key:
        raise ConfigurationError(
            f"`delivery.{key}` asks for what CI_JOB_TOKEN cannot do at GitLab.",
            remedy=f'Set `delivery.{key} = "{value}"`, or use {NEEDS}.',
        )


def unknowns(spec: DeliverySpec, branch: str) -> Iterator[str]:
    """Yield sentences for the log: what is not known before the push with this token, and what it cannot do."""
    yield (
        f"With CI_JOB_TOKEN, GitLab does not tell before the push whether {branch} is protected, whether a push rule "
        "refuses the commit, and whether the person who started the job may open merge requests."
    )
    yield (
        "A push with CI_JOB_TOKEN starts no pipeline: start the merge request's pipeline by hand, or deliver with a "
        "project access token."
    )
    if spec.reviewers:
        yield "The merge request gets no reviewers: with CI_JOB_TOKEN, an option of git push cannot name them."
