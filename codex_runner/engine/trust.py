"""Whether what started this pipeline may use a credential. Pure: facts of the CI system in, a refusal or None out.

This is a courtesy: it ends a run early and says why. Who can change the pipeline can change this too, so the wall is
the secret store's role, which is bound to the workflow's own claims.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

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
GITLAB_EVENTS = ("api", "merge_request_event", "pipeline", "push", "schedule", "trigger", "web")


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """Whom a job with a credential works for.

    `events` are the CI system's own names of what may start it; None is the default of that system. `actors` are the
    only accounts that may; None is everyone who can cause a trusted event.
    """

    events: tuple[str, ...] | None = None
    actors: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Occasion:
    """What started a pipeline. `system` is for people, `event_key` and `actor_key` say where the facts come from.

    `actors` are all who had a part: who pushed, and who ran it again. `fork` is the repository that a pull request
    comes from where that is another one, "" where it is not known, None where it is no fork.
    """

    system: str
    event: str
    event_key: str
    actors: tuple[str, ...]
    actor_key: str
    default_events: tuple[str, ...]
    fork: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a run is refused: the claim, as the CI system gave it, and the line of the configuration that would allow it.

    `allow` is empty where nothing would.
    """

    claim: str
    message: str
    allow: str

    @property
    def remedy(self) -> str:
        """What to do, for the person who reads the log."""
        if not self.allow:
            return "Run it from a branch of the repository itself, after somebody who may has looked at the change."
        return f"If you do trust it, write into the job: {self.allow}"


def judge_trust(occasion: Occasion | None, policy: TrustPolicy) -> Refusal | None:
    """Return why a job with a credential must not run, None where it may. `occasion` is None outside any CI system.

    A fork's pull request is refused whatever the policy says: the change could be to the very job that would judge it.
    """
    if occasion is None:
        return None
    if occasion.fork is not None:
        source = f"from {occasion.fork!r}" if occasion.fork else "from a repository that is not named"
        return Refusal(
            f"fork={occasion.fork or '?'}",
            f"{occasion.system} runs this for a pull request {source}, a fork: its author chose what the agent reads.",
            "",
        )
    trusted = occasion.default_events if policy.events is None else policy.events
    if occasion.event not in trusted:
        return Refusal(
            f"{occasion.event_key}={occasion.event}",
            f"{occasion.system} started this by {occasion.event!r} ({occasion.event_key}), not among the job's "
            f"trusted_events: {', '.join(trusted) or 'none'}.",
            f"trusted_events = [{', '.join(_quoted(each) for each in (*trusted, occasion.event))}]",
        )
    if policy.actors is not None:
        strangers = [actor for actor in occasion.actors if actor not in policy.actors]
        if strangers or not occasion.actors:
            told = ", ".join(repr(actor) for actor in strangers) or "nobody that it names"
            return Refusal(
                f"{occasion.actor_key}={','.join(strangers) or '?'}",
                f"{occasion.system} runs this for {told} ({occasion.actor_key}), not among the job's trusted_actors: "
                f"{', '.join(policy.actors) or 'none'}.",
                f"trusted_actors = [{', '.join(_quoted(each) for each in (*policy.actors, *strangers))}]"
                if strangers
                else "",
            )
    return None


def occasion_of(environ: Mapping[str, str], payload: Mapping[str, object] | None = None) -> Occasion | None:
    """Read from a CI system's variables what started the pipeline; None where this is none that we know.

    `payload` is GitHub's event, the JSON in the file that GITHUB_EVENT_PATH names; None where it cannot be read, and
    then a pull request counts as a fork's. Every name of an actor is as the CI system writes it.
    """
    if environ.get("GITHUB_ACTIONS") == "true":
        return _on_github(environ, payload)
    # gitlab-ci-local, and others that only look like GitLab, say GITLAB_CI=false.
    if environ.get("GITLAB_CI") == "true":
        return _on_gitlab(environ)
    return None


def _on_github(environ: Mapping[str, str], payload: Mapping[str, object] | None) -> Occasion:
    names = (environ.get("GITHUB_ACTOR", ""), environ.get("GITHUB_TRIGGERING_ACTOR", ""))
    event = environ.get("GITHUB_EVENT_NAME", "")
    return Occasion(
        "GitHub",
        event,
        "GITHUB_EVENT_NAME",
        _known(names),
        "GITHUB_ACTOR",
        GITHUB_EVENTS,
        _github_fork(event, environ.get("GITHUB_REPOSITORY", ""), payload),
    )


def _github_fork(event: str, repository: str, payload: Mapping[str, object] | None) -> str | None:
    """Return the head repository of a pull request where it is not `repository`.

    Every event with a pull request in it is looked at: pull_request_target and pull_request_review have one too.
    """
    request = (payload or {}).get("pull_request")
    if request is None and not event.startswith("pull_request"):
        return None
    head = request.get("head") if isinstance(request, dict) else None
    source = head.get("repo") if isinstance(head, dict) else None  # null where the fork has been deleted
    name = source.get("full_name") if isinstance(source, dict) else None
    if not isinstance(name, str) or not name:
        return ""
    return None if name.casefold() == repository.casefold() else name


def _on_gitlab(environ: Mapping[str, str]) -> Occasion:
    source, target = (environ.get(f"CI_MERGE_REQUEST_{side}_PROJECT_PATH", "") for side in ("SOURCE", "TARGET"))
    target = target or environ.get("CI_MERGE_REQUEST_PROJECT_PATH", "")
    event = environ.get("CI_PIPELINE_SOURCE", "")
    fork = None
    if source != target or (event == "merge_request_event" and not source):
        fork = source
    elif event == "external_pull_request_event":
        names = [environ.get(f"CI_EXTERNAL_PULL_REQUEST_{side}_REPOSITORY", "") for side in ("SOURCE", "TARGET")]
        fork = None if names[0] and names[0] == names[1] else names[0]
    return Occasion(
        "GitLab",
        event,
        "CI_PIPELINE_SOURCE",
        _known((environ.get("GITLAB_USER_LOGIN", ""),)),
        "GITLAB_USER_LOGIN",
        GITLAB_EVENTS,
        fork,
    )


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))


def _quoted(name: str) -> str:
    """Write a string of TOML."""
    escaped = "".join(
        f"\\{each}" if each in '"\\' else each if each.isprintable() else f"\\U{ord(each):08x}" for each in name
    )
    return f'"{escaped}"'
