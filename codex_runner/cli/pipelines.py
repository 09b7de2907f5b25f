"""What a CI system, cron or systemd needs to run a job: the templates, filled in, and the steps for a person.

Its module in `ci_systems` knows which files a system needs, and what they must say.
"""

from __future__ import annotations

import json
import os
import pwd
import shlex
import shutil
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

from codex_runner import __version__
from codex_runner.ci_systems import SYSTEMS, CiSystem
from codex_runner.ci_systems.starter import Machine, Starter, StarterRequest
from codex_runner.cli.next_steps import credential_steps, delivery_steps, release_steps
from codex_runner.cli.recipes import INPUT_FOLDER
from codex_runner.cli.templates import filled, template
from codex_runner.dataclass import dataclass
from codex_runner.domain.credential import CredentialSource
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.secret_names import GITHUB_TOKENS
from codex_runner.domain.surroundings import for_git

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from codex_runner.cli.recipes import Recipe
    from codex_runner.config.settings import Config, JobSettings

ACTION = "OWNER/codex-runner@v0"
_MARGIN = 10  # minutes that the system gives the runner beyond the agent's own timeout
_FOR_INPUT = 30  # minutes for the script that writes the input

STARTERS: Mapping[str, CiSystem] = {system.name: system for system in SYSTEMS if system.has_starter}
"""The systems that a job can be set up for, by name."""


@dataclass(frozen=True, slots=True)
class WantedStarter:
    """The job to set up on a system. `root` is the folder that the files' paths begin at.

    `repository` is `<owner>/<repo>`, or empty; `action` is the action's place on GitHub. Files that the system has as
    `movable` and that are `taken` are not overwritten: the job is set up in another file. `recipe` is the one that the
    job was written from, if any: it says when the job runs, and if it has an input.
    """

    config: Config
    job: JobSettings
    root: Path
    place: Machine
    action: str = ACTION
    repository: str = ""
    taken: Container[str] = ()
    recipe: Recipe | None = None

    @property
    def config_file(self) -> str:
        """The configuration's path from `root`."""
        return os.path.relpath(self.config.path, self.root)

    @property
    def source(self) -> str:
        """The source of the job's credential; `none` if it has none."""
        return "none" if self.job.credential is None else str(self.job.credential.source)

    @property
    def input_script(self) -> str:
        """The path from `root` of the script that writes the job's input; empty if there is none."""
        return self._below(self.recipe.input_script(self.job.name)) if self.recipe else ""

    @property
    def context(self) -> str:
        """The path from `root` of the job's input; empty if there is none."""
        return self._below(self.recipe.context(self.job.name)) if self.recipe else ""

    @property
    def committed(self) -> tuple[str, ...]:
        """The paths from `root` of what a pipeline needs in the repository: the configuration, a recipe's files."""
        return (self.config_file, self._below("prompts")) if self.recipe else (self.config_file,)

    @property
    def when(self) -> str:
        """How often the job runs, in words."""
        return "every Monday" if self.recipe and self.recipe.weekly else "every night"

    def _below(self, path: str) -> str:
        return os.path.relpath(self.config.path.parent / path, self.root) if path else ""

    def fill(self, name: str, more: Mapping[str, str]) -> str:
        """Fill in a template. A line that begins with `?vault `, `?env ` or `?file ` is for that source of credentials.

        `?delivery ` is for a delivery whose token is in a variable, and `?variables ` for that and for `?env `.
        `?writes ` is for a delivery by the pipeline's own token, and `?reads ` for all others. `?nightly ` and
        `?weekly ` say when, `?input ` is for a job with an input, and `?issues ` for one that is an issue. `more` adds
        values, or replaces the job's own.
        """
        spec, kinds = self.job.credential, self._kinds()
        variable = (spec.variable or spec.environment_variable) if spec else ""
        minutes = int(-(-self.job.limits.timeout // 60)) + _MARGIN
        values = {
            "ACTION": self.action,
            "ALL_MINUTES": str(minutes + (_FOR_INPUT if self.context else 0)),
            "CONTEXT": shlex.quote(self.context),
            "CONTEXT_LINE": self.context,
            "CONTEXT_PATH": json.dumps(self.context, ensure_ascii=False),
            "INPUT_FOLDER": json.dumps(self._below(INPUT_FOLDER), ensure_ascii=False),
            "INPUT_SCRIPT": shlex.quote(self.input_script),
            "JOB": self.job.name,
            "MINUTES": str(minutes),
            "UNSET": "".join(f"-u {name} " for name in (variable, self.delivery_variable) if name),
            "USER": self.place.user,
            "DELIVERY_SECRET": GITHUB_TOKENS[0] if "writes" in kinds else self.delivery_variable,
            "DELIVERY_VARIABLE": self.delivery_variable,
            "VARIABLE": variable,
            "VERSION": __version__,
            "WHEN": self.when,
            **more,
        }
        return filled(name, kinds, values)

    @property
    def delivery_variable(self) -> str:
        """The variable with the token of the job's delivery; empty if there is none."""
        credential = self.job.delivery.credential if self.job.delivery else None
        return (credential and credential.source is CredentialSource.ENV and credential.variable) or ""

    def _kinds(self) -> set[str]:
        """Return the kinds of lines that a template keeps."""
        kinds = {"file" if self.source == "none" else self.source}
        kinds.add("writes" if self.delivery_variable in GITHUB_TOKENS else "reads")
        if self.delivery_variable:
            kinds.add("delivery")
        if kinds & {"env", "delivery"}:
            kinds.add("variables")
        kinds.add("weekly" if self.recipe and self.recipe.weekly else "nightly")
        if self.context:
            kinds.add("input")
        if self.recipe and self.recipe.reads_issues:
            kinds.add("issues")
        return kinds


def this_machine(root: Path, environ: Mapping[str, str]) -> Machine:
    """Describe this machine and the running codex-runner."""
    home = Path(environ.get("HOME") or "/")
    runner = shutil.which("codex-runner") or str(Path(sys.executable).with_name("codex-runner"))
    folders = [str(Path(runner).parent)]
    if codex := shutil.which("codex"):
        folders.append(str(Path(codex).parent))
    folders += ["/usr/local/bin", "/usr/bin", "/bin"]
    state = environ.get("XDG_STATE_HOME") or str(home / ".local" / "state")
    return Machine(
        folder=str(root),
        runner=runner,
        path=":".join(dict.fromkeys(folders)),
        state=f"{state}/codex-runner",
        user=environ.get("USER") or environ.get("LOGNAME") or _login_name(),
    )


def _login_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run under a number without a name
        return "codex-runner"


def top_of(folder: Path) -> Path:
    """Return the top of the folder's repository. Returns the folder if it is in none, or git is not installed."""
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
    """Return the job `wanted`, or the only one. Raises ConfigurationError if there is no such job, or several."""
    if wanted is None and len(config.jobs) == 1:
        return next(iter(config.jobs.values()))
    if wanted is not None and wanted in config.jobs:
        return config.jobs[wanted]
    told = f"has no job {wanted!r}" if wanted else "has several jobs" if config.jobs else "has no job"
    raise ConfigurationError(
        f"{config.path} {told}.",
        remedy=f"Name one with --job: {', '.join(config.jobs)}." if config.jobs else "Add a [jobs.NAME] table.",
    )


def plan(system: CiSystem, request: WantedStarter) -> Starter:
    """Return the files for this system, and the steps for a person."""
    _require_one_line(system, request)
    made = system.starter(
        StarterRequest(
            job=request.job.name,
            config_file=request.config_file,
            source=request.source,
            auth_method=request.config.vault.auth.method,
            place=request.place,
            action=request.action,
            taken=request.taken,
            committed=request.committed,
            input_script=request.input_script,
            context=request.context,
            when=request.when,
            locks=_locks(),
            fill=request.fill,
        )
    )
    told = credential_steps(system, request.config, request.job, request.repository)
    told += delivery_steps(system, request.job) + release_steps(request.action, made.files, __version__)
    return Starter(made.files, (*told, *made.next_steps))


def _require_one_line(system: CiSystem, request: WantedStarter) -> None:
    """Refuse names that would break a line of these files in two: cron and systemd obey each line."""
    named = [*request.committed, request.action]
    if system.on_this_machine:
        named += astuple(request.place)
    for name in named:
        if not name.isprintable():
            raise ConfigurationError(
                f"{name!r} cannot be used in a file for {system.name}: it has a line break or a control character.",
                remedy="Rename it.",
            )


def _locks() -> dict[str, str]:
    """Return the lock files by which a pipeline installs codex-runner, with hashes."""
    return {f".codex-runner/{name}": template(name) for name in ("requirements.txt", "codex.txt")}
