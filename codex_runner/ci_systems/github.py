"""GitHub Actions and compatible systems: Gitea, act. Forgejo's own answers are in `forgejo`."""

from __future__ import annotations

import json
import os
import re
import stat
from typing import TYPE_CHECKING, ClassVar, Final

from codex_runner.ci_systems.identity import IdentityEndpoint
from codex_runner.ci_systems.starter import NO_OWNER, Starter, commit_step, for_yaml, has_no_owner
from codex_runner.ci_systems.system import CiSystem, Origin
from codex_runner.domain.secret_names import GITHUB_ID_TOKEN, GITHUB_TOKENS
from codex_runner.engine.proposal import Proposal, at_commit, at_merge_parent, at_tip
from codex_runner.engine.trust import Trigger, named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.ci_systems.starter import StarterRequest

ISSUER: Final = "https://token.actions.githubusercontent.com"
"""The issuer of identity tokens on github.com."""
USER_CLAIM: Final = "repository"
"""The claim that Vault names a login after."""
MAPPED_CLAIMS: Final = ("run_id", "actor", "sha", "workflow_ref")
"""Claims that Vault's audit log shows."""

_LARGEST: Final = 32 << 20  # bytes; GitHub sends no event of more than 25 MB


class GitHub(CiSystem):
    """Facts of the default variables, the event's payload, workflow commands and OIDC, as GitHub documents them."""

    name = "github"
    title = "GitHub"
    markers = ("GITHUB_ACTIONS",)
    log_format = "github"
    line_prefix = "| "  # `::` is obeyed at the beginning of a line, after white space too
    # `pull_request` is judged by the repository that it comes from. Events such as `pull_request_target` and
    # `issue_comment` are not trusted: they run with the repository's rights on a stranger's words.
    trusted_events: ClassVar[tuple[str, ...]] = (
        "merge_group",
        "pull_request",
        "push",
        "release",
        "repository_dispatch",
        "schedule",
        "workflow_dispatch",
    )
    origin = Origin(
        actor=("GITHUB_TRIGGERING_ACTOR", "GITHUB_ACTOR"),
        trigger=("GITHUB_EVENT_NAME",),
        repository=("GITHUB_REPOSITORY",),
        workflow_ref=("GITHUB_WORKFLOW_REF",),
        sha=("GITHUB_SHA",),
        pipeline_run=("GITHUB_RUN_ID",),
    )
    secret_variables: ClassVar[tuple[str, ...]] = (GITHUB_ID_TOKEN, *GITHUB_TOKENS)
    tracking_variables = ("RUNNER_TRACKING_ID",)
    summary_variable = "GITHUB_STEP_SUMMARY"
    identity_claims: ClassVar[tuple[str, ...]] = (
        *("repository", "repository_id", "ref", "workflow_ref", "job_workflow_ref", "event_name", "environment"),
    )

    def is_here(self, environ: Mapping[str, str]) -> bool:
        """See CiSystem.is_here."""
        return environ.get("GITHUB_ACTIONS") == "true"

    def wants_details(self, environ: Mapping[str, str]) -> bool:
        """See CiSystem.wants_details: `Re-run with debug logging`."""
        return environ.get("RUNNER_DEBUG") == "1"

    def occasion(self, environ: Mapping[str, str]) -> Trigger:
        """See CiSystem.occasion. If the event cannot be read, a pull request counts as a fork's."""
        payload = _payload(environ)
        event = environ.get("GITHUB_EVENT_NAME", "")
        author = _below(payload, "pull_request", "user", "login")
        return Trigger(
            self.title,
            event,
            "GITHUB_EVENT_NAME",
            named(environ.get("GITHUB_ACTOR"), environ.get("GITHUB_TRIGGERING_ACTOR"), author),
            "GITHUB_ACTOR",
            self.trusted_events,
            _fork(event, environ.get("GITHUB_REPOSITORY", ""), payload),
        )

    def proposal(self, environ: Mapping[str, str]) -> Proposal | None:
        """See CiSystem.proposal. If the payload cannot be read, an event named `pull_request...` still is one."""
        payload = _payload(environ)
        event = environ.get("GITHUB_EVENT_NAME", "")
        number = (
            _below(payload, "number") or _below(payload, "pull_request", "number") or _below(payload, "issue", "number")
        )
        default = _below(payload, "repository", "default_branch")
        if payload.get("pull_request") is not None or event.startswith("pull_request"):
            branch = _below(payload, "pull_request", "base", "ref") or environ.get("GITHUB_BASE_REF")
            sha = _below(payload, "pull_request", "base", "sha")
        elif _below(payload, "issue", "pull_request") is not None:  # a comment on one: workflows check its head out
            branch, sha = default, None
        elif str(_below(payload, "workflow_run", "event") or "").startswith("pull_request"):
            number, branch, sha = None, default, None
        else:
            return None
        name = f"pull request {number}" if isinstance(number, int) else "pull request"
        head = _below(payload, "pull_request", "head", "sha")
        return Proposal(name, (*at_commit(sha), *at_tip(branch), *at_merge_parent(head)))

    def repository(self, environ: Mapping[str, str]) -> str:
        """See CiSystem.repository."""
        return environ.get("GITHUB_REPOSITORY", "")

    forge = "github"

    def forge_api(self, environ: Mapping[str, str]) -> str:
        """See CiSystem.forge_api."""
        return environ.get("GITHUB_API_URL", "")

    def link(self, environ: Mapping[str, str]) -> str:
        """See CiSystem.link."""
        server, repository, run = (environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
        return f"{server}/{repository}/actions/runs/{run}" if server and repository and run else ""

    def checkout(self, environ: Mapping[str, str]) -> str:
        """See CiSystem.checkout."""
        return environ.get("GITHUB_WORKSPACE", "")

    def is_disposable(self, environ: Mapping[str, str]) -> bool:
        """See CiSystem.is_disposable."""
        return environ.get("RUNNER_ENVIRONMENT") == "github-hosted"

    def identity(self, environ: Mapping[str, str]) -> IdentityEndpoint | None:
        """See CiSystem.identity. Offered to a job with `id-token: write`."""
        url = environ.get("ACTIONS_ID_TOKEN_REQUEST_URL")
        if not url:
            return None
        return IdentityEndpoint(
            title=self.title,
            url=url,
            bearer=GITHUB_ID_TOKEN,
            if_missing="GitHub sets it beside ACTIONS_ID_TOKEN_REQUEST_URL: pass on both, or neither.",
            if_silent="Run the job again; see https://www.githubstatus.com for an outage of GitHub Actions.",
            if_refused="Give the workflow's job `permissions: { id-token: write }`. A request token ends with its job.",
        )

    def identity_remedy(self, environ: Mapping[str, str], audience: str) -> str:  # noqa: ARG002 - asked for later
        """See CiSystem.identity_remedy."""
        if not self.is_here(environ):
            return ""
        return "Give the workflow's job `permissions: { id-token: write }`, so that GitHub offers it a token."

    has_starter = True
    login_method = "jwt"
    delivery_variable = GITHUB_TOKENS[0]

    def starter(self, request: StarterRequest) -> Starter:
        """See CiSystem.starter."""
        name, file = request.job, f".github/workflows/{request.job}.yml"  # where `vault setup` expects it
        steps: tuple[str, ...] = (
            f"{commit_step(file, *request.committed)}, to the default branch.",
            f'Start it: Actions > "codex: {name}" > Run workflow.',
        )
        place, _, revision = request.action.partition("@")
        left = [f"{NO_OWNER} by the account that has codex-runner's repository"] if has_no_owner(place) else []
        if revision and not re.fullmatch(r"[0-9a-f]{40}", revision):
            left.append(f"{revision} by a commit's full SHA, since a tag can be moved")
        if left:
            steps = (f"In {file}, replace {', and '.join(left)}.", *steps)
        return Starter({file: request.fill("github.yml", {"CONFIG": for_yaml(request.config_file)})}, steps)

    def setup_login(self, project: str) -> str:
        """See CiSystem.setup_login."""
        return f"--repo {project}"

    def variable_step(self, variable: str) -> str:
        """See CiSystem.variable_step."""
        return f"Store the secret: gh secret set {variable}"

    def delivery_step(self, variable: str) -> str:
        """See CiSystem.delivery_step."""
        if variable not in GITHUB_TOKENS:
            return self.variable_step(variable)
        return (
            'Let workflows open pull requests: turn on "Allow GitHub Actions to create and approve pull requests" '
            "under Settings > Actions > General."
        )


def api_url(environ: Mapping[str, str]) -> str:
    """Return the address of GitHub's API for this job, or github.com's. `secret_names.GITHUB_TOKENS` open it."""
    return environ.get("GITHUB_API_URL", "https://api.github.com").rstrip("/")


def read_event(path: str) -> Mapping[str, object] | None:
    """Return the event's payload, which may hold a stranger's words. Returns None if it cannot be read."""
    try:
        # A pipe would never end, and opening one without a writer would block.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            data = file.read(_LARGEST + 1)
        event = json.loads(data) if len(data) <= _LARGEST else None
    except (OSError, ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _payload(environ: Mapping[str, str]) -> Mapping[str, object]:
    return read_event(environ.get("GITHUB_EVENT_PATH", "")) or {}


def _fork(event: str, repository: str, payload: Mapping[str, object]) -> str | None:
    """Return the repository whose content an event is about, if it is not `repository`. Returns "" if it is unknown.

    It looks at every event with a pull request: pull_request_target and pull_request_review have one too. What a
    workflow_run follows may also have been a fork's.
    """
    if payload.get("pull_request") is not None or event.startswith("pull_request"):
        source = _below(payload, "pull_request", "head", "repo", "full_name")  # no repo if the fork is deleted
    elif event == "workflow_run":
        source = _below(payload, "workflow_run", "head_repository", "full_name")
    else:
        return None
    if not isinstance(source, str) or not source:
        return ""
    return None if source.casefold() == repository.casefold() else source


def _below(value: object, *keys: str) -> object:
    """Return the value under `keys` in nested mappings. Returns None if one is missing, or is not a mapping."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value
