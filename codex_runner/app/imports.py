"""The folders from which this process imports modules, and those of them that the agent of a job may write.

The runner imports modules late, also after the agent's turn. Folders of installed packages are read-only to the agent.
The agent may edit a folder of sources, which PYTHONPATH or an editable install names: the runner no longer imports from
it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import codex_runner
from codex_runner.codex.permissions import writable
from codex_runner.domain.job import Sandbox
from codex_runner.domain.outside import OutsidePath

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from codex_runner.domain.job import Job

# Some of what this process loads late, by the names that a folder would have them under.
_OF_OURS = ("codex_runner", "typer", "httpx", "jsonschema", "junit_xml", "pydantic", "rich", "tomli_w", "hvac")


def places(job: Job, output: Path, environ: Mapping[str, str]) -> tuple[OutsidePath, ...]:
    """Return what the agent must not write if it is within its reach. `output` is the folder of the runs.

    Only for a job on this machine. For a job whose agent has no sandbox, or cannot write, it returns nothing.
    """
    if not _matters(job):
        return ()
    executable = Path(sys.executable)
    found = [
        *(Path(entry) for entry in sys.path if entry),
        *(Path(prefix) for prefix in (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)),
        *(executable.parent, executable.resolve().parent),
        Path(codex_runner.__file__).parent,
        *([Path(sys.pycache_prefix)] if sys.pycache_prefix else []),
    ]
    return (
        OutsidePath("output", str(output)),
        *(OutsidePath("runner", str(path)) for path in dict.fromkeys(map(Path.absolute, found))),
        *(
            OutsidePath("LD_PRELOAD", path)
            for path in environ.get("LD_PRELOAD", "").replace(":", " ").split()
            if "/" in path
        ),
    )


def forget_sources(job: Job, environ: Mapping[str, str]) -> None:
    """Take out of sys.path every folder that the agent may edit. For the process, so a command does it before a run."""
    if _matters(job):
        roots = [Path(root) for root in _roots(job, environ)]
        sys.path[:] = [entry for entry in sys.path if not _is_of_agent(entry, roots)]


def _matters(job: Job) -> bool:
    return job.host.is_here and job.sandbox is Sandbox.WORKSPACE_WRITE


def _roots(job: Job, environ: Mapping[str, str]) -> Iterable[str]:
    for root in (job.cwd, *writable(job)):
        named = environ.get("TMPDIR", "") if root == ":tmpdir" else _expanded(root, environ)
        if named.startswith("/"):
            yield os.path.realpath(named)


def _expanded(root: str, environ: Mapping[str, str]) -> str:
    if environ.get("HOME") and (root == "~" or root.startswith("~/")):
        return environ["HOME"] + root[1:]
    return os.path.expanduser(root)  # noqa: PTH111 - Path raises if there is no user of that name


def _is_of_agent(entry: str, roots: Iterable[Path]) -> bool:
    """Whether a folder of sys.path is one in which the agent may work: writable, and without installed packages."""
    path = Path(os.path.realpath(entry))
    around = [root for root in roots if path.is_relative_to(root)]
    if not around or entry == "":
        return entry == ""
    if path in around:
        return True
    return not (any((path / name).exists() for name in _OF_OURS) or any(path.glob("*.dist-info")) or _is_python(path))


def _is_python(path: Path) -> bool:
    """Whether it is a folder of Python's own, or one of a virtual environment."""
    return any(path.is_relative_to(os.path.realpath(prefix)) for prefix in (sys.prefix, sys.base_prefix))
