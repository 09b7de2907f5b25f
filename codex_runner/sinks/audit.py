"""The audit log: who let which agent run with which secret, and how it ended. Never a secret's value."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from codex_runner import __version__
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.event import RunEnded, RunPrepared, RunStarted
from codex_runner.domain.job import prompt_sha256
from codex_runner.text.dates import format_date

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.domain.event import Record
    from codex_runner.domain.secret import Secret
    from codex_runner.domain.state import RunState

SCHEMA: Final = 1
SYSLOG_SOCKET: Final = "/dev/log"

_PRIORITY: Final = 10 * 8 + 5  # authpriv.notice
_LONGEST: Final = 500  # characters of a text
_PATIENCE: Final = 10.0  # seconds to wait at the end for the binary's digest, which starts with the run


class AuditLog:
    """A sink that writes one line of JSON when codex may start, and one when the run has ended.

    It only appends to the file: one write for each line, under a lock, mode 0600, with fsync before the run goes on. A
    run that is refused before codex could start has both lines at its end. A runner that attaches writes the second.
    """

    def __init__(
        self,
        file: Path | None,
        origin: Mapping[str, str | None],
        *,
        config_sha256: str | None = None,
        syslog: str | None = None,
    ) -> None:
        """Write to `file`, to the datagram socket `syslog`, or both.

        `origin` says who asked for the run and why, from the CI system.

        Raises ConfigurationError if one of them cannot be written: before the run, not at its end.
        """
        self._file, self._origin, self._config, self._syslog = file, dict(origin), config_sha256, syslog
        self._unsaid = False
        self._digest = _Digest()
        if file is not None:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                os.close(_open(file))
            except OSError as error:
                raise ConfigurationError(
                    f"audit.file = {str(file)!r} cannot be written: {error.strerror}.",
                    remedy="Name a file that this user may append to.",
                ) from None
        if syslog is not None:
            try:
                _connect(syslog).close()
            except OSError as error:
                raise ConfigurationError(
                    f"audit.syslog: the system's log at {syslog} cannot be written: {error.strerror}.",
                    remedy="Start a syslog service, or set `audit.syslog = false`.",
                ) from None

    def accept(self, record: Record, state: RunState) -> None:
        """Write a line if the record is a start or an end."""
        match record.event:
            case RunStarted():
                self._unsaid = True
            case RunPrepared():
                self._digest.begin(state)
                self._write(self._line("start", record, state))
                self._unsaid = False
            case RunEnded():
                if self._unsaid:
                    self._write(self._line("start", record, state))
                self._write({**self._line("end", record, state), **_outcome(record.event, state)})
                self._unsaid = False

    def mask(self, secret: Secret) -> None:
        """See Sink.mask. Does nothing: records come redacted."""

    def tick(self, now: float, state: RunState) -> None:
        """Does nothing: the audit log has only starts and ends."""

    def close(self) -> None:
        """Does nothing: no file stays open."""

    def _line(self, event: str, record: Record, state: RunState) -> dict[str, Any]:
        facts, job = state.facts, _table(state.facts.get("job"))
        codex = _table(facts.get("codex"))
        credential = _table(facts.get("credential"))
        prompt = job.get("prompt")
        return {
            "schema": SCHEMA,
            "time": format_date(record.time),
            "event": event,
            "run_id": state.run_id,
            "job": state.job,
            "host": state.host,
            "runner_host": socket.gethostname(),
            "codex_runner": __version__,
            **self._origin,
            "vault": {
                "method": credential.get("auth_method"),
                "role": credential.get("auth_role"),
                "accessor": credential.get("accessor"),
                "request_id": credential.get("request_id"),
            },
            "secret": {
                name: credential.get(name)
                for name in ("source", "place", "version", "owner", "workflow", "issued_at", "expires_at")
            },
            "codex": {
                "path": codex.get("path"),
                "version": codex.get("version"),
                "sha256": self._digest.result() if event == "end" else None,
            },
            "model": facts.get("model"),
            "sandbox": facts.get("sandbox") or job.get("sandbox"),
            "config_sha256": self._config,
            "prompt_sha256": prompt_sha256(prompt),
        }

    def _write(self, line: dict[str, Any]) -> None:
        data = json.dumps(line, separators=(",", ":")).encode("ascii")
        if self._file is not None:
            _append(self._file, data + b"\n")
        if self._syslog is not None:
            with _connect(self._syslog) as log:
                log.send(b"<%d>codex-runner[%d]: %b" % (_PRIORITY, os.getpid(), data))


class _Digest:
    """The SHA-256 of a binary on this machine, computed in a thread: it takes up to a second."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._result: str | None = None

    def begin(self, state: RunState) -> None:
        path = _table(state.facts.get("codex")).get("path")
        if state.host.is_here and isinstance(path, str):
            self._thread = threading.Thread(target=self._make, args=(path,), name="audit", daemon=True)
            self._thread.start()

    def result(self) -> str | None:
        if self._thread is not None:
            self._thread.join(_PATIENCE)
        return self._result

    def _make(self, path: str) -> None:
        with contextlib.suppress(OSError), Path(path).open("rb") as file:
            self._result = hashlib.file_digest(file, "sha256").hexdigest()


def _outcome(event: RunEnded, state: RunState) -> dict[str, Any]:
    revocation = state.guards.get("vault-revocation")
    return {
        "result": event.result,
        "exit_code": event.exit_code,
        "reason": event.reason[:_LONGEST],
        "seconds": round(state.seconds, 3),
        "tokens": state.usage.total,
        "attempts": len(state.attempts),
        "login_given_back": revocation.passed if revocation and revocation.judged else None,
    }


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _open(file: Path) -> int:
    # Reopened for each line: after a log rotation the next line goes into the new file.
    # O_NONBLOCK: a pipe without a reader must not block a run.
    return os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)


def _append(file: Path, data: bytes) -> None:
    descriptor = _open(file)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _connect(path: str) -> socket.socket:
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        log.connect(path)
    except BaseException:
        log.close()
        raise
    return log
