"""What a run begins with, for the gate: the job, and the files that it depends on, as digests.

Digests need no older commit to compare with: a shallow clone, a forced push and a base that moved back are no special
cases.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.domain.canonical import canonical
from codex_runner.domain.delivery_spec import DeliverySpec
from codex_runner.domain.gate import GreenRun
from codex_runner.domain.job import Limits
from codex_runner.domain.policy import Budget, RetryPolicy
from codex_runner.engine.config_secrets import without_secrets
from codex_runner.engine.path_rules import matches
from codex_runner.engine.prompt import names
from codex_runner.git.base import UnknownBaseError, base_of, files_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from codex_runner.domain.delivery_spec import GateSpec
    from codex_runner.domain.job import Job
    from codex_runner.domain.transport_port import Transport

CORRECT_GLOBS = "Correct or remove these globs: they begin at the repository's top."
_SPECIAL = frozenset("*?[\\")


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a run begins with. `place` is the repository and the job's folder in it; the former may hold a password.

    `spare` are the globs that match no file.
    """

    green: GreenRun
    place: tuple[str, str]
    spare: Sequence[str]


async def begin_with(
    job: Job, spec: GateSpec, run_id: str, transport: Transport, clean: Callable[[str], str]
) -> Beginning:
    """Ask git on the host what a run would begin with. Raises UnknownBaseError if that cannot be told."""
    base = await base_of(transport, job.cwd)
    files = await files_of(transport, job.cwd, base.commit, folders_of(spec.unless_changed))
    digest, spare = files_digest(spec.unless_changed, files)
    if not digest:
        globs = ", ".join(f"`{glob}`" for glob in spec.unless_changed)
        raise UnknownBaseError(
            f"gate.unless_changed ({globs}) matches no file of the commit {base.commit[:12]}. {CORRECT_GLOBS}"
        )
    repository = base.repository if job.workspace is None else job.workspace.repo
    green = GreenRun(run_id, base.commit, digest, job_digest(job, base.prefix, clean))
    return Beginning(green, (repository, base.prefix), spare)


def job_digest(job: Job, prefix: str, clean: Callable[[str], str]) -> str:
    """Return a digest of what the job asks for: its prompt, model, rules, checks, and all else that is not left out.

    Left out is what does not change the agent's work or its judgement: limits, budget, retries, lock, credential, and
    of the delivery all but where it goes; and what differs between machines: the place of the tree, of codex. `prefix`
    is the job's folder in the repository. `clean` masks secrets, so the digest tells nothing of them.
    """
    gate, workspace = job.gate, job.workspace
    asked = dataclasses.replace(
        job,
        name="",
        cwd=prefix,
        codex=dataclasses.replace(without_secrets(job.codex), path=None),
        workspace=None if workspace is None else dataclasses.replace(workspace, repo=""),
        gate=None if gate is None else dataclasses.replace(gate, ignored=False),
        limits=Limits(),
        retry=RetryPolicy(),
        budget=Budget(),
        credential=None,
        concurrency=None,
        price=None,
        delivery=None if job.delivery is None else _way_of(job.delivery),
    )
    text = f"{canonical(asked)} {sorted(job.codex.environment)}"
    return hashlib.sha256(clean(text).encode("utf-8", "surrogatepass")).hexdigest()


def _way_of(spec: DeliverySpec) -> DeliverySpec:
    """Return only where a delivery goes: no green run of before has brought anything to another place."""
    return DeliverySpec(
        target=spec.target,
        repository=spec.repository,
        api=spec.api,
        base=spec.base,
        branch=spec.branch,
        names={name: spec.names[name] for name in names(spec.branch) if name in spec.names},
    )


def files_digest(globs: Sequence[str], files: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return a digest of the files that the globs match, and the globs that match none.

    `files` has each path's mode, type and id. The digest is "" if no glob matches any.
    """
    found = [f"{entry}\t{path}\0" for path, entry in files.items() if any(matches(glob, path) for glob in globs)]
    spare = [glob for glob in globs if not any(matches(glob, path) for path in files)]
    if not found:
        return "", spare
    return hashlib.sha256("".join(sorted(found)).encode("utf-8", "surrogateescape")).hexdigest(), spare


def compared(last: GreenRun | None, now: GreenRun, globs: Sequence[str]) -> tuple[bool, str]:
    """Return whether a run that begins with `now` would be the last green one again, and why or why not."""
    if last is None:
        return False, "no green run of this job is on record"
    place = f"the last green run {last.run} (commit {last.commit[:12]})"
    listed = ", ".join(f"`{glob}`" for glob in globs)
    if not last.files:
        return False, f"{place} does not count: it began with uncommitted changes, or lost its verdict"
    if last.job != now.job:
        return False, f"the job is not what it was in {place}"
    if last.files != now.files:
        return False, f"files under {listed} have changed since {place}"
    return True, f"nothing under {listed} has changed since {place}"


def folders_of(globs: Sequence[str]) -> list[str]:
    """Return paths below which all lies that the globs match. Returns [] if only the whole tree holds it."""
    folders = []
    for glob in globs:
        names: list[str] = []
        for name in (each for each in glob.split("/") if each):
            if _SPECIAL & set(name):
                break
            names.append(name)
        if not names:
            return []
        folders.append("/".join(names))
    return folders
