"""What a command knows beside the job: read once from the process and the configuration, and passed on as a value."""

from __future__ import annotations

import contextlib
import hashlib
import socket
from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from codex_runner import __version__
from codex_runner.app.audience import targets_of
from codex_runner.app.secret_places import named_secrets, passwords_of_proxies, secret_names_of
from codex_runner.ci_systems import Pipeline
from codex_runner.dataclass import dataclass
from codex_runner.domain.canonical import canonical
from codex_runner.domain.credential import VaultSettings
from codex_runner.domain.key import secret_files
from codex_runner.domain.secret import Secret
from codex_runner.domain.secret_names import holds_secret
from codex_runner.sinks.audit import SYSLOG_SOCKET, AuditLog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from codex_runner.config import Config, NotifySettings
    from codex_runner.config.settings import AuditSettings, HostSettings
    from codex_runner.domain.job import Job
    from codex_runner.domain.ports import Sink


@dataclass(frozen=True, slots=True)
class Invocation:
    """The surroundings of a run. Code below reads the environment, and writes to stderr, only through this.

    `junit` is a second place for junit.xml; `ssh_config` is the argument of `ssh -F`; without `guards`, JUnit leaves
    out guards that passed. `complain` gets a sentence for each failure after the reports are written.
    `named` are the files that configure the run, codex-runner.toml first. `secret_names` are the variables that the
    configuration names as a secret's place; `hosts` say which of them a host's ssh gets all the same. `warnings` are
    the configuration's, which a run records.
    `digest` is a hash of the settings that name other machines and files: logins, ssh, notifications, output. It is
    empty if there is no configuration. `config_sha256` is the digest of the configuration file itself.
    `audit` are its settings for auditors.
    """

    environ: Mapping[str, str]
    sinks: Sequence[Sink]
    junit: Path | None = None
    vault: VaultSettings = field(default_factory=VaultSettings)
    ssh_config: Path | None = None
    guards: bool = True
    notify: Sequence[NotifySettings] = ()
    metrics: Path | None = None
    ledger: Path | None = None
    complain: Callable[[str], None] = lambda _: None
    named: Sequence[Path] = ()
    secret_names: frozenset[str] = frozenset()
    hosts: Mapping[str, HostSettings] = field(default_factory=lambda: MappingProxyType({}))
    digest: str = ""
    warnings: Sequence[str] = ()
    config_sha256: str | None = None
    audit: AuditSettings | None = None

    @property
    def audit_files(self) -> tuple[str, ...]:
        """The files with the key of audits, which no agent may read."""
        return () if self.audit is None else tuple(secret_files(self.audit))

    def provenance(self) -> dict[str, Any]:
        """Return who asked for the run and why, and with which runner and configuration: for an audit of the run."""
        pipeline, audit = Pipeline(self.environ), self.audit
        return {
            "codex_runner": __version__,
            "runner_host": socket.gethostname(),
            "config_sha256": self.config_sha256,
            "origin": pipeline.origin(),
            "link": pipeline.link() or None,
            "audit_file": None if audit is None or audit.file is None else str(audit.file),
            "syslog": audit is not None and audit.syslog,
        }

    def given_to(self, host: str) -> tuple[str, ...]:
        """Return the variables that the host's ssh gets although the runner reads a secret from them."""
        return self.hosts[host].environment if host in self.hosts else ()

    def given_back(self) -> list[str]:
        """Return the variables of all hosts that hold a secret."""
        given = dict.fromkeys(name for host in self.hosts.values() for name in host.environment)
        return [name for name in given if holds_secret(name, self.environ.get(name, ""), self.secret_names)]

    def hidden_from_host(self, job: Job) -> frozenset[str]:
        """Return the variables that are known to hold a secret. What runs on the job's host gets none of them.

        The host runs what the agent may have written: checks.
        """
        return self.secret_names | named_secrets([job], self.vault, self.notify)

    def secrets(self) -> list[Secret]:
        """Return the secrets that no job has: passwords of proxies, addresses and keys of notification targets."""
        targets, _ = targets_of(self.notify, self.environ)
        return [
            *passwords_of_proxies(self.environ, self.vault.proxy),
            *(secret for target in targets for secret in target.secrets),
            *(Secret(name, self.environ[name]) for name in self.given_back() if self.environ.get(name)),
        ]

    @classmethod
    def of(  # noqa: PLR0913, PLR0917 - what a command knows
        cls,
        config: Config | None,
        environ: Mapping[str, str],
        sinks: Sequence[Sink] | None,
        junit: Path | None = None,
        complain: Callable[[str], None] = lambda _: None,
        named: Sequence[Path] = (),
    ) -> Self:
        """Take the configuration's values; None means its defaults. Without `sinks`, nothing goes to the audit log."""
        if config is None:
            return cls(environ, sinks or (), junit, complain=complain)
        digest = _file_digest(config.path)
        return cls(
            environ,
            () if sinks is None else [*sinks, *_audit(config, environ, digest)],
            junit,
            vault=config.vault,
            ssh_config=config.ssh_config,
            guards=config.junit_guards,
            notify=config.notify,
            metrics=config.metrics,
            ledger=config.ledger,
            complain=complain,
            named=named,
            secret_names=secret_names_of(config),
            hosts=config.hosts,
            digest=_digest(config),
            warnings=config.warnings,
            config_sha256=digest,
            audit=config.audit,
        )


def _file_digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:  # it was read a moment ago; an audit says that it is not known
        return None


def _digest(config: Config) -> str:
    ssh = b""
    if config.ssh_config is not None:
        with contextlib.suppress(OSError):  # ssh reports it
            ssh = config.ssh_config.read_bytes()
    told = (config.vault, config.ssh_config, ssh, config.notify, config.metrics, config.ledger, config.audit)
    # Canonical, so that a run which an older version began can be attached to.
    whole = canonical((*told, secret_names_of(config), config.hosts))
    return hashlib.sha256(whole.encode()).hexdigest()


def _audit(config: Config, environ: Mapping[str, str], digest: str | None) -> list[Sink]:
    wanted = config.audit
    if wanted.file is None and not wanted.syslog:
        return []

    syslog = SYSLOG_SOCKET if wanted.syslog else None
    return [AuditLog(wanted.file, Pipeline(environ).origin(), config_sha256=digest, syslog=syslog)]
