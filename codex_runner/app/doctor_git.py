"""What the doctor says of git: the job's repository on its host, and the one that a workspace comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.app.diagnosis import GIT
from codex_runner.domain.errors import ConfigurationError, RunnerError
from codex_runner.engine.workspace import UNWATCHED, is_watched, needs_git
from codex_runner.git.changes import NO_GIT, NoGitError, NotRepositoryError
from codex_runner.git.workspaces import look
from codex_runner.shell.script import shell_script

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.app.findings import Findings
    from codex_runner.domain.job import Job
    from codex_runner.domain.transport_port import Transport
    from codex_runner.domain.workspace import WorkspaceSpec


async def _look_at_workspace(
    spec: WorkspaceSpec, transport: Transport, environ: Mapping[str, str], say: Findings
) -> None:
    try:
        made = await look(spec, environ)
    except RunnerError as error:
        say.failed(GIT, error)
        return
    done = await transport.ask("git --version", timeout=30)
    if done.exit_code != 0:
        missing = "git is not installed on this host, and `workspace` needs it."
        say.failed(GIT, ConfigurationError(missing, remedy="Install it."))
    elif made.get("uncommitted"):
        say.warned(GIT, f"{spec.repo} has uncommitted changes", "Commit them: the agent works on the commit.")
    else:
        say.passed(GIT, f"a workspace of {spec.repo} at {made.get('commit', spec.ref)}")


async def look_at_git(job: Job, transport: Transport, environ: Mapping[str, str], say: Findings) -> None:
    """Look at the job's repository, or at the one that its workspace comes from."""
    if job.workspace is not None:
        await _look_at_workspace(job.workspace, transport, environ, say)
        return
    done = await transport.ask(shell_script("codex_runner.app", "doctor_git.sh"), cwd=job.cwd, timeout=30)
    word, _, rest = done.output.decode("utf-8", "replace").rstrip("\n").partition(" ")
    said = done.complaint.decode("utf-8", "replace").strip()
    if word == "whole":
        say.passed(GIT, f"{rest} is a repository with its whole history")
    elif word == "shallow":
        say.warned(
            GIT,
            f"{rest} is a shallow clone: the agent sees only the part of the history that it has",
            "Fetch the rest with `git fetch --unshallow`, or `fetch-depth: 0` in actions/checkout.",
        )
    elif word == "missing":
        left = UNWATCHED if is_watched(job) else "nothing needs it, as the agent may only read"
        _without_git(job, say, NoGitError(NO_GIT), f"{NO_GIT.rstrip('.')}: {left}")
    elif "dubious ownership" in said:
        say.warned(
            GIT,
            f"{job.cwd} belongs to another user, so git refuses to work in it",
            f"Run `git config --global --add safe.directory {job.cwd}`.",
        )
    else:
        why = next((line for line in said.splitlines() if line.startswith("fatal: ")), done.last_words)
        told = f"{job.cwd} is not a repository: {why or 'git says nothing'}"
        _without_git(job, say, NotRepositoryError(told), told, "Check `cwd`, if the job should work in one.")


def _without_git(job: Job, say: Findings, error: RunnerError, warning: str, remedy: str = "") -> None:
    """Report a folder that git cannot use, as a run would: the run ends there if it needs git."""
    if needs_git(job):
        say.failed(GIT, error)
    else:
        say.warned(GIT, warning, remedy or error.remedy)
