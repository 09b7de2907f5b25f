"""Process identity: pid, start time and boot. A pid alone is not enough, since systems reuse pids."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

_ENVIRON = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}  # all that ps, uname and sysctl need


def birth(pid: int) -> str | None:
    """Return the process's start time as supervisor.sh writes it. Returns None if it is gone, or a zombie."""
    if sys.platform == "darwin":
        shown = subprocess.run(
            ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)],  # noqa: S607 - the system's ps
            env=_ENVIRON,
            capture_output=True,
            check=False,
        ).stdout.decode()
        state, _, started = "_".join(shown.split()).partition("_")
        return started or None if not state.startswith("Z") else None
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(b")") + 1 :].split()
    return None if fields[0] in b"ZX" else fields[19].decode()


@functools.cache
def here() -> tuple[str, str, str]:
    """Return the ids of this machine and this boot, and the host's name, as supervisor.sh writes them: a word each.

    Cached: a process lives on one host, in one boot.
    """
    node = _first_line("/proc/sys/kernel/hostname") or _output("uname", "-n")
    machine = _first_line("/etc/machine-id") or node
    if started := _first_line("/proc/sys/kernel/random/boot_id"):
        started = f"{started}.{_pid_namespace()}"
    else:
        started = "".join(filter(str.isdigit, _output("sysctl", "-n", "kern.boottime")))
    return machine or "unknown", started or "unknown", node or "unknown"


def uptime() -> int | None:
    """Return the whole seconds since the boot, by a clock that users cannot set. Returns None without /proc/uptime."""
    said = _first_line("/proc/uptime").partition(".")[0]
    return int(said) if said else None


def _pid_namespace() -> str:
    """Return the id of this pid namespace: containers of one kernel share the boot, but not the process table."""
    try:
        return str(Path("/proc/self/ns/pid").readlink()).removeprefix("pid:")
    except OSError:
        return ""


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _output(*command: str) -> str:
    return subprocess.run(command, env=_ENVIRON, capture_output=True, check=False).stdout.decode().strip()
