"""Outcomes: asks the forge what became of each change that past runs have delivered, and adds up what they spent.

Nothing is changed at the forge, and nothing is kept here. Only `export` writes, into the folder of the metrics.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from codex_runner.app.delivered_tree import origin_of_tree
from codex_runner.app.forge import place_of, server_of
from codex_runner.app.forge_reach import ForgeReach, Listeners
from codex_runner.app.repository_address import host_of, without_user
from codex_runner.app.worked_changes import changes_of, spent_by
from codex_runner.app.worked_runs import worked_runs
from codex_runner.ci_systems import Pipeline
from codex_runner.config import resolve_job, variables_of
from codex_runner.dataclass import dataclass
from codex_runner.delivery.plain_git import held_by, still_has
from codex_runner.delivery.repository import open_repository
from codex_runner.domain.delivery import DeliveryState, ForgeKind, PullState
from codex_runner.domain.errors import (
    ConfigurationError,
    CredentialError,
    DeliveryError,
    ForgeUnreachableError,
    RunnerError,
    SecretStoreError,
)
from codex_runner.domain.event import Warned
from codex_runner.domain.outcomes import ChangeOutcome, JobOutcomes, Outcomes, OutcomeState
from codex_runner.redaction.redactor import Redactor
from codex_runner.reports.outcome_metrics import write_outcome_metrics
from codex_runner.transports.directory import runs_root
from codex_runner.transports.local import LocalTransport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from codex_runner.app.forge import ForgePlace
    from codex_runner.app.invocation import Invocation
    from codex_runner.app.worked_changes import WorkedChange
    from codex_runner.app.worked_runs import WorkedRun
    from codex_runner.config import Config
    from codex_runner.delivery.remote import Remote
    from codex_runner.domain.delivery import Forge
    from codex_runner.domain.delivery_spec import DeliverySpec
    from codex_runner.domain.event import Event
    from codex_runner.domain.job import Job

_STATES = {
    PullState.MERGED: OutcomeState.MERGED,
    PullState.CLOSED: OutcomeState.CLOSED,
    PullState.OPEN: OutcomeState.OPEN,
}


async def ask_outcomes(
    output_dir: Path, config: Config | None, invocation: Invocation, *, job: str | None, since: float | None
) -> Outcomes:
    """Ask what became of the changes on which the runs below `output_dir` worked. `job` selects one job.

    `since`, in seconds since the epoch, is when the oldest run began that counts; None if all count. A change that
    was merged before is left out. A change whose forge cannot be asked is `unknown`: no error of one is raised.
    """
    runs: dict[str, list[WorkedRun]] = {}
    for run in worked_runs(output_dir, job=job, after=since or 0.0):
        runs.setdefault(run.job, []).append(run)
    redactor = Redactor(invocation.secrets())
    asked, down = time.time(), dict[str, RunnerError]()
    jobs = [
        await _job_outcomes(_Asker(name, config, invocation, redactor, down), name, runs[name], since)
        for name in sorted(runs)
        if _delivers(name, runs[name], config)
    ]
    return Outcomes(asked, since, tuple(jobs))


def export(outcomes: Outcomes, folder: Path) -> None:
    """Write the metrics of each job. Raises ConfigurationError if the folder cannot be written."""
    try:
        for job in outcomes.jobs:
            write_outcome_metrics(job, folder, asked=outcomes.asked, since=outcomes.since)
    except OSError as error:
        raise ConfigurationError(
            f"metrics.folder = {folder}: {error.strerror}.", remedy="Make the folder writable, or name another."
        ) from None


def _delivers(job: str, runs: Sequence[WorkedRun], config: Config | None) -> bool:
    settings = None if config is None else config.jobs.get(job)
    configured = settings is not None and settings.delivery is not None
    return configured or any(run.delivered is not None or run.spent is None for run in runs)


async def _job_outcomes(asker: _Asker, job: str, runs: Sequence[WorkedRun], since: float | None) -> JobOutcomes:
    try:
        found = [outcome for change in changes_of(runs) for outcome in await asker.ask(change)]
    finally:
        await asker.aclose()
    counted = [each for each in found if each.merged is None or since is None or each.merged >= since]
    unreadable = tuple(run.run_id for run in runs if run.spent is None)
    return JobOutcomes(job, tuple(counted), spent_by(runs), unreadable)


@dataclass(frozen=True, slots=True)
class _Way:
    """How a repository is asked: at the `address` of its API, or by git alone if there is no `forge`."""

    address: str
    remote: Remote
    forge: Forge | None


class _Asker:
    """Asks the forge of one job: with one login, and no more once the forge cannot be reached.

    `down` has the forges that could not be reached, by their address. All jobs share it.
    """

    def __init__(
        self,
        job: str,
        config: Config | None,
        invocation: Invocation,
        redactor: Redactor,
        down: dict[str, RunnerError],
    ) -> None:
        self._name, self._config, self._invocation, self._redactor, self._down = job, config, invocation, redactor, down
        self._ways: dict[tuple[ForgeKind, str], _Way] = {}
        self._refused: RunnerError | None = None

    async def ask(self, change: WorkedChange) -> list[ChangeOutcome]:
        """Return what became of a change: of several, the newest first, if a plain remote's base has parts of it."""
        try:
            found = await self._ask(change)
        except (CredentialError, SecretStoreError) as error:
            self._refused = error
            found = [_unknown(change, error)]
        except RunnerError as error:
            found = [_unknown(change, error)]
        return [self._cleaned(each) for each in found]

    async def aclose(self) -> None:
        """Close the connections."""
        for way in self._ways.values():
            if way.forge is not None:
                await way.forge.aclose()

    async def _ask(self, change: WorkedChange) -> list[ChangeOutcome]:
        if self._refused is not None:
            raise self._refused
        way = await self._way(change)
        if way.address in self._down:
            raise self._down[way.address]
        try:
            return await (self._plain(change, way.remote) if way.forge is None else _at_forge(change, way.forge))
        except ForgeUnreachableError as error:
            self._down[way.address] = error
            raise

    async def _plain(self, change: WorkedChange, remote: Remote) -> list[ChangeOutcome]:
        last, environ = change.last, self._invocation.environ
        async with open_repository(remote, environ, runs_root(environ), like=change.commits[-1]) as repository:
            accepted = await held_by(repository, last.base, change.commits)
            *parts, rest = change.split(accepted)
            found = [_outcome(part, OutcomeState.MERGED) for part in parts]
            tip = rest.commits[-1]
            if tip in accepted:
                found.append(_outcome(rest, OutcomeState.MERGED))
            elif await still_has(repository, last.branch, tip):
                found.append(dataclasses.replace(_outcome(rest, OutcomeState.OPEN), has_branch=True))
            else:
                reason = (
                    f"Neither {last.base} nor {last.branch} has the commit {tip[:12]} any more: git does not tell if "
                    "it was squashed or removed."
                )
                found.append(_outcome(rest, OutcomeState.GONE, reason=reason))
        return found[::-1]

    async def _way(self, change: WorkedChange) -> _Way:
        """Return the way to a change's repository, by the job's configuration of now."""
        repository = change.last.repository
        key = (change.last.target, repository)
        if key not in self._ways:
            job, spec = self._job()
            place = await self._place(job, spec, change)
            heard = Listeners(self._complain, self._redactor.learn, again=True)
            remote, forge = await ForgeReach(job, spec, self._invocation).to(place, heard)
            self._ways[key] = _Way(place.api or place.url, remote, forge)
        way = self._ways[key]
        if change.last.target is ForgeKind.GIT and way.remote.shown != repository:
            raise self._elsewhere(f"delivers to {way.remote.shown} now, and this change went to {repository}")
        return way

    def _complain(self, event: Event) -> None:
        """Say on stderr that the forge lets the command wait. What is refused is the outcome's reason."""
        if isinstance(event, Warned):
            self._invocation.complain(self._redactor.text(event.message))

    def _job(self) -> tuple[Job, DeliverySpec]:
        if self._config is None:
            raise ConfigurationError(
                f"There is no configuration, so the credential of {self._name} is not known.",
                remedy="Give the file with -c.",
            )
        needed = variables_of(self._config, self._name)
        job = resolve_job(self._config, self._name, variables=dict.fromkeys(needed, ""))
        if job.delivery is None:
            raise self._elsewhere("has no `delivery` any more, so its credential is not known")
        return job, job.delivery

    async def _place(self, job: Job, spec: DeliverySpec, change: WorkedChange) -> ForgePlace:
        """Return the change's repository at the job's forge. No address in the records of a run gets the token."""
        environ, last = self._invocation.environ, change.last
        has_tree = job.host.is_here or job.workspace is not None
        origin = without_user(await origin_of_tree(job, LocalTransport(environ), environ)) if has_tree else ""
        if last.target is ForgeKind.GIT:
            place = place_of(job.name, spec, origin, environ)
        else:
            named = dataclasses.replace(spec, repository=spec.repository or last.repository)
            place = dataclasses.replace(place_of(job.name, named, origin, environ), repository=last.repository)
        if place.kind is not last.target:
            raise self._elsewhere(f"delivers to {place.kind.value} now, and this change went to {last.target.value}")
        told = spec.api or host_of(origin) or Pipeline(environ).forge()[0] == place.kind.value
        shown = host_of(last.link)
        if place.api and not told and shown != host_of(server_of(place.api, place.kind)):  # a guess, and a wrong one
            raise self._elsewhere(f"does not tell the API of {shown}", "Set the job's `delivery.api`.")
        return place

    def _elsewhere(
        self, problem: str, remedy: str = "Restore the job's `delivery`, or look at the forge."
    ) -> RunnerError:
        return ConfigurationError(f"The job {self._name} {problem}.", remedy=remedy)

    def _cleaned(self, outcome: ChangeOutcome) -> ChangeOutcome:
        text = self._redactor.text
        return dataclasses.replace(
            outcome, link=text(outcome.link), reason=text(outcome.reason), remedy=text(outcome.remedy)
        )


async def _at_forge(change: WorkedChange, forge: Forge) -> list[ChangeOutcome]:
    last = change.last
    if last.number is None:
        raise DeliveryError("The run does not say which pull request it opened.", remedy="Look at the forge.")
    pull = await forge.outcome(last.number)
    if pull is None:
        reason = f"{last.repository} has no pull request {last.number} any more: it was deleted."
        return [_outcome(change, OutcomeState.GONE, reason=reason)]
    if pull.branch != last.branch:
        raise DeliveryError(
            f"The pull request {last.number} of {last.repository} is not from the branch {last.branch}.",
            remedy="Check the job's `delivery.api` and `delivery.repository`: they may name another forge.",
        )
    outcome = _outcome(change, _STATES[pull.state])
    return [
        dataclasses.replace(outcome, link=pull.link, draft=pull.draft, has_branch=pull.has_branch, merged=pull.merged)
    ]


def _outcome(change: WorkedChange, state: OutcomeState, *, reason: str = "") -> ChangeOutcome:
    last = change.last
    return ChangeOutcome(
        state,
        last.target,
        last.repository,
        last.branch,
        last.number,
        (change.commits or [last.commit])[-1],
        last.link,
        tuple(run.run_id for run in change.runs),
        change.spent,
        held=state is OutcomeState.OPEN and last.state is DeliveryState.HELD,
        reason=reason,
    )


def _unknown(change: WorkedChange, error: RunnerError) -> ChangeOutcome:
    outcome = _outcome(change, OutcomeState.UNKNOWN, reason=error.message)
    return dataclasses.replace(outcome, remedy=error.remedy, exit_code=error.exit_code)
