"""One shared OpenSSH connection to a host, and sessions over it, each of which serves one request after the other.

The system's ssh does all of it (Include, Match, ProxyJump, certificates, agents, known_hosts): it is what people have
configured and trust. A master of our own, with a short socket path in a private folder, carries all sessions; where a
server refuses to multiplex, ssh connects each session by itself.
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

from codex_runner.domain.errors import UnreachableError
from codex_runner.transports.request import bootstrap, under
from codex_runner.transports.ssh_answer import PATIENCE, next_answer
from codex_runner.transports.ssh_session import DroppedError, Session, end, last_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from codex_runner.domain.claim import Claim

# Nothing of ours may outlive us, however we end: stdin is a pipe from us, and its end takes the master and its folder.
# Where the master goes first, the watch stays for the folder's sake. The group is ended, not a pid: it may be reused.
_WATCHED = """
folder=$1; shift
exec 3<&0
{ read -r line; rm -rf "$folder"; kill 0; } <&3 >/dev/null 2>&1 &
exec 3<&-
exec "$@" </dev/null
"""

_OPTIONS = (
    "-T",
    "-oBatchMode=yes",
    "-oRequestTTY=no",
    "-oRemoteCommand=none",
    "-oForwardAgent=no",
    "-oClearAllForwardings=yes",
    "-oPermitLocalCommand=no",
    "-oConnectTimeout=15",
    # A dead line is seen in some eight seconds.
    "-oServerAliveInterval=2",
    "-oServerAliveCountMax=3",
)

_SOCKET_PATIENCE = 30.0

# The host's side waits twice as long for the next request of a session.
_PARKED = 10.0

_HOST_KEY = "If that is the host's own fingerprint, add it: `{ssh} -o StrictHostKeyChecking=accept-new {alias} true`."

# What will not get better by trying again, as ssh words it, and what to do about it.
_REFUSALS = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "Somebody may sit in between. If the host was set up anew: `ssh-keygen -R {name}` removes the old key.",
    ),
    (r"Host key verification failed", _HOST_KEY),
    (r"Permission denied", "Check the user, the key, and the agent: `{ssh} -v {alias} true`."),
    (r"Too many authentication failures", "Set `IdentitiesOnly yes` and one `IdentityFile` for this host."),
    (
        r"Could not resolve hostname \S+: (?!Temporary)",
        "Check `HostName` in the OpenSSH configuration: `codex-runner hosts` lists the aliases.",
    ),
    (
        r"Bad configuration option|terminating, \d+ bad|Can't open user config file|Bad owner or permissions",
        "Correct the OpenSSH configuration: `{ssh} -G {alias}` reads it.",
    ),
)


class RefusedError(UnreachableError):
    """Trying again will not help: the host will not have us: a wrong key, an unknown host key, an unknown name."""


class SshConnection:
    """The connection to one host. `ssh_options` come before ours (`-F FILE`, for one)."""

    def __init__(
        self,
        alias: str,
        environ: Mapping[str, str],
        ssh_options: Sequence[str] = (),
        claim: Claim | None = None,
    ) -> None:
        """Nothing is connected before the first session. All requests are made under the claim, if there is one."""
        self.alias = alias
        self.claim, self.held = claim, False
        self.established = False
        self._environ = dict(environ)
        self._ssh_options = tuple(ssh_options)
        self._folder: Path | None = None
        self._master: subprocess.Popen[bytes] | None = None
        self._awaited = False
        self._connecting = asyncio.Lock()
        self._sessions: set[Session] = set()
        # Those that have served a request and can serve another, and since when.
        self._parked: list[tuple[Session, float]] = []
        self._bootstrap, self._script = bootstrap()

    @contextlib.asynccontextmanager
    async def session(self, request: bytes) -> AsyncIterator[Session]:
        """Hand a request to a session, whose answer the caller reads whole, or releases it. See `open`."""
        session = await self.open(request)
        try:
            yield session
        except BaseException:
            await self.release(session)
            raise
        self.park(session)

    async def open(self, request: bytes) -> Session:
        """Hand a request to a session, which the caller parks or releases; its stdin stays open.

        DroppedError or RefusedError where that fails.
        """
        request = under(self.claim, request, held=self.held)
        session = await self._unpark()
        if session is None:
            session = await self._connect()
            request = self._script + request
        try:
            await session.send(request)
        except BaseException:
            await self.release(session)
            raise
        return session

    def park(self, session: Session) -> None:
        """Keep a session, whose request has been answered, for the next one. It costs some 40 ms to open another."""
        if session in self._sessions:
            self._parked.append((session, time.monotonic()))

    async def release(self, session: Session) -> None:
        """Close a session. Again is fine."""
        await session.close()
        self._sessions.discard(session)

    async def ask(self, request: bytes, nonce: str, *, patience: float = PATIENCE) -> str:
        """Send a request whose answer is a line, and wait for it so many seconds."""
        async with self.session(request) as session:
            return await next_answer(session, nonce, patience=patience)

    async def close(self) -> None:
        """End the sessions and the connection, and remove its folder."""
        for session in list(self._sessions):
            await self.release(session)
        if self._master is not None:
            await _end_group(self._master)
            self._master = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    async def _connect(self) -> Session:
        socket = await self._ready()
        command = [*self._ssh("-oControlMaster=no", f"-oControlPath={socket}"), self._bootstrap]
        session = await Session.open(command, self._environ)
        self._sessions.add(session)
        return session

    async def _unpark(self) -> Session | None:
        while self._parked:
            session, since = self._parked.pop()
            if session.running and time.monotonic() - since < _PARKED:
                return session
            await self.release(session)
        return None

    def _ssh(self, *options: str) -> list[str]:
        return ["ssh", *self._ssh_options, *_OPTIONS, *options, "--", self.alias]

    def begin(self) -> subprocess.Popen[bytes]:
        """Start to connect, and wait for nothing: whoever opens the first session does."""
        socket = self._socket()
        socket.unlink(missing_ok=True)
        with socket.with_name("log").open("wb") as complaint:
            master = self._ssh("-oControlMaster=yes", f"-oControlPath={socket}", "-oControlPersist=no", "-N")
            self._master = subprocess.Popen(
                ["sh", "-c", _WATCHED, "sh", str(socket.parent), *master],  # noqa: S607 - the system's sh
                env=self._environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=complaint,
                start_new_session=True,
            )
        self._awaited = False
        return self._master

    def _socket(self) -> Path:
        if self._folder is None:
            # /tmp, since a socket's path may have some hundred characters and TMPDIR may be long. 0700 by mkdtemp.
            self._folder = Path(tempfile.mkdtemp(prefix="cr-", dir="/tmp"))
        return self._folder / "s"

    async def _ready(self) -> Path:
        async with self._connecting:
            master = self._master
            # One that nobody has waited for yet may have failed, and its log says why.
            if master is not None and self._awaited and (master.poll() is not None or not self._socket().exists()):
                await _end_group(master)
                master = None
            return await self._connected(master or self.begin())

    async def _connected(self, master: subprocess.Popen[bytes]) -> Path:
        self._awaited = True
        socket = self._socket()
        deadline = time.monotonic() + _SOCKET_PATIENCE
        while not socket.exists():
            if master.poll() is not None:
                raise await self._failure(socket.with_name("log").read_text(encoding="utf-8", errors="replace"))
            if time.monotonic() > deadline:
                await _end_group(master)
                raise DroppedError(f"no connection within {_SOCKET_PATIENCE:g} s")
            await asyncio.sleep(0.002)
        self.established = True
        return socket

    async def _failure(self, complaint: str) -> Exception:
        """Say why there is no connection; whether to try again is in the class."""
        last = last_line(complaint.encode()) or "ssh ended without a word"
        remedy = next((text for pattern, text in _REFUSALS if re.search(pattern, complaint)), None)
        if remedy is None:
            return DroppedError(last)
        shown = ""
        if "Host key verification failed" in complaint:
            shown = f" The host's key: {await asyncio.to_thread(self._fingerprint)}."
        command = shlex.join(["ssh", *self._ssh_options])
        name = next(iter(re.findall(r"host key for (\S+) has changed", complaint)), self.alias)
        return RefusedError(
            f"the host {self.alias} cannot be used: {last}.{shown}",
            remedy=remedy.format(ssh=command, alias=self.alias, name=name),
        )

    def _fingerprint(self) -> str:
        """Ask the host for its key once more, since ssh does not always show what it refuses."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            asked = subprocess.run(
                [*self._ssh("-v", "-oControlPath=none"), "true"],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=30,
                check=False,
            )
            if found := re.findall(rb"Server host key: (\S+ \S+)", asked.stderr):
                return str(found[-1].decode("ascii", "replace"))
        return "unknown"


async def _end_group(leader: subprocess.Popen[bytes]) -> None:
    """End a master with the shell that watches over it. The group may outlive its leader, so it is always signalled."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGTERM)
    if leader.stdin is not None:
        leader.stdin.close()
    await end(leader)
