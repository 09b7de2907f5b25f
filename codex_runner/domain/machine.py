"""Faults of the runner's machine: out of processes, memory, files or disk space, or no permission. None is a bug."""

from __future__ import annotations

import errno
from typing import Final

from codex_runner.domain.errors import ConfigurationError, HostError, RunnerError

_REMEDIES: Final = {
    errno.EAGAIN: "Raise the limit of processes (`ulimit -u`, a container's `pids` limit), or end some.",
    errno.ENOMEM: "Give the machine, or the container, more memory.",
    errno.EMFILE: "Raise the limit of open files (`ulimit -n`).",
    errno.ENFILE: "End programs that hold many open files: the whole machine has too many.",
    errno.ENOSPC: "Make room on the disk.",
    errno.EDQUOT: "Make room within the user's quota.",
    errno.EROFS: "Name places that can be written (`output_dir`, TMPDIR, XDG_STATE_HOME).",
    errno.EIO: "Check the disk: the kernel cannot read or write it.",
}
_PROGRAMS: Final = {"sh", "git", "ssh", "ps"}
_NO_THREAD: Final = "can't start new thread"
_NO_FOLDER: Final = "No usable temporary directory"


def machine_fault(error: BaseException) -> RunnerError | None:
    """Return an error for what the machine refused. Returns None if the exception means anything else."""
    if isinstance(error, MemoryError):
        return _refused("no more memory", errno.ENOMEM)
    if isinstance(error, RuntimeError) and _NO_THREAD in str(error):
        return _refused("no more threads", errno.EAGAIN)
    return _system_fault(error) if isinstance(error, OSError) else None


def _system_fault(error: OSError) -> RunnerError | None:
    said = (error.strerror or "").lower()
    if _NO_FOLDER.lower() in said:
        return HostError(
            "this machine has no folder for temporary files that is writable and has room.",
            remedy="Set TMPDIR to such a folder.",
        )
    if error.errno == errno.ENOENT and error.filename in _PROGRAMS:
        return ConfigurationError(
            f"`{error.filename}` was not found in PATH on this machine.", remedy="Install it, or correct PATH."
        )
    if error.errno in {errno.EACCES, errno.EPERM} and error.filename:
        return ConfigurationError(
            f"{error.filename} cannot be used: {said}.", remedy="Give this user permission, or name another place."
        )
    return _refused(said, error.errno) if error.errno in _REMEDIES else None


def _refused(what: str, number: int) -> HostError:
    return HostError(f"this machine refuses: {what}.", remedy=_REMEDIES[number])
