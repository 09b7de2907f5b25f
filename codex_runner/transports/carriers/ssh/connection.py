"""The carrier of hosts that OpenSSH reaches: one shared connection, and commands over it.

The system's ssh does everything (Include, Match, ProxyJump, certificates, agents, known_hosts): users have configured
it, and trust it. An ssh master of the runner's own carries all sessions, with a short socket path in a private folder.
If a server refuses to multiplex, ssh connects each session by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from codex_runner.domain.errors import HostError, RunnerError
from codex_runner.domain.secret_names import without_secrets
from codex_runner.shell.script import shell_script
from codex_runner.transports.carriers.carrier import DroppedError, RefusedError, Remedies, ended, last_line
from codex_runner.transports.carriers.ssh.openssh import NEWER_MASTER_OPTIONS, NEWER_OPTIONS, check_client, knows_newer
from codex_runner.transports.carriers.ssh.refusals import HOST_KEY, remedy
from codex_runner.transports.reaping import end

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


_OPTIONS = (
    "-T",
    "-oBatchMode=yes",
    "-oRequestTTY=no",
    "-oRemoteCommand=none",
    "-oForwardAgent=no",
    "-oClearAllForwardings=yes",
    "-oPermitLocalCommand=no",
    "-oConnectTimeout=15",
    # Keep-alive: ssh notices a dead connection in about eight seconds.
    "-oServerAliveInterval=2",
    "-oServerAliveCountMax=3",
)

_SOCKET_PATIENCE = 30.0

# ssh's exit code for a connection that broke or was never made. A command that exits with 255 looks the same.
_BROKEN = (255,)

_REMEDIES = Remedies(
    unanswered="The account's login shell must run commands, and the host needs a POSIX `sh` in its PATH.",
    silent=(
        "The account's login shell must run commands: no `ForceCommand` or menu, no `exec` of another shell and no "
        "`read` in a start-up file, and a POSIX `sh` in the PATH."
    ),
    streams="Make the account's start-up files (~/.bashrc, ~/.zshenv, /etc/profile) redirect only on a terminal.",
)


class SshCarrier:
    """Implements Carrier for an alias of OpenSSH's configuration. `ssh_options` precede the runner's (`-F FILE`).

    ssh gets `environ` without the variables from which the runner reads secrets, except those in `given`.
    """

    def __init__(
        self,
        alias: str,
        environ: Mapping[str, str],
        ssh_options: Sequence[str] = (),
        given: Collection[str] = (),
    ) -> None:
        """Nothing connects before `begin`, or the first command."""
        self.host, self.environ, self.remedies = alias, without_secrets(environ, given=given), _REMEDIES
        self._ssh_options = tuple(ssh_options)
        self._folder: Path | None = None
        self._master: subprocess.Popen[bytes] | None = None
        self._awaited = False
        self._newer = True
        self._connecting = asyncio.Lock()

    def begin(self) -> None:
        """See Carrier.begin."""
        if self._master is None:
            with contextlib.suppress(RunnerError, OSError):
                self._start()

    async def arguments(self, command: str) -> Sequence[str]:
        """See Carrier.arguments."""
        socket = await self._ready()
        newer = NEWER_OPTIONS if self._newer else ()
        return [*self._ssh("-oControlMaster=no", f"-oControlPath={socket}", *newer), command]

    def failure(self, exit_code: int | None, complaint: bytes) -> DroppedError:
        """See Carrier.failure."""
        return ended(exit_code, complaint, _BROKEN)

    async def close(self) -> None:
        """See Carrier.close."""
        try:
            if self._master is not None:
                await _end_group(self._master)
                self._master = None
        finally:
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None

    def _ssh(self, *options: str) -> list[str]:
        return ["ssh", *self._ssh_options, *_OPTIONS, *options, "--", self.host]

    def _start(self) -> subprocess.Popen[bytes]:
        check_client(self.environ)
        socket = self._socket()
        socket.unlink(missing_ok=True)
        with socket.with_name("log").open("wb") as complaint:
            newer = NEWER_MASTER_OPTIONS if self._newer else ()
            # stdin is a pipe from the runner. It closes when the runner ends, even by SIGKILL; the master ends then.
            watched = shell_script("codex_runner.transports.carriers.ssh", "watched.sh")
            master = self._ssh("-oControlMaster=yes", f"-oControlPath={socket}", "-oControlPersist=no", *newer, "-N")
            self._master = subprocess.Popen(
                ["sh", "-c", watched, "sh", str(socket.parent), *master],  # noqa: S607 - the system's sh
                env=self.environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=complaint,
                start_new_session=True,
            )
        self._awaited = False
        return self._master

    def _socket(self) -> Path:
        if self._folder is None:
            # /tmp, since a socket's path is limited to about 100 characters and TMPDIR may be long. mkdtemp sets 0700.
            try:
                self._folder = Path(tempfile.mkdtemp(prefix="cr-", dir="/tmp"))
            except OSError as error:
                raise HostError(
                    f"this machine: cannot create a folder in /tmp: {error.strerror}.",
                    remedy="Make /tmp writable, and make room in it: ssh's control socket lies there.",
                ) from None
        return self._folder / "s"

    async def _ready(self) -> Path:
        async with self._connecting:
            master = self._master
            # A master that was not awaited yet may have failed. `_connected` then reads the reason from its log.
            if master is not None and self._awaited and (master.poll() is not None or not self._socket().exists()):
                await _end_group(master)
                master = None
            return await self._connected(master or self._start())

    async def _connected(self, master: subprocess.Popen[bytes]) -> Path:
        self._awaited = True
        socket = self._socket()
        deadline = time.monotonic() + _SOCKET_PATIENCE
        while not socket.exists():
            if master.poll() is not None:
                complaint = socket.with_name("log").read_text(encoding="utf-8", errors="replace")
                if self._newer and not knows_newer(complaint):
                    self._newer = False
                    await _end_group(master)
                    return await self._connected(self._start())
                raise await self._refusal(complaint)
            if time.monotonic() > deadline:
                await _end_group(master)
                raise DroppedError(f"no connection within {_SOCKET_PATIENCE:g} s")
            await asyncio.sleep(0.002)
        return socket

    async def _refusal(self, complaint: str) -> Exception:
        """Return why there is no connection: DroppedError if trying again may help, else RefusedError."""
        last = last_line(complaint.encode()) or "ssh ended and printed no reason"
        advice = remedy(complaint, ssh=shlex.join(["ssh", *self._ssh_options]), alias=self.host)
        if advice is None:
            return DroppedError(last)
        shown = ""
        if HOST_KEY in complaint:
            shown = f" The host's key: {await asyncio.to_thread(self._fingerprint)}."
        return RefusedError(f"the host {self.host} cannot be used: {last}.{shown}", remedy=advice)

    def _fingerprint(self) -> str:
        """Return the fingerprint of the host's key, asked once more: ssh does not always show a key that it refuses."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            asked = subprocess.run(
                [*self._ssh("-v", "-oControlPath=none"), "true"],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=30,
                check=False,
            )
            if found := re.findall(rb"Server host key: (\S+ \S+)", asked.stderr):
                return str(found[-1].decode("ascii", "replace"))
        return "unknown"


async def _end_group(leader: subprocess.Popen[bytes]) -> None:
    """End a master and the shell that watches it. The group may outlive its leader, so it is always signalled."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGTERM)
    if leader.stdin is not None:
        leader.stdin.close()
    try:
        await end(leader)
    finally:
        with contextlib.suppress(ProcessLookupError):  # a ProxyCommand may ignore SIGTERM
            os.killpg(leader.pid, signal.SIGKILL)
