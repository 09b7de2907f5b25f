"""What a CI system, cron or systemd needs to run a job: the files, filled in, and what a person has to do next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from codex_runner import __version__
from codex_runner.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.config.settings import Config, JobSettings

ACTION = "OWNER/codex-runner/ci/github@v1"
_MARGIN = 10  # minutes that the system gives the runner beyond the agent's own timeout


class System(StrEnum):
    """Where a job is to run."""

    GITHUB = "github"
    GITLAB = "gitlab"
    JENKINS = "jenkins"
    CRON = "cron"
    SYSTEMD = "systemd"


@dataclass(frozen=True, slots=True)
class Plan:
    """Files to write, by their path below `root`, and what to tell the person."""

    files: Mapping[str, str]
    next_steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """The machine that cron and systemd run on: paths are absolute."""

    folder: str
    runner: str
    path: str
    state: str
    user: str


def this_machine(root: Path, environ: Mapping[str, str]) -> Place:
    """Describe this machine, with the codex-runner that runs now."""
    home = Path(environ.get("HOME") or "/")
    runner = shutil.which("codex-runner") or str(Path(sys.executable).with_name("codex-runner"))
    folders = [str(Path(runner).parent)]
    if codex := shutil.which("codex"):
        folders.append(str(Path(codex).parent))
    folders += ["/usr/local/bin", "/usr/bin", "/bin"]
    state = environ.get("XDG_STATE_HOME") or str(home / ".local" / "state")
    return Place(
        folder=str(root),
        runner=runner,
        path=":".join(dict.fromkeys(folders)),
        state=f"{state}/codex-runner",
        user=environ.get("USER") or environ.get("LOGNAME") or "codex-runner",
    )


def choose_job(config: Config, wanted: str | None) -> JobSettings:
    """Return the job that is named, or the only one. ConfigurationError where it is not clear which."""
    if wanted is None and len(config.jobs) == 1:
        return next(iter(config.jobs.values()))
    if wanted is not None and wanted in config.jobs:
        return config.jobs[wanted]
    told = f"has no job {wanted!r}" if wanted else "has several jobs" if config.jobs else "has no job"
    raise ConfigurationError(
        f"{config.path} {told}.",
        remedy=f"Say which with --job: {', '.join(config.jobs)}." if config.jobs else "Add one.",
    )


def plan(system: System, config: Config, job: JobSettings, root: Path, place: Place, action: str = ACTION) -> Plan:
    """Say what to write below `root`, the repository, and what to do then."""
    name, credential = job.name, job.credential
    relative = os.path.relpath(config.path, root)
    source = "none" if credential is None else str(credential.source)
    variable = (credential.variable or credential.environment_variable) if credential else ""
    approle = source == "vault" and config.vault.auth.method == "approle"
    values = {
        "ACTION": action,
        "CONFIG": relative,
        "FOLDER": place.folder,
        "JOB": name,
        "MINUTES": str(int(-(-job.limits.timeout // 60)) + _MARGIN),
        "PATH": place.path,
        "RUNNER": place.runner,
        "SECRET_ID": '--set "vault.auth.secret_id_file=${CREDENTIALS_DIRECTORY}/vault-secret-id"' if approle else "",
        "STATE": place.state,
        "USER": place.user,
        "VARIABLE": variable,
        "VERSION": __version__,
    }
    if "/" in relative or " " in relative:
        values["CONFIG"] = shlex.quote(relative)
    told = _about_the_credential(system, source, variable, _setup(system, job), approle=approle)
    match system:
        case System.GITHUB:
            workflow = f".github/workflows/{name}.yml"  # where `vault setup` expects it
            owner = ("Replace OWNER by the account that has codex-runner's repository, and v1 by a commit's full SHA.",)
            return Plan(
                {workflow: _fill("github.yml", values, source)},
                (*(owner if "OWNER" in action else ()), *told, f"git add {workflow}; commit and push it."),
            )
        case System.GITLAB:
            files = {
                ".gitlab/codex-runner.yml": _starter("codex-runner.yml"),
                ".gitlab-ci.yml": _fill("gitlab-ci.yml", values, source),
            }
            return Plan(files, (*told, "Commit and push; then make a schedule: Build > Pipeline schedules."))
        case System.JENKINS:
            return Plan(
                {"Jenkinsfile": _fill("Jenkinsfile", values, source)},
                (
                    *told,
                    "Commit and push; then make a Pipeline from SCM (plugins: junit, credentials-binding).",
                ),
            )
        case System.CRON:
            file = f"codex-{name}.crontab"
            values |= {key: _for_cron(values[key]) for key in ("FOLDER", "CONFIG", "STATE", "JOB")}
            install = f"mkdir -p {shlex.quote(place.state)}; (crontab -l 2>/dev/null; cat {file}) | crontab -"
            return Plan({file: _fill("crontab", values, source)}, (*told, f"Install it: {install}"))
        case System.SYSTEMD:
            unit = f"codex-runner-{name}"
            values |= {key: values[key].replace("%", "%%") for key in ("FOLDER", "CONFIG", "PATH", "RUNNER")}
            files = {
                f"{unit}.service": _fill("codex-runner.service", values, source),
                f"{unit}.timer": _fill("codex-runner.timer", values, source),
            }
            steps = (
                f"The service runs as {place.user}, who must be able to write {place.folder}.",
                f"sudo install -m 644 {unit}.service {unit}.timer /etc/systemd/system/ && sudo systemctl daemon-reload",
                f"sudo systemctl start {unit}.service; journalctl -u {unit}.service    # try it now",
                f"sudo systemctl enable --now {unit}.timer",
            )
            return Plan(files, (*told, *steps))


def _setup(system: System, job: JobSettings) -> str:
    """Return the command that makes the job's Vault role, with what is known of it."""
    workflow = (job.credential.workflow or job.credential.path) if job.credential else ""
    parts = workflow.split("/")
    repository = "/".join(parts[:2]) if len(parts) == 3 else "OWNER/NAME"
    login = {
        System.GITHUB: f"--repo {shlex.quote(repository)}",
        System.GITLAB: f"--gitlab-project {shlex.quote(repository)}",
    }.get(system, "--approle ADDRESSES")
    return f"codex-runner vault setup --workflow {shlex.quote(workflow or 'OWNER/NAME/' + job.name)} {login}"


def _about_the_credential(system: System, source: str, variable: str, setup: str, *, approle: bool) -> tuple[str, ...]:
    """Say how this system hands over what the job's credential needs."""
    from_variable = {
        System.GITHUB: f"Store the secret: gh secret set {variable}",
        System.GITLAB: f"Store {variable}, masked and protected: Settings > CI/CD > Variables.",
        System.JENKINS: "Store it as a credential of the kind 'secret text' with the id codex-runner-key.",
        System.CRON: f'cron hands over no {variable}. Keep it in a file of mode 0600, and say `source = "file"`.',
        System.SYSTEMD: f"Write the line {variable}=... into /etc/codex-runner/environment, mode 0600.",
    }
    from_vault = {
        System.GITHUB: f"Make the Vault role, if there is none: {setup}",
        System.GITLAB: f"Make the Vault role, if there is none: {setup}",
        System.JENKINS: "Store codex-runner-role-id and codex-runner-secret-id, both of the kind 'secret text'.",
        System.CRON: "Keep AppRole's secret id in a file of mode 0600, and name it in `vault.auth.secret_id_file`.",
        System.SYSTEMD: "Write AppRole's secret id into /etc/codex-runner/vault-secret-id, mode 0600.",
    }
    machine = system in {System.JENKINS, System.CRON, System.SYSTEMD}
    match source:
        case "none":
            return ("The job has no `credential` yet. Vault is where it should lie: docs/vault.md.",)
        case "env":
            return (from_variable[system],)
        case "vault" if machine and not approle:
            return (
                f'{system} has no identity token: log in with `auth = {{ method = "approle", ... }}` (docs/vault.md).',
                from_vault[system],
            )
        case "vault":
            return (from_vault[system],)
        case _:
            return ()


def _starter(name: str) -> str:
    return (resources.files("codex_runner.cli") / "starters" / name).read_text(encoding="utf-8")


def _fill(name: str, values: Mapping[str, str], source: str) -> str:
    """Fill a starter in. A line that begins with `?vault `, `?env ` or `?file ` is for that source of a credential."""
    lines = []
    for line in _starter(name).splitlines():
        kind, mark, rest = line.partition(" ") if line.startswith("?") else ("", "", line)
        if not mark or kind == f"?{source}" or (kind == "?file" and source == "none"):
            lines.append(rest)
    text = "\n".join(lines)
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def _for_cron(value: str) -> str:
    """Quote for the shell, and for cron, which takes a bare `%` for the end of the command."""
    return shlex.quote(value).replace("%", r"\%")
