"""Process identity: pid, start time and boot. A pid alone is not enough, since systems reuse pids."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Awaitable, Callable

_ENVIRON = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}  # all that ps, uname and sysctl need

_LEAVING = 5.0  # seconds
_REAPED = 0.0005  # seconds in which most systems reap what was killed
_DYING = 5.0  # seconds: what the kernel may take, at the most, to end what was killed


async def end_group(leader: Process) -> None:
    """Kill a process group, wait until none of it is alive, and close its pipes. `leader` is a child of this process.

    SIGKILL only tells a process to go: it is still there for a moment, for all to see.
    """
    await _kill_group(leader.pid, leader.wait)
    if leader.stdin is not None:
        leader.stdin.close()
    with contextlib.suppress(TimeoutError):  # a process that has left the group may hold a pipe open
        async with asyncio.timeout(_DYING):
            await leader.communicate()
    await asyncio.sleep(0)  # a pipe at its end lets go of its descriptor in the loop's next turn


async def leave(leader: Process) -> None:
    """Leave a process that was asked for something: let it end that within _LEAVING seconds, then end its group."""
    try:
        if leader.stdin is not None:
            leader.stdin.close()  # once what is left of the request is written
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVING):
                await leader.communicate()
    finally:
        await end_group(leader)


async def end_session(leader: subprocess.Popen[bytes]) -> None:
    """Do the same for a child with a pipe as its stdin, which no event loop knows. Idempotent."""
    if leader.stdin is None or leader.stdin.closed:
        return

    async def reaped() -> None:
        leader.wait()

    await _kill_group(leader.pid, reaped)
    leader.stdin.close()


async def _kill_group(group: int, reaped: Callable[[], Awaitable[object]]) -> None:
    """Kill a process group, and wait until none of it is alive. `reaped` waits for its leader."""
    began = time.monotonic()
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the latter of zombies
        os.killpg(group, signal.SIGKILL)
        await reaped()
        while (waited := time.monotonic() - began) < _DYING:
            os.killpg(group, 0)
            # The group stays only if the system does not reap orphans. To look at each process takes milliseconds.
            if waited > _REAPED and not _has_live(group):
                break
            await asyncio.sleep(0.0005)
    await reaped()


def _has_live(group: int) -> bool:
    """Whether any process of the group is more than a zombie, which waits for a parent that may never look."""
    if not os.path.isdir("/proc"):  # noqa: PTH112 - pathlib takes twice as long for all this
        return False
    for pid in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - the same
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb", buffering=0) as stat:  # noqa: PTH123 - the same
            fields = stat.read().rpartition(b")")[2].split()
            if int(fields[2]) == group and fields[0] not in b"ZX":
                return True
    return False


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
