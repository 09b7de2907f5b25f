"""A real OpenSSH server on 127.0.0.1, with its own host key and one user key, and an OpenSSH configuration for it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Sshd:
    """`alias` works with `ssh -F config`; `environment` is what the far side's user has (HOME, PATH, ...).

    `prefix` is what the server's command line begins with.
    """

    def __init__(self, folder: Path, *, alias="devbox", options=(), environment=None, via=None, prefix=()):
        self.folder, self.alias, self.prefix = folder, alias, prefix
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("host_key", "user_key"):
            if not (folder / name).exists():
                subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
        environment = {"HOME": str(folder / "home"), **(environment or {})}
        Path(environment["HOME"]).mkdir(exist_ok=True)
        lines = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {folder / 'host_key'}",
            f"AuthorizedKeysFile {folder / 'authorized_keys'}",
            f"PidFile {folder / 'pid'}",
            "StrictModes no",
            "UsePAM no",
            "PermitRootLogin yes",
            "MaxStartups 200",
            "MaxSessions 100",
            "KexAlgorithms curve25519-sha256",
            "SetEnv " + " ".join(f"{key}={value}" for key, value in environment.items()),
            *options,
        ]
        (folder / "sshd_config").write_text("\n".join(lines) + "\n")
        (folder / "known_hosts").write_text(f"{alias} {(folder / 'host_key.pub').read_text()}")
        self.config = self.client_config(folder / "ssh_config", via or self.port)
        Path("/run/sshd").mkdir(exist_ok=True)
        self.process = None

    def client_config(self, path, port, *extra):
        """Write an OpenSSH configuration that reaches this server through `port`."""
        lines = [
            f"Host {self.alias}",
            "  HostName 127.0.0.1",
            f"  Port {port}",
            f"  HostKeyAlias {self.alias}",
            f"  IdentityFile {self.folder / 'user_key'}",
            "  IdentitiesOnly yes",
            f"  UserKnownHostsFile {self.folder / 'known_hosts'}",
            "  GlobalKnownHostsFile none",
            "  StrictHostKeyChecking yes",
            *extra,
        ]
        path.write_text("\n".join(lines) + "\n")
        return path

    def __enter__(self):
        binary = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")
        self.log = (self.folder / "sshd.log").open("wb")
        self.process = subprocess.Popen(
            [*self.prefix, binary, "-D", "-e", "-f", str(self.folder / "sshd_config")],
            stdin=subprocess.DEVNULL,
            stderr=self.log,
        )
        deadline = time.monotonic() + 120
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            assert self.process.poll() is None, (self.folder / "sshd.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def sessions(self):
        """Pids of the server's processes that serve a connection."""
        return [
            int(pid)
            for path in Path(f"/proc/{self.process.pid}/task/{self.process.pid}").glob("children")
            for pid in path.read_text().split()
        ]

    def __exit__(self, *_):
        for pid in self.sessions():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        self.log.close()
