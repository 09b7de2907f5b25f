"""Whether what started this pipeline may use a credential. Pure: facts of the CI system in, a refusal or None out.

This is a courtesy: it ends a run early and says why. Who can change the pipeline can change this too, so the wall is
the secret store's role, which is bound to the workflow's own claims.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.domain.policy import TrustPolicy

# Events that nobody without rights to the repository can cause with content of their own. `pull_request` is judged by
# where it comes from; `pull_request_target`, `issue_comment` and the like run with rights on a stranger's words.
GITHUB_EVENTS = (
    "merge_group",
    "pull_request",
    "push",
    "release",
    "repository_dispatch",
    "schedule",
    "workflow_dispatch",
)
GITLAB_EVENTS = ("api", "merge_request_event", "parent_pipeline", "pipeline", "push", "schedule", "trigger", "web")
# Jenkins says no more than whether it builds a branch or somebody's proposal: these names are ours.
JENKINS_EVENTS = ("branch", "change")

_REPOSITORY = re.compile(r"[\w.-]+(?:/[\w.-]+)*", re.ASCII)
_BARE_KEY = re.compile(r"[\w-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Occasion:
    """What started a pipeline. `system` is for people, `event_key` and `actor_key` say where the facts come from.

    `actors` are all who had a part: who wrote it, who pushed, and who ran it again. `fork` is the repository that a
    pull request comes from where that is another one, "" where it is not known, None where it is no fork.
    """

    system: str
    event: str
    event_key: str
    actors: tuple[str, ...]
    actor_key: str
    default_events: tuple[str, ...]
    fork: str | None = None

    def __str__(self) -> str:
        """Say it in a line."""
        return f"{self.system}: {self.event}" + (f", by {', '.join(self.actors)}" if self.actors else "")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a run is refused. `claim` is what the CI system says, `allow` the exact line that would allow it.

    `allow` is empty where nothing would; `where` is the place that the line belongs into.
    """

    claim: str
    message: str
    allow: str = ""
    where: str = ""

    @property
    def remedy(self) -> str:
        """What to do, for the person who reads the log."""
        if not self.allow:
            return "Run it from a branch of the repository itself, after somebody who may has looked at the change."
        return f"If you do trust it, write {self.where}: {self.allow}"


def judge_trust(occasion: Occasion | None, policy: TrustPolicy, job: str) -> Refusal | None:
    """Return why the job with a credential must not run, None where it may. `occasion` is None outside any CI system.

    A fork is judged before anything else: its author chose what the agent reads, whoever started the pipeline.
    """
    if occasion is None:
        return None
    table = f"jobs.{job}" if _BARE_KEY.fullmatch(job) else f'jobs."{job}"'
    trusted_forks = {name.casefold() for name in policy.forks}
    if occasion.fork is not None and occasion.fork.casefold() not in trusted_forks:
        return _fork_refused(occasion.system, occasion.fork, policy.forks, table)
    into = f"into [{table}]"
    trusted = occasion.default_events if policy.events is None else policy.events
    if occasion.event not in trusted:
        claim = f"{occasion.event_key}={occasion.event}"
        return Refusal(
            claim,
            f"{occasion.system} says {claim}, and the job's trusted_events are: {', '.join(trusted) or 'none'}.",
            f"trusted_events = {_array(*trusted, occasion.event)}",
            into,
        )
    if policy.actors is not None:
        strangers = [actor for actor in occasion.actors if actor not in policy.actors]
        if strangers or not occasion.actors:
            claim = f"{occasion.actor_key}={','.join(strangers) or '?'}"
            return Refusal(
                claim,
                f"{occasion.system} says {claim}, and the job's trusted_actors are: "
                f"{', '.join(policy.actors) or 'none'}.",
                f"trusted_actors = {_array(*policy.actors, *strangers)}" if strangers else "",
                into,
            )
    return None


def _fork_refused(system: str, fork: str, trusted: tuple[str, ...], table: str) -> Refusal:
    claim = f"fork={fork or '?'}"
    message = f"{system} says {claim}: a pull request from a fork, whose author chose what the agent reads."
    if not _REPOSITORY.fullmatch(fork):  # not known, or nothing to hand on to a shell
        return Refusal(claim, message)
    # Never into the file: the fork may have changed it.
    line = f"--set '{table}.trusted_forks={_array(*trusted, fork)}'"
    return Refusal(claim, message, line, "in the pipeline's own definition, behind `codex-runner run`")


def occasion_of(environ: Mapping[str, str], payload: Mapping[str, object] | None = None) -> Occasion | None:
    """Read from a CI system's variables what started the pipeline; None where this is none that we know.

    `payload` is GitHub's event, the JSON in the file that GITHUB_EVENT_PATH names; None where it cannot be read, and
    then a pull request counts as a fork's. Every name of an actor is as the CI system writes it.
    """
    if environ.get("GITHUB_ACTIONS") == "true":
        return _on_github(environ, payload or {})
    # gitlab-ci-local, and others that only look like GitLab, say GITLAB_CI=false.
    if environ.get("GITLAB_CI") == "true":
        return _on_gitlab(environ)
    if environ.get("BUILD_TAG", "").startswith("jenkins-"):
        return _on_jenkins(environ)
    return None


def _on_github(environ: Mapping[str, str], payload: Mapping[str, object]) -> Occasion:
    author = below(payload, "pull_request", "user", "login")
    event = environ.get("GITHUB_EVENT_NAME", "")
    return Occasion(
        "GitHub",
        event,
        "GITHUB_EVENT_NAME",
        _known(environ.get("GITHUB_ACTOR"), environ.get("GITHUB_TRIGGERING_ACTOR"), author),
        "GITHUB_ACTOR",
        GITHUB_EVENTS,
        _github_fork(event, environ.get("GITHUB_REPOSITORY", ""), payload),
    )


def _github_fork(event: str, repository: str, payload: Mapping[str, object]) -> str | None:
    """Return the repository whose content an event is about, where it is not `repository`.

    Every event with a pull request in it is looked at: pull_request_target and pull_request_review have one too; and
    what a workflow_run follows may have been a fork's.
    """
    if payload.get("pull_request") is not None or event.startswith("pull_request"):
        source = below(payload, "pull_request", "head", "repo", "full_name")  # no repo where the fork is deleted
    elif event == "workflow_run":
        source = below(payload, "workflow_run", "head_repository", "full_name")
    else:
        return None
    if not isinstance(source, str) or not source:
        return ""
    return None if source.casefold() == repository.casefold() else source


def _on_gitlab(environ: Mapping[str, str]) -> Occasion:
    event = environ.get("CI_PIPELINE_SOURCE", "")
    source, target = (environ.get(f"CI_MERGE_REQUEST_{name}PROJECT_ID", "") for name in ("SOURCE_", ""))
    fork = None
    # A pipeline that a merge request's own pipeline has started has these variables too.
    if source != target or (event == "merge_request_event" and not source):
        fork = environ.get("CI_MERGE_REQUEST_SOURCE_PROJECT_PATH", "")
    elif event == "external_pull_request_event":
        names = [environ.get(f"CI_EXTERNAL_PULL_REQUEST_{side}_REPOSITORY", "") for side in ("SOURCE", "TARGET")]
        fork = None if names[0] and names[0] == names[1] else names[0]
    return Occasion(
        "GitLab",
        event,
        "CI_PIPELINE_SOURCE",
        _known(environ.get("GITLAB_USER_LOGIN")),
        "GITLAB_USER_LOGIN",
        GITLAB_EVENTS,
        fork,
    )


def _on_jenkins(environ: Mapping[str, str]) -> Occasion:
    return Occasion(
        "Jenkins",
        "change" if environ.get("CHANGE_ID") else "branch",
        "build",
        _known(environ.get("CHANGE_AUTHOR"), environ.get("BUILD_USER_ID")),  # the second: plugin build user vars
        "CHANGE_AUTHOR",
        JENKINS_EVENTS,
        environ.get("CHANGE_FORK") or None,
    )


def below(value: object, *keys: str) -> object:
    """Return what stands under `keys` in nested mappings; None where one is missing, or is something else."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _known(*names: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def _array(*names: str) -> str:
    """Write an array of strings of TOML."""
    return f"[{', '.join(_quoted(name) for name in names)}]"


def _quoted(name: str) -> str:
    escaped = "".join(
        f"\\{each}" if each in '"\\' else each if each.isprintable() else f"\\U{ord(each):08x}" for each in name
    )
    return f'"{escaped}"'
