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
    from codex_runner.domain.credential import VaultSettings
    from codex_runner.domain.job import Job


def setting_secrets(job: Job | None) -> list[Secret]:
    """Return the secrets in a job's settings for codex, none without a job."""
    return [] if job is None else secrets_of(job.codex)


def secret_names_of(config: Config) -> frozenset[str]:
    """Return the variables that the configuration names as a secret's place, for any of its jobs."""
    named = named_secrets((config.defaults, *config.jobs.values()), config.vault, config.notify)
    return named | frozenset(secret_variables(config.audit))


def passwords_of_proxies(environ: Mapping[str, str], *addresses: str | None) -> list[Secret]:
    """Return the passwords in the addresses of proxies, from variables and `urls`, as written and decoded."""
    given = [*(environ.get(name, "") for name in sorted(PROXIES)), *filter(None, addresses)]
    found = dict.fromkeys(password for address in given for password in proxy_passwords(address))
    return [Secret("PROXY_PASSWORD", password) for password in found]


def named_secrets(jobs: Iterable[Job], vault: VaultSettings, notify: Iterable[NotifySettings]) -> frozenset[str]:
    """Return the variables that hold a secret for these jobs: credentials', the login's, targets'."""
    jobs = tuple(jobs)
    specs = [job.credential for job in jobs if job.credential is not None]
    named = secret_variables(*(holder for job in jobs for holder in _credentials(job)), vault.auth, *notify)
    return frozenset((*named, *(spec.environment_variable for spec in specs)))


def credential_files(
    job: Job, vault: VaultSettings, notify: Iterable[NotifySettings] = (), more: Iterable[str] = ()
) -> list[str]:
    """Return the files that exist and hold a credential of the job, a secret of the login, or a target's address.

    `more` are files of other secrets.
    """
    holders = [vault.auth, *notify, *_credentials(job)]
    return [str(Path(each).resolve()) for each in (*secret_files(*holders), *more) if Path(each).exists()]


def _credentials(job: Job) -> list[object]:
    """Return what names the places of the job's credentials: codex's, and its delivery's."""
    of_delivery = None if job.delivery is None else job.delivery.credential
    return [spec for spec in (job.credential, of_delivery) if spec is not None]
