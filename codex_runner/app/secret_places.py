"""The secrets that a command knows: the variables and files that hold one, and the passwords of proxies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from codex_runner.domain.key import secret_files, secret_variables
from codex_runner.domain.secret import Secret
from codex_runner.domain.secret_names import PROXIES, proxy_passwords
from codex_runner.engine.config_secrets import secrets_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from codex_runner.config import Config, NotifySettings
    from codex_runner.domain.credential import CredentialSpec, VaultSettings
    from codex_runner.domain.job import Job


def setting_secrets(job: Job | None) -> list[Secret]:
    """Return the secrets in a job's settings for codex, none without a job."""
    return [] if job is None else secrets_of(job.codex)


def secret_names_of(config: Config) -> frozenset[str]:
    """Return the variables that the configuration names as a secret's place, for any of its jobs."""
    jobs = (config.defaults, *config.jobs.values())
    return named_secrets((job.credential for job in jobs), config.vault, config.notify)


def passwords_of_proxies(environ: Mapping[str, str], *addresses: str | None) -> list[Secret]:
    """Return the passwords in the addresses of proxies, from variables and `urls`, as written and decoded."""
    given = [*(environ.get(name, "") for name in sorted(PROXIES)), *filter(None, addresses)]
    found = dict.fromkeys(password for address in given for password in proxy_passwords(address))
    return [Secret("PROXY_PASSWORD", password) for password in found]


def named_secrets(
    credentials: Iterable[CredentialSpec | None], vault: VaultSettings, notify: Iterable[NotifySettings]
) -> frozenset[str]:
    """Return the variables that a configuration names as a secret's place: credentials', the login's, targets'."""
    specs = [spec for spec in credentials if spec is not None]
    named = secret_variables(*specs, vault.auth, *notify)
    return frozenset((*named, *(spec.environment_variable for spec in specs)))


def credential_files(job: Job, vault: VaultSettings, notify: Iterable[NotifySettings] = ()) -> list[str]:
    """Return the files that exist and hold the job's credential, a secret of the login, or a target's address."""
    holders = [vault.auth, *notify, *([] if job.credential is None else [job.credential])]
    return [str(Path(each).resolve()) for each in secret_files(*holders) if Path(each).exists()]
