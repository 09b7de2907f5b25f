"""Trust policy: whether the pipeline's trigger may use a credential. Pure: a `Trigger` in, a refusal or None out.

This check only ends a run early, with a reason. A person who can change the pipeline can remove it. The protection is
the secret store's role, which is bound to the workflow's own claims.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass

if TYPE_CHECKING:
    from codex_runner.domain.policy import TrustPolicy

_REPOSITORY = re.compile(r"[\w.-]+(?:/[\w.-]+)*", re.ASCII)
_BARE_KEY = re.compile(r"[\w-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Trigger:
    """What started a pipeline. `system` is for people; `event_key` and `actor_key` name the sources of the facts.

    `actors` are all accounts that took part: author, pusher, and the one that ran it again. `default_events` are the
    events that an account without write access cannot trigger with content of its own. `fork` is the repository that a
    pull request comes from if it is another one; "" if that is not known, None if it is no fork.
    """

    system: str
    event: str
    event_key: str
    actors: tuple[str, ...]
    actor_key: str
    default_events: tuple[str, ...]
    fork: str | None = None

    def __str__(self) -> str:
        """Return one line for people."""
        return f"{self.system}: {self.event}" + (f", by {', '.join(self.actors)}" if self.actors else "")


@dataclass(frozen=True, slots=True)
class TrustRefusal:
    """Why a run is refused. `claim` is what the CI system says, `allow` the exact line that would allow the run.

    `allow` is empty if no line would. `where` is the place for that line.
    """

    claim: str
    message: str
    allow: str = ""
    where: str = ""

    @property
    def remedy(self) -> str:
        """What the person who reads the log can do."""
        if not self.allow:
            return "Have a person with write access review the change, then run it from a branch of the repository."
        return f"If you trust it, write {self.where}: {self.allow}"


def judge_trust(occasion: Trigger | None, policy: TrustPolicy, job: str) -> TrustRefusal | None:
    """Returns None if a job with a credential may run, otherwise the refusal. `occasion` is None outside a CI system.

    A fork is judged first: its author chose what the agent reads, no matter which account started the pipeline.
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
        return TrustRefusal(
            claim,
            f"{occasion.system} says {claim}, and the job's trusted_events are: {', '.join(trusted) or 'none'}.",
            f"trusted_events = {_array(*trusted, occasion.event)}",
            into,
        )
    if policy.actors is not None:
        strangers = [actor for actor in occasion.actors if actor not in policy.actors]
        if strangers or not occasion.actors:
            claim = f"{occasion.actor_key}={','.join(strangers) or '?'}"
            return TrustRefusal(
                claim,
                f"{occasion.system} says {claim}, and the job's trusted_actors are: "
                f"{', '.join(policy.actors) or 'none'}.",
                f"trusted_actors = {_array(*policy.actors, *strangers)}" if strangers else "",
                into,
            )
    return None


def _fork_refused(system: str, fork: str, trusted: tuple[str, ...], table: str) -> TrustRefusal:
    claim = f"fork={fork or '?'}"
    message = f"{system} says {claim}: a pull request from a fork, whose author chose what the agent reads."
    if not _REPOSITORY.fullmatch(fork):  # not known, or not safe in a shell command
        return TrustRefusal(claim, message)
    # Never in the configuration file: the fork may have changed it.
    line = f"--set '{table}.trusted_forks={_array(*trusted, fork)}'"
    return TrustRefusal(claim, message, line, "in the pipeline's own definition, behind `codex-runner run`")


def named(*names: object) -> tuple[str, ...]:
    """Return the known names of actors without duplicates, as the CI system writes them."""
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def _array(*names: str) -> str:
    """Return a TOML array of strings."""
    return f"[{', '.join(_quoted(name) for name in names)}]"


def _quoted(name: str) -> str:
    escaped = "".join(
        f"\\{each}" if each in '"\\' else each if each.isprintable() else f"\\U{ord(each):08x}" for each in name
    )
    return f'"{escaped}"'
