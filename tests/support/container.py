"""A container of namespaces over a root of busybox, and the carrier that begins commands in it. For tests alone.

It proves that a remote transport knows no carrier: other words for a failure, no shared connection, no login shell, a
root and pids of its own. The host's programs and the tests' folder are in it under the same paths.
"""

import os
import shutil
import subprocess
import sys
from functools import cached_property
from pathlib import Path

import pytest

from codex_runner.transports.carriers.carrier import DroppedError, Remedies, ended, last_line

PATH = "/bin:/usr/bin"

# Makes the root, then becomes the container's first process, which ends with the tests: its stdin is their pipe.
_SETUP = """
set -e
root=$1 busybox=$2
shift 2
mkdir -p "$root/bin" "$root/proc" "$root/tmp"
for path; do
	mkdir -p "$root$path"
	mount --bind "$path" "$root$path"
done
for lib in /lib /lib64; do if [ -L "$lib" ]; then ln -s "usr$lib" "$root$lib"; fi; done
cp "$busybox" "$root/bin/busybox"
for applet in $("$busybox" --list); do ln -s busybox "$root/bin/$applet" 2>/dev/null || :; done
exec unshare -mpf --kill-child -R "$root" --mount-proc /bin/sh -c 'echo up; while read -r _; do :; done'
"""


class Container:
    """Begin with `with`. `environment` is what its commands get beside PATH; the folders `shared` are in it, too."""

    def __init__(self, root, environment, shared):
        self.root, self.environment = root, {**environment, "PATH": PATH}
        self._shared = shared

    def __enter__(self):
        given = (*self._shared, sys.prefix, sys.base_prefix, Path(__file__).parent)
        paths = ["/usr", "/dev", *(str(path) for path in given if not str(path).startswith("/usr/"))]
        paths += [path for path in ("/lib", "/lib64") if Path(path).is_dir() and not Path(path).is_symlink()]
        self._setup = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", _SETUP, "sh", str(self.root), shutil.which("busybox"), *paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._setup.stdout.readline() == b"up\n"
        return self

    def __exit__(self, *_):
        self._setup.stdin.close()
        self._setup.kill()  # which takes the first process, and so all others
        self._setup.wait()
        self._setup.stdout.close()

    @cached_property
    def first(self):
        """The pid of the container's first process, as this machine sees it."""
        (pid,) = Path(f"/proc/{self._setup.pid}/task/{self._setup.pid}/children").read_text().split()
        return int(pid)

    def pid_here(self, pid):
        """Return the pid by which this machine knows a process of the container."""
        space = Path(f"/proc/{self.first}/ns/pid").readlink()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = next(line for line in (entry / "status").read_text().splitlines() if line.startswith("NSpid:"))
                if words.split()[-1] == str(pid) and (entry / "ns" / "pid").readlink() == space:
                    return int(entry.name)
            except OSError:
                continue
        raise ProcessLookupError(pid)


class ContainerCarrier:
    """Implements Carrier."""

    host = "box"
    remedies = Remedies(
        unanswered="Put a POSIX sh into the image.", silent="Set no entrypoint.", streams="Set no entrypoint."
    )

    def __init__(self, container):
        self._container, self.environ = container, container.environment

    def begin(self):
        pass

    async def arguments(self, command):
        return [shutil.which("nsenter"), "-t", str(self._container.first), "-m", "-p", "-r", "-w", "sh", "-c", command]

    def failure(self, exit_code, complaint):
        if complaint.startswith(b"nsenter:"):
            return DroppedError(last_line(complaint))
        return ended(exit_code, complaint)

    async def close(self):
        pass


def container_or_skip(root, environment, shared):
    """Return a container, not yet begun. Skips the test if this user may make none."""
    tried = subprocess.run(["unshare", "-mpf", "true"], check=False, capture_output=True)
    if os.geteuid() != 0 or tried.returncode:
        pytest.skip("only root may make a container of namespaces")
    return Container(root, environment, shared)
