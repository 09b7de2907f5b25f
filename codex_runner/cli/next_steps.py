"""What a person does once a pipeline's files are written: provide the credential, and start the pipeline."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from codex_runner.ci_systems.starter import has_no_owner
from codex_runner.domain.credential import CredentialSource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.ci_systems import CiSystem
    from codex_runner.config.settings import Config, JobSettings

FOR_A_START = 'credential = { kind = "api_key", source = "env" }'


def credential_steps(system: CiSystem, config: Config, job: JobSettings, repository: str) -> tuple[str, ...]:
    """Return the steps by which `system` provides the job's credential. `repository` is `<owner>/<repo>`, or empty."""
    spec = job.credential
    if spec is None:
        told = f"Set one under [jobs.{job.name}]: from Vault (docs/vault.md) or, for a start, {FOR_A_START}."
        return (f"The job has no `credential` yet. {told} Then write these files again, with --force.",)
    if spec.source is CredentialSource.VAULT:
        return _from_vault(system, config, job, repository)
    if spec.source is CredentialSource.ENV:
        return (system.variable_step(spec.variable or spec.environment_variable),)
    return (f"The credential is read from {spec.file}: make sure that the file exists, with mode 0600.",)


def delivery_steps(system: CiSystem, job: JobSettings) -> tuple[str, ...]:
    """Return the steps by which `system` provides the token of the job's delivery. None if there is no such token."""
    spec = job.delivery.credential if job.delivery else None
    if spec is None:
        return ()
    if spec.source is CredentialSource.ENV:
        step = system.delivery_step(spec.variable or "")
    elif spec.source is CredentialSource.FILE:
        step = f"The delivery's token is read from {spec.file}: make sure that the file exists, with mode 0600."
    else:
        step = f"Store the delivery's token at {spec.mount}/{spec.path}, and let the job's Vault role read it."
    return (f"{step.rstrip('.')}. docs/delivery.md has the permissions that it needs.",)


def release_steps(action: str, files: Mapping[str, str], version: str) -> tuple[str, ...]:
    """Return the step without which files would install a version that is not released. None after the first release.

    The name on PyPI is free until then: pip would run what a stranger uploads there, with the pipeline's secrets.
    """
    package = f"codex-runner=={version}"
    named = [file for file, text in files.items() if package in text]
    if not named or not has_no_owner(action):
        return ()
    place, _, _ = action.partition("@")
    why = "There is no release yet, and anyone may take its name on PyPI"
    address = f"git+https://github.com/{place}@COMMIT"
    return (f"{why}: in {' and '.join(named)}, put the address of a commit, {address}, in place of {package}.",)


def _from_vault(system: CiSystem, config: Config, job: JobSettings, repository: str) -> tuple[str, ...]:
    spec, auth = job.credential, config.vault.auth
    workflow = (spec.workflow or spec.path) if spec else ""
    steps = [f"Make the Vault role, if there is none: {_setup(system, workflow, repository)}"]
    method = system.login_method
    what = "an identity" if method == "jwt" else "no identity"
    if auth.method != method:
        login = f'auth = {{ method = "{method}", role = "..." }}'
        again = " Then write these files again, with --force." if system.starter_has_login else ""
        steps.append(f"{system.title} gives its jobs {what}: log in with `{login}`, as that command prints it.{again}")
    if config.vault.address is None:
        steps.append("Set Vault's address: `address` under [vault], or VAULT_ADDR in the pipeline.")
    steps.append(
        f"Store the token, if there is none: codex-runner token put {shlex.quote(workflow)} --owner YOU --expires 30d"
    )
    return (*steps, *([system.secret_id_step] if system.secret_id_step else []))


def _setup(system: CiSystem, workflow: str, repository: str) -> str:
    """Return the command that makes the job's Vault role, as far as its values are known."""
    parts = workflow.split("/")
    project = shlex.quote(repository or ("/".join(parts[:-1]) if len(parts) > 2 else "OWNER/NAME"))
    return f"codex-runner vault setup --workflow {shlex.quote(workflow)} {system.setup_login(project)}"
