"""Which of what a command knows is secret: the variables and files that hold a secret, and the passwords of proxies."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from codex_runner.domain.secret import Secret
from codex_runner.domain.secret_names import PROXIES, proxy_passwords
from codex_runner.engine.config_secrets import secrets_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from codex_runner.config import Config, NotifySettings
    from codex_runner.domain.credential import CredentialSpec, VaultSettings
    from codex_runner.domain.job import Job

__all__ = [
    "credential_files",
    "named_secrets",
    "passwords_of_proxies",
    "secret_names_of",
    "secrets_of",
]


def secret_names_of(config: Config) -> frozenset[str]:
    """Return the variables that the configuration names as a secret's place, for any of its jobs."""
    jobs = (config.defaults, *config.jobs.values())
    return named_secrets((job.credential for job in jobs), config.vault, config.notify)


def passwords_of_proxies(environ: Mapping[str, str], *addresses: str | None) -> list[Secret]:
    """Return the passwords in proxies' addresses, those of variables and these, as written and decoded."""
    given = [*(environ.get(name, "") for name in sorted(PROXIES)), *filter(None, addresses)]
    found = dict.fromkeys(password for address in given for password in proxy_passwords(address))
    return [Secret("PROXY_PASSWORD", password) for password in found]


def named_secrets(
    credentials: Iterable[CredentialSpec | None], vault: VaultSettings, notify: Iterable[NotifySettings]
) -> frozenset[str]:
    """Return the variables that a configuration names as a secret's place: credentials', the login's, targets'."""
    named = [
        *(each for spec in credentials if spec is not None for each in (spec.variable, spec.environment_variable)),
        *(getattr(vault.auth, field.name) for field in fields(vault.auth) if field.name.endswith("_variable")),
        *(getattr(one, field.name) for one in notify for field in fields(one) if field.name.endswith("_variable")),
    ]
    return frozenset(filter(None, named))


def credential_files(job: Job, vault: VaultSettings) -> list[str]:
    """Return the files that the job's credential, or the login that fetches it, is read from."""
    login = [getattr(vault.auth, name, None) for name in ("token_file", "secret_id_file", "password_file", "key_file")]
    named = [job.credential.file if job.credential else None, *login]
    return [str(Path(each).resolve()) for each in named if each and Path(each).exists()]
