"""What a command knows of its surroundings, and which of it is secret."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote

from codex_runner.domain.credential import VaultSettings
from codex_runner.domain.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from codex_runner.config import Config, NotifySettings
    from codex_runner.domain.job import Job
    from codex_runner.domain.ports import Sink


@dataclass(frozen=True, slots=True)
class Setting:
    """What a command knows of its surroundings, read once from the process and the configuration.

    `junit` is a second place for junit.xml; `ssh_config` is what `ssh -F` gets; without `guards`, JUnit leaves out the
    runner's own promises that were kept. `complain` gets a sentence for whatever fails once the reports are written.
    `named` are the files that configure the run, codex-runner.toml first.
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

    @classmethod
    def of(  # noqa: PLR0913, PLR0917 - what a command knows
        cls,
        config: Config | None,
        environ: Mapping[str, str],
        sinks: Sequence[Sink],
        junit: Path | None = None,
        complain: Callable[[str], None] = lambda _: None,
        named: Sequence[Path] = (),
    ) -> Self:
        """Take what the configuration says; None stands for its defaults."""
        if config is None:
            return cls(environ, sinks, junit, complain=complain)
        return cls(
            environ,
            [*sinks, *_audit(config, environ)],
            junit,
            vault=config.vault,
            ssh_config=config.ssh_config,
            guards=config.junit_guards,
            notify=config.notify,
            metrics=config.metrics,
            ledger=config.ledger,
            complain=complain,
            named=named,
        )


def _audit(config: Config, environ: Mapping[str, str]) -> list[Sink]:
    wanted = config.audit
    if wanted.file is None and not wanted.syslog:
        return []
    from codex_runner.sinks.audit import SYSLOG_SOCKET, AuditLog, who  # noqa: PLC0415

    digest = hashlib.sha256(config.path.read_bytes()).hexdigest()
    syslog = SYSLOG_SOCKET if wanted.syslog else None
    return [AuditLog(wanted.file, who(environ), config_sha256=digest, syslog=syslog)]


def surrounding_secrets(setting: Setting) -> list[Secret]:
    """Return the secrets that no job has: proxies' passwords, and the addresses and keys of those who are told."""
    from codex_runner.wiring.aftermath import targets_of  # noqa: PLC0415

    targets, _ = targets_of(setting.notify, setting.environ)
    return [*proxy_passwords(setting.environ), *(secret for target in targets for secret in target.secrets)]


def proxy_passwords(environ: Mapping[str, str]) -> list[Secret]:
    """Return the passwords in proxies' addresses, as written and decoded: codex gets them, and errors quote them."""
    found: dict[str, None] = {}
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        for address in (environ.get(name, ""), environ.get(name.lower(), "")):
            # Not urlsplit: addresses without a scheme are common, and a broken one must not hide its password.
            login, at, _ = address.rpartition("@")
            _, colon, password = login.rpartition("//")[2].partition(":")
            if at and colon and password:
                found |= dict.fromkeys((password, unquote(password)))
    return [Secret("PROXY_PASSWORD", password) for password in found]


def secret_variables(job: Job, setting: Setting) -> set[str | None]:
    """Return the variables that the configuration names as a secret's place."""
    named = {getattr(setting.vault.auth, f"{what}_variable", None) for what in ("token", "secret_id", "password")}
    if (spec := job.credential) is not None:
        named |= {spec.variable, spec.environment_variable}
    return named.union(*((each.url_variable, each.key_variable, each.token_variable) for each in setting.notify))


def credential_files(job: Job, vault: VaultSettings) -> list[str]:
    """Return the files that the job's credential, or the login that fetches it, is read from."""
    login = [getattr(vault.auth, name, None) for name in ("token_file", "secret_id_file", "password_file", "key_file")]
    named = [job.credential.file if job.credential else None, *login]
    return [str(Path(each).resolve()) for each in named if each and Path(each).exists()]
