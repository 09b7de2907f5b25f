"""The tree that a delivery comes from, as it is before the agent: its remote, and what this machine lacks for it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from codex_runner.git.guard import guard_script
from codex_runner.shell.script import shell_script
from codex_runner.text.excerpts import one_line
from codex_runner.transports.local import LocalTransport

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codex_runner.domain.job import Job
    from codex_runner.domain.transport_port import Transport


async def origin_of_tree(job: Job, transport: Transport, environ: Mapping[str, str]) -> str:
    """Return the address of the tree's remote, as the host has it before the agent. Returns "" if there is none.

    It may hold a password.
    """
    if job.workspace is not None and job.workspace.is_url:
        return job.workspace.repo
    return await _said("origin.sh", job, transport, environ)


async def doubts(job: Job, transport: Transport, environ: Mapping[str, str]) -> Sequence[str]:
    """Return sentences about what this machine lacks for changes that the agent may make."""
    is_far = job.workspace is not None and job.workspace.is_url
    if is_far or shutil.which("git-lfs", path=environ.get("PATH")) is not None:
        return ()
    path = await _said("lfs_used.sh", job, transport, environ)
    if not path:
        return ()
    said = (
        f"Files such as {one_line(path, 100)} belong to Git LFS, and git-lfs is not installed on the runner's machine"
    )
    return (f"{said}: a change to one of them cannot be delivered. Install git-lfs there.",)


async def _said(script: str, job: Job, transport: Transport, environ: Mapping[str, str]) -> str:
    """Return what a script of the room `git` prints in the job's tree before the agent."""
    text = f"{guard_script()}\n{shell_script('codex_runner.git', script)}"
    cwd = job.cwd if job.workspace is None else job.workspace.repo
    if job.workspace is not None:
        transport = LocalTransport(environ)
    done = await transport.ask(text, cwd=cwd)
    return done.output.decode("utf-8", "surrogateescape").strip()
