"""git workspaces: on this machine made from the repository itself, on another host from a bundle (upload)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from codex_runner.domain.errors import ConfigurationError, HostError, RunnerError
from codex_runner.domain.event import Warned
from codex_runner.domain.workspace import Workspace
from codex_runner.git.guard import guard_script
from codex_runner.git.repository import GitError, Repository, mirror_name
from codex_runner.shell.scratch import scratch_folder, scratch_script
from codex_runner.shell.script import shell_script

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from codex_runner.domain.event import Event
    from codex_runner.domain.job import Job
    from codex_runner.domain.transport_port import Transport
    from codex_runner.domain.workspace import WorkspaceSpec

# Seconds: enough for many gigabytes over a slow connection. A user who does not want to wait can interrupt.
_PATIENCE = 6 * 3600.0

_LEFT = {
    "submodules": "The commit has submodules, and they are not checked out.",
    "lfs": "The commit has files of Git LFS, and only their pointers are checked out.",
}


class _RefusedError(Exception):
    """The host's script failed. `code` is its word for the reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class GitWorkspaces:
    """Implements ports.Workspaces."""

    def __init__(self, transport: Transport, environ: Mapping[str, str], runs: Path) -> None:
        """`transport` reaches the jobs' host. `runs` holds this machine's run directories."""
        self._transport, self._environ, self._runs = transport, environ, runs

    async def make(self, job: Job, run_id: str, tell: Callable[[Event], None]) -> Workspace:
        """See Workspaces.make."""
        spec = job.workspace
        if spec is None:
            raise ConfigurationError(f"the job {job.name} has no `workspace`.")
        try:
            if spec.is_url:
                source = ("clone", spec.repo, spec.ref, mirror_name(spec.repo))
                return await self._make(job, run_id, "", source, tell)
            repository = await Repository.find(spec.repo, spec.ref, self._environ)
            if changes := await repository.uncommitted():
                tell(_uncommitted(spec, repository.commit, changes))
            if job.host.is_here and not repository.partial:
                objects = ("objects", str(repository.common / "objects"), repository.commit)
                return await self._make(job, run_id, repository.object_format, objects, tell)
            return await self._from_bundle(job, run_id, repository, tell)
        except _RefusedError as refused:
            raise _error(refused, job, spec) from None
        except GitError as error:
            if re.search(r"no space left|disk ?space", str(error), re.IGNORECASE):
                raise HostError(f"this machine's disk has no room for a bundle of {spec.repo}: {error}") from None
            raise ConfigurationError(
                f"workspace.repo = {spec.repo!r}: {error}", remedy="Try `git fsck` there."
            ) from None

    async def reset(self, workspace: Workspace, run_id: str) -> None:
        """See Workspaces.reset."""
        try:
            await self._ask("reset", run_id, workspace.commit)
        except _RefusedError as refused:
            raise HostError(f"the host could not reset the workspace to {workspace.commit}: {refused}.") from None

    async def _from_bundle(
        self, job: Job, run_id: str, repository: Repository, tell: Callable[[Event], None]
    ) -> Workspace:
        """Send the objects that the host lacks. If that turns out not to be enough, send all."""
        # A shallow clone lacks the ancestors that the host may have, and would make a shallow mirror for other runs.
        mirror = "" if repository.shallow or job.host.is_here else repository.mirror
        haves: Sequence[str] = ()
        if mirror:
            said = await self._ask("haves", mirror, repository.object_format)
            haves = await repository.known([value for key, value in said if key == "have"])
        while True:
            with scratch_folder(self._runs) as scratch:
                bundle = scratch / "bundle"
                await repository.bundle(bundle, haves)
                file = str(bundle) if job.host.is_here else await self._transport.upload(bundle, run_id)
                source = ("bundle", file, repository.commit, repository.shallow, mirror)
                try:
                    return await self._make(job, run_id, repository.object_format, source, tell)
                except _RefusedError as refused:
                    if not mirror or refused.code not in {"lacks", "failed"}:
                        raise
                    if refused.code == "failed" or not haves:
                        tell(Warned("mirror", f"{job.host}: the mirror {mirror} cannot be used: {refused}."))
                        mirror = ""
                    haves = ()

    async def _make(
        self, job: Job, run_id: str, object_format: str, source: Sequence[str], tell: Callable[[Event], None]
    ) -> Workspace:
        said = await self._ask("make", run_id, job.cwd, object_format, *source)
        for key, value in said:
            if key == "left":
                tell(Warned(value, _LEFT[value]))
        facts = dict(said)
        return Workspace(facts["top"], facts["cwd"], facts["commit"])

    async def _ask(self, *arguments: str) -> list[tuple[str, str]]:
        script = shell_script("codex_runner.git", "workspace.sh")
        whole = f"{guard_script()}\n{scratch_script()}\n{script}"
        done = await self._transport.ask(whole, timeout=_PATIENCE, arguments=arguments)
        lines = done.output.decode("utf-8", "surrogateescape").split("\n")
        pairs = [(key, value) for key, _, value in (line.partition(" ") for line in lines)]
        for key, value in pairs:
            if key == "error":
                code, _, message = value.partition(" ")
                raise _RefusedError(code, message.strip().rstrip(".") or "git printed no reason")
        if ("ok", "") not in pairs:
            raise _RefusedError("failed", f"the host's shell ended early: {done.last_words}")
        return pairs


async def look(spec: WorkspaceSpec, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what `make` would make, and make nothing.

    Raises ConfigurationError if there is no such repository or commit.
    """
    said: dict[str, Any] = {"repo": spec.repo, "ref": spec.ref, "keep": spec.keep.value}
    if not spec.is_url:
        repository = await Repository.find(spec.repo, spec.ref, environ)
        said |= {"commit": repository.commit, "uncommitted": await repository.uncommitted()}
    return said


def _uncommitted(spec: WorkspaceSpec, commit: str, changes: int) -> Warned:
    what = "1 uncommitted change" if changes == 1 else f"{changes} uncommitted changes"
    return Warned("uncommitted", f"{spec.repo} has {what}, and the agent gets commit {commit[:12]} without them.")


def _error(refused: _RefusedError, job: Job, spec: WorkspaceSpec) -> RunnerError:
    match refused.code:
        case "no-git":
            return ConfigurationError(f"{job.host}: {refused}.", remedy="Install git there: `workspace` needs it.")
        case "cwd":
            return ConfigurationError(
                f"cwd: {refused} {spec.repo} at {spec.ref}.", remedy="With `workspace`, it is relative to the top."
            )
        case "source" if "find remote ref" in str(refused):
            return ConfigurationError(f"workspace.ref = {spec.ref!r}: {spec.repo} has no such ref: {refused}.")
        case "source":
            return HostError(
                f"{job.host} could not fetch {spec.repo}: {refused}.",
                remedy="Give the host access to it, or name a repository of this machine: the runner sends its commit.",
            )
        case _:
            return HostError(f"{job.host} could not make the workspace: {refused}.")
