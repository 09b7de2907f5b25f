"""What a CI system, cron or systemd needs to run a job: the files, filled in, and what a person has to do next."""

from __future__ import annotations

import json
import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import astuple, dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from codex_runner import __version__
from codex_runner.cli.next_steps import credential_steps
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.surroundings import for_git

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from codex_runner.config.settings import Config, JobSettings

ACTION = "OWNER/codex-runner/ci/github@v1"
MOVABLE = (".gitlab-ci.yml", "Jenkinsfile")  # what a repository may have its own of
_MARGIN = 10  # minutes that the system gives the runner beyond the agent's own timeout
_PLAIN = re.compile(r"[\w@%+=:,./$-]+", re.ASCII)


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


@dataclass(frozen=True, slots=True)
class Request:
    """Which job is to run where. `root` is the folder that the files' paths begin at.

    `repository` is `<owner>/<repo>`, or empty; `action` is where GitHub finds the action. Of `MOVABLE`, what is `taken`
    is left to its owner, and done in another way.
    """

    config: Config
    job: JobSettings
    root: Path
    place: Place
    action: str = ACTION
    repository: str = ""
    taken: Container[str] = ()

    @property
    def config_file(self) -> str:
        """The configuration's path from `root`."""
        return os.path.relpath(self.config.path, self.root)

    def fill(self, name: str, **more: str) -> str:
        """Fill a starter in. A line that begins with `?vault `, `?env ` or `?file ` is for that source of a credential.

        What more there is to fill in, or in another way, is `more`.
        """
        spec = self.job.credential
        source = "none" if spec is None else str(spec.source)
        values = {
            "ACTION": self.action,
            "JOB": self.job.name,
            "MINUTES": str(int(-(-self.job.limits.timeout // 60)) + _MARGIN),
            "USER": self.place.user,
            "VARIABLE": (spec.variable or spec.environment_variable) if spec else "",
            "VERSION": __version__,
            **more,
        }
        lines = []
        for line in _starter(name).splitlines():
            kind, mark, rest = line.partition(" ") if line.startswith("?") else ("", "", line)
            if not mark or kind == f"?{source}" or (kind == "?file" and source == "none"):
                lines.append(re.sub(r"@([A-Z_]+)@", lambda match: values[match[1]], rest).rstrip())
        return "\n".join(lines) + "\n"


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
        user=environ.get("USER") or environ.get("LOGNAME") or _login_name(),
    )


def _login_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a number without a name
        return "codex-runner"


def top_of(folder: Path) -> Path:
    """Return the top of the repository that a folder is in; the folder itself if it is in none, or there is no git."""
    if shutil.which("git") is None:
        return folder
    asked = subprocess.run(
        ["git", "-C", folder, "rev-parse", "--show-toplevel"],  # noqa: S607 - the user's git
        env=for_git(os.environ),
        capture_output=True,
        check=False,
    )
    return Path(os.fsdecode(asked.stdout.removesuffix(b"\n"))) if asked.returncode == 0 else folder


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


def plan(system: System, request: Request) -> Plan:
    """Say what to write for this system, and what to do then."""
    of_system = {
        System.GITHUB: _github,
        System.GITLAB: _gitlab,
        System.JENKINS: _jenkins,
        System.CRON: _cron,
        System.SYSTEMD: _systemd,
    }
    _require_one_line(system, request)
    made = of_system[system](request)
    told = credential_steps(system, request.config, request.job, request.repository)
    return Plan(made.files, (*told, *made.next_steps))


def _require_one_line(system: System, request: Request) -> None:
    """Refuse names that would break a line of these files in two: cron and systemd obey what stands in a line."""
    named = [request.config_file, request.action]
    if system in {System.CRON, System.SYSTEMD}:
        named += astuple(request.place)
    for name in named:
        if not name.isprintable():
            raise ConfigurationError(
                f"{name!r} cannot stand in a file for {system}: it has a line break or another control character.",
                remedy="Rename it.",
            )


def _github(request: Request) -> Plan:
    name, file = request.job.name, f".github/workflows/{request.job.name}.yml"  # where `vault setup` expects it
    steps: tuple[str, ...] = (
        f"{_commit(file, request.config_file)}, to the default branch.",
        f'Start it: Actions > "codex: {name}" > Run workflow.',
    )
    if "OWNER" in request.action:
        owner = "Replace OWNER by the account that has codex-runner's repository, and v1 by a commit's full SHA."
        steps = (owner, *steps)
    return Plan({file: request.fill("github.yml", CONFIG=_for_yaml(request.config_file))}, steps)


def _gitlab(request: Request) -> Plan:
    pipeline = request.fill("gitlab-ci.yml", CONFIG=_for_yaml(request.config_file))
    files = {".gitlab/codex-runner.yml": request.fill("codex-runner.yml"), **_locks()}
    steps = (
        f"{_commit('.gitlab-ci.yml', '.gitlab', '.codex-runner', request.config_file)}.",
        "Start it: Build > Pipelines > New pipeline; for every night, Build > Pipeline schedules.",
    )
    if ".gitlab-ci.yml" not in request.taken:
        return Plan({".gitlab-ci.yml": pipeline, **files}, steps)
    include, *_ = pipeline.partition("\n\n")
    return Plan(files, (f"Add to the .gitlab-ci.yml that is there:\n\n{include}\n", *steps))


def _jenkins(request: Request) -> Plan:
    file = f"{request.job.name}.Jenkinsfile" if "Jenkinsfile" in request.taken else "Jenkinsfile"
    config = _for_groovy(shlex.quote(request.config_file))
    steps = (
        f"{_commit(file, '.codex-runner', request.config_file)}.",
        "See to it that Jenkins has the plugins Pipeline, JUnit and Credentials Binding.",
        f"Make the job: New Item > Pipeline > Pipeline script from SCM, Script Path {file}.",
        "Build Now: from the first build on, it starts by itself every night.",
    )
    return Plan({file: request.fill("Jenkinsfile", CONFIG=config), **_locks()}, steps)


def _cron(request: Request) -> Plan:
    file, place = f"codex-{request.job.name}.crontab", request.place
    words = {"FOLDER": place.folder, "CONFIG": request.config_file, "STATE": place.state}
    text = request.fill("crontab", PATH=place.path, **{key: _for_cron(word) for key, word in words.items()})
    install = f"mkdir -p {shlex.quote(place.state)}; (crontab -l 2>/dev/null; cat {file}) | crontab -"
    return Plan({file: text}, (f"Install it: {install}",))


def _systemd(request: Request) -> Plan:
    unit, place, spec = f"codex-runner-{request.job.name}", request.place, request.job.credential
    approle = spec is not None and spec.source == "vault" and request.config.vault.auth.method == "approle"
    service = request.fill(
        "codex-runner.service",
        CONFIG=_for_systemd(request.config_file, command=True),
        FOLDER=place.folder.replace("%", "%%"),
        PATH=_for_systemd(f"PATH={place.path}"),
        RUNNER=_for_systemd(place.runner, command=True),
        SECRET_ID='--set "vault.auth.secret_id_file=${CREDENTIALS_DIRECTORY}/vault-secret-id"' if approle else "",
        WRITABLE=_for_systemd(place.folder),
    )
    steps = (
        f"The service runs as {place.user}, who must be able to write {place.folder}.",
        f"sudo install -m 644 {unit}.service {unit}.timer /etc/systemd/system/ && sudo systemctl daemon-reload",
        f"sudo systemctl start {unit}.service; journalctl -u {unit}.service    # try it now",
        f"sudo systemctl enable --now {unit}.timer",
    )
    return Plan({f"{unit}.service": service, f"{unit}.timer": request.fill("codex-runner.timer")}, steps)


def _commit(*files: str) -> str:
    return f"git add {' '.join(map(shlex.quote, files))}; commit and push"


def _locks() -> dict[str, str]:
    """Return what a pipeline installs beside codex-runner, by hash."""
    return {f".codex-runner/{name}": _starter(name) for name in ("requirements.txt", "codex.txt")}


def _starter(name: str) -> str:
    return (resources.files("codex_runner.cli") / "starters" / name).read_text(encoding="utf-8")


def _for_yaml(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _for_groovy(value: str) -> str:
    """Keep a text between three quotes of Groovy's as it is; a word of the shell holds no three in a row."""
    return value.replace("\\", "\\\\")


def _for_cron(value: str) -> str:
    """Quote for the shell, and for cron, which takes a bare `%` for the end of the command."""
    return shlex.quote(value).replace("%", r"\%")


def _for_systemd(value: str, *, command: bool = False) -> str:
    """Write one word of a unit's line. In a command line `$` begins a variable; everywhere `%` begins a specifier."""
    value = value.replace("%", "%%")
    if command:
        value = value.replace("$", "$$")
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
