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

from codex_runner.domain.errors import HostError, RunnerError, UnreachableError
from codex_runner.domain.secret_names import without_secrets
from codex_runner.text.durations import format_duration
from codex_runner.transports.request import bootstrap, new_nonce, under
from codex_runner.transports.ssh_answer import PATIENCE, challenge, next_answer
from codex_runner.transports.ssh_client import NEWER_MASTER_OPTIONS, NEWER_OPTIONS, check_client, knows_newer
from codex_runner.transports.ssh_greeting import greeted
from codex_runner.transports.ssh_session import DroppedError, Session, end, last_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

    # A function gets the host's challenge, which such a request repeats, and the sender.
    Request = bytes | Callable[[str, str], bytes]

    from codex_runner.domain.claim import Claim

# Nothing of ours may outlive us, however we end: stdin is a pipe from us, and its end takes the master and its folder.
# Where the master goes first, the watch stays for the folder's sake. The group is ended, not a pid: it may be reused.
# The watch is a shell with nothing in its environment.
_WATCHED = """
folder=$1; shift
exec 3<&0
env -i PATH="$PATH" sh -c 'read -r line; rm -rf "$1"; kill -KILL 0' sh "$folder" <&3 >/dev/null 2>&1 &
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
    """The connection to one host. `ssh_options` come before ours (`-F FILE`, for one).

    ssh gets `environ` without what the runner reads secrets from, but for the variables `given`.
    """

    def __init__(
        self,
        alias: str,
        environ: Mapping[str, str],
        ssh_options: Sequence[str] = (),
        given: Collection[str] = (),
        claim: Claim | None = None,
    ) -> None:
        """Nothing is connected before the first session. All requests are made under the claim, if there is one."""
        self.alias = alias
        self.claim, self.held = claim, False
        self.answered = False
        self._environ = without_secrets(environ, given=given)
        self._ssh_options = tuple(ssh_options)
        self._folder: Path | None = None
        self._master: subprocess.Popen[bytes] | None = None
        self._awaited = False
        self._newer = True
        self._connecting = asyncio.Lock()
        self._sessions: set[Session] = set()
        # Those that have served a request and can serve another, and since when.
        self._parked: list[tuple[Session, float]] = []
        self._bootstrap, self._script = bootstrap(greets=True)
        self._word = new_nonce()[:16]
        self.lost = 0
        """How often a request or its answer was lost with its connection."""

    @property
    def sender(self) -> str:
        """Say who sends a request, and how new it is."""
        return f"{self._word}.{self.lost}"

    @contextlib.asynccontextmanager
    async def session(self, request: Request) -> AsyncIterator[Session]:
        """Hand a request to a session, whose answer the caller reads whole, or releases it. See `open`."""
        session = await self.open(request)
        try:
            yield session
        except BaseException:
            await self.release(session)
            raise
        self.park(session)

    async def open(self, request: Request) -> Session:
        """Hand a request to a session, which the caller parks or releases; its stdin stays open.

        One that repeats the host's challenge costs a round trip more if it is the first of its session.
        DroppedError or RefusedError where that fails.
        """
        session = await self._unpark()
        if session is None:
            session = await self._connect()
            send = self._send_first(session, request)
        else:
            send = self._send(session, request)
        try:
            await send
        except BaseException:
            await self.release(session)
            raise
        return session

    async def _send(self, session: Session, request: Request) -> None:
        if not isinstance(request, bytes):
            request = request(await challenge(session), self.sender)
        await session.send(under(self.claim, request))

    async def _send_first(self, session: Session, request: Request) -> None:
        """Send the script and a request, and hear meanwhile whether a shell reads it.

        The first request of all waits for that: what is no shell of ours may run its lines as commands, with secrets.
        """
        known = self.answered
        at_once = under(self.claim, request) if known and isinstance(request, bytes) else None
        sending = asyncio.ensure_future(session.send(self._script + (at_once or b"")))
        try:
            await greeted(self.alias, session, self._script, known=known)
            self.answered = True
            await sending
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        if at_once is None:
            await self._send(session, request)

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
        newer = NEWER_OPTIONS if self._newer else ()
        command = [*self._ssh("-oControlMaster=no", f"-oControlPath={socket}", *newer), self._bootstrap]
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

    def begin(self) -> None:
        """Start to connect, and wait for nothing: whoever opens the first session does, and hears what is wrong."""
        with contextlib.suppress(RunnerError, OSError):
            self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        check_client(self._environ)
        socket = self._socket()
        socket.unlink(missing_ok=True)
        with socket.with_name("log").open("wb") as complaint:
            newer = NEWER_MASTER_OPTIONS if self._newer else ()
            master = self._ssh("-oControlMaster=yes", f"-oControlPath={socket}", "-oControlPersist=no", *newer, "-N")
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
            try:
                self._folder = Path(tempfile.mkdtemp(prefix="cr-", dir="/tmp"))
            except OSError as error:
                raise HostError(
                    f"this machine: no folder can be made in /tmp: {error.strerror}.",
                    remedy="Make /tmp a folder that can be written and has room: ssh's control socket lies there.",
                ) from None
        return self._folder / "s"

    async def _ready(self) -> Path:
        async with self._connecting:
            master = self._master
            # One that nobody has waited for yet may have failed, and its log says why.
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
                raise await self._failure(complaint)
            if time.monotonic() > deadline:
                await _end_group(master)
                raise DroppedError(f"no connection within {format_duration(_SOCKET_PATIENCE)}")
            await asyncio.sleep(0.002)
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
    try:
        await end(leader)
    finally:
        with contextlib.suppress(ProcessLookupError):  # what ignores that, a ProxyCommand for one
            os.killpg(leader.pid, signal.SIGKILL)
