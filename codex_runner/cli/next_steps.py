"""What a person has to do once a pipeline's files are written: where its credential comes from, and what starts it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from codex_runner.domain.credential import CredentialSource

if TYPE_CHECKING:
    from codex_runner.config.settings import Config, JobSettings

_NAMES = {"github": "GitHub", "gitlab": "GitLab", "jenkins": "Jenkins", "cron": "cron", "systemd": "systemd"}
_BY_IDENTITY = ("github", "gitlab")
FOR_A_START = 'credential = { kind = "api_key", source = "env" }'


def credential_steps(system: str, config: Config, job: JobSettings, repository: str) -> tuple[str, ...]:
    """Say how `system` hands over what the job's credential needs. `repository` is `<owner>/<repo>`, or empty."""
    spec = job.credential
    if spec is None:
        told = f"Say under [jobs.{job.name}] where it comes from: Vault (docs/vault.md) or, for a start, {FOR_A_START}."
        return (f"The job has no `credential` yet. {told} Then write these files again, with --force.",)
    if spec.source is CredentialSource.VAULT:
        return _from_vault(system, config, job, repository)
    if spec.source is CredentialSource.ENV:
        return (_from_variable(system, spec.variable or spec.environment_variable),)
    return (f"The credential is read from {spec.file}: see to it that it is there, of mode 0600.",)


def _from_variable(system: str, variable: str) -> str:
    return {
        "github": f"Store the secret: gh secret set {variable}",
        "gitlab": f"Store {variable}, masked and protected: Settings > CI/CD > Variables.",
        "jenkins": "Store it as a credential of the kind 'secret text' with the id codex-runner-key.",
        "cron": f'cron hands over no {variable}. Keep it in a file of mode 0600, and say `source = "file"`.',
        "systemd": f"Write the line {variable}=... into /etc/codex-runner/environment, mode 0600.",
    }[system]


def _from_vault(system: str, config: Config, job: JobSettings, repository: str) -> tuple[str, ...]:
    spec, auth = job.credential, config.vault.auth
    workflow = (spec.workflow or spec.path) if spec else ""
    steps = [f"Make the Vault role, if there is none: {_setup(system, workflow, repository)}"]
    method, what = ("jwt", "an identity") if system in _BY_IDENTITY else ("approle", "no identity")
    if auth.method != method:
        login = f'auth = {{ method = "{method}", role = "..." }}'
        again = " Then write these files again, with --force." if system == "systemd" else ""
        steps.append(
            f"{_NAMES[system]} gives its jobs {what}: log in with `{login}`, as that command prints it.{again}"
        )
    if config.vault.address is None:
        steps.append("Say where Vault is: `address` under [vault], or VAULT_ADDR in the pipeline.")
    steps.append(
        f"Store the token, if there is none: codex-runner token put {shlex.quote(workflow)} --owner YOU --expires 30d"
    )
    secret_id = {
        "jenkins": "Store codex-runner-role-id and codex-runner-secret-id, both of the kind 'secret text'.",
        "cron": "Keep AppRole's secret id in a file of mode 0600, and name it in `vault.auth.secret_id_file`.",
        "systemd": "Write AppRole's secret id into /etc/codex-runner/vault-secret-id, mode 0600.",
    }
    return (*steps, *([secret_id[system]] if system in secret_id else []))


def _setup(system: str, workflow: str, repository: str) -> str:
    """Return the command that makes the job's Vault role, with what is known of it."""
    parts = workflow.split("/")
    project = shlex.quote(repository or ("/".join(parts[:-1]) if len(parts) > 2 else "OWNER/NAME"))
    login = {"github": f"--repo {project}", "gitlab": f"--gitlab-project {project}"}.get(system, "--approle ADDRESSES")
    return f"codex-runner vault setup --workflow {shlex.quote(workflow)} {login}"
