"""Digests for the gate: what a job asks for, and the files that it depends on. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING

from codex_runner.domain.canonical import canonical
from codex_runner.domain.job import Limits
from codex_runner.domain.policy import Budget, RetryPolicy
from codex_runner.engine.config_secrets import without_secrets
from codex_runner.engine.path_rules import matches

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from codex_runner.domain.gate import GreenRun
    from codex_runner.domain.job import Job

_SPECIAL = frozenset("*?[\\")


def job_digest(job: Job, prefix: str, clean: Callable[[str], str]) -> str:
    """Return a digest of what the job asks for: its prompt, model, rules, checks, and all else that is not left out.

    Left out is what does not change the agent's work or its judgement: limits, budget, retries, lock, credential and
    delivery; and what differs between machines: the place of the tree, of codex. `prefix` is the job's folder in the
    repository. `clean` masks secrets, so the digest tells nothing of them.
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
        delivery=None,
    )
    text = f"{canonical(asked)} {sorted(job.codex.environment)}"
    return hashlib.sha256(clean(text).encode("utf-8", "surrogatepass")).hexdigest()


def files_digest(globs: Sequence[str], files: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return a digest of the files that the globs match, and the globs that match none.

    `files` has each path's mode, type and id. The digest is "" if no glob matches any.
    """
    found = [f"{entry}\t{path}\0" for path, entry in files.items() if any(matches(glob, path) for glob in globs)]
    spare = [glob for glob in globs if not any(matches(glob, path) for path in files)]
    if not found:
        return "", spare
    return hashlib.sha256("".join(sorted(found)).encode("utf-8", "surrogateescape")).hexdigest(), spare


def compared(last: GreenRun | None, now: GreenRun, globs: str) -> tuple[bool, str]:
    """Return whether a run that begins with `now` would be the last green one again, and why or why not."""
    if last is None:
        return False, "no green run of this job is on record"
    place = f"the last green run {last.run} (commit {last.commit[:12]})"
    if last.job != now.job:
        return False, f"the job is not what it was in {place}"
    if last.files != now.files:
        return False, f"files under {globs} have changed since {place}"
    return True, f"nothing under {globs} has changed since {place}"


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
