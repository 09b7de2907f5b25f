"""Whether what started this pipeline may use a credential. Pure: an `Occasion` in, a refusal or None out.

This is a courtesy: it ends a run early and says why. Who can change the pipeline can change this too, so the wall is
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
    """What started a pipeline. `system` is for people, `event_key` and `actor_key` say where the facts come from.

    `actors` are all who had a part: who wrote it, who pushed, and who ran it again. `default_events` are those that
    nobody without rights to the repository can cause with content of their own. `fork` is the repository that a pull
    request comes from if that is another one, "" if it is not known, None if it is no fork.
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
class TrustRefusal:
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


def judge_trust(occasion: Trigger | None, policy: TrustPolicy, job: str) -> TrustRefusal | None:
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
    if not _REPOSITORY.fullmatch(fork):  # not known, or nothing to hand on to a shell
        return TrustRefusal(claim, message)
    # Never into the file: the fork may have changed it.
    line = f"--set '{table}.trusted_forks={_array(*trusted, fork)}'"
    return TrustRefusal(claim, message, line, "in the pipeline's own definition, behind `codex-runner run`")


def named(*names: object) -> tuple[str, ...]:
    """Return the names of actors that are known, each once, as the CI system writes them."""
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def _array(*names: str) -> str:
    """Write an array of strings of TOML."""
    return f"[{', '.join(_quoted(name) for name in names)}]"


def _quoted(name: str) -> str:
    escaped = "".join(
        f"\\{each}" if each in '"\\' else each if each.isprintable() else f"\\U{ord(each):08x}" for each in name
    )
    return f'"{escaped}"'
