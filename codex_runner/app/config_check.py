"""The check of a configuration file by itself: no environment, no secret, no network, no codex."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from codex_runner.app.job_checks import reply_schema
from codex_runner.config import PromptSource, resolve_job, variables_of
from codex_runner.config.examine import examine, position
from codex_runner.config.problems import Problem, WrongKeysError, dotted
from codex_runner.config.resolve import NO_PROMPT
from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.host import Host
from codex_runner.domain.job import Sandbox
from codex_runner.domain.policy import Budget

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from codex_runner.config import Config, JobSettings
    from codex_runner.config.examine import Examined

_ANY_PROMPT: Final = PromptSource(text="given with --prompt")
# The keys that a complete job may be refused for, and values with which it is not.
_HARMLESS: Final[dict[str, Any]] = {
    "cwd": "",
    "prompt_file": None,
    "prompt": "",
    "output_schema": None,
    "delivery": None,
    "budget": Budget(),
    "sandbox": Sandbox.READ_ONLY,
}
# Those that no other key bears upon.
_ALONE: Final = {"prompt", "prompt_file", "output_schema"}


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake of a file. `key` is written as in TOML, "" if the file as a whole is wrong; line and column from 1."""

    line: int
    column: int
    key: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file, the names of its jobs, and what is wrong with it. The jobs are not known if the file cannot be read."""

    file: Path
    jobs: tuple[str, ...]
    problems: tuple[Mistake, ...]
    warnings: tuple[str, ...] = ()


def check_file(file: Path, start: Path) -> CheckedFile:
    """Check a configuration and the files that it names. `file` is relative to `start`, which is absolute.

    Each `--var` counts as given. A `cwd` outside of the configuration's folder is not looked at: it is a folder of the
    machine that runs the job. The mistakes are in the order of the file.
    """
    try:
        examined = examine(start / file, start)
    except ConfigurationError as error:
        message = error.message.removeprefix(f"{start / file}: ")
        return CheckedFile(file, (), (Mistake(1, 1, "", message, error.remedy),))
    found = [(problem, ConfigurationError.default_remedy) for problem in examined.problems]
    config = examined.config
    for job in config.jobs.values() if config else ():
        found += _of_job(examined, config, job) if config else ()
    mistakes = [
        Mistake(*position(problem, examined.text), dotted(problem.path), problem.told, remedy)
        for problem, remedy in found
    ]
    mistakes.sort(key=lambda each: (each.line, each.column))
    return CheckedFile(file, tuple(config.jobs) if config else (), tuple(mistakes), examined.warnings)


def _of_job(examined: Examined, config: Config, settings: JobSettings) -> Iterator[tuple[Problem, str]]:
    """Yield what a run of the job would be refused for, each with its remedy."""
    if Host(settings.host).is_here and settings.workspace is None and settings.cwd.startswith(("/", "~")):
        settings = replace(settings, cwd="")
    whole, told = examined.is_whole(settings.name), set[str]()
    while (error := _refusal(config, settings)) is not None:
        known = error.problems if isinstance(error, WrongKeysError) else ()
        keys = {str(each.path[2]) for each in known if len(each.path) > 2} & _HARMLESS.keys()
        for each in known or [Problem("", ("jobs", settings.name), error.message)]:
            if whole or str(each.path[-1]) in _ALONE:
                yield each, error.remedy
        if not keys - told:
            return
        # What is refused first hides the rest: the prompt of a job without a sandbox, a schema that is none.
        told |= keys
        settings = replace(settings, **{key: _HARMLESS[key] for key in keys})


def _refusal(config: Config, settings: JobSettings) -> ConfigurationError | None:
    name = settings.name
    config = replace(config, jobs=MappingProxyType({name: settings}))
    has_prompt = bool(settings.prompt or settings.prompt_file)
    try:
        variables = dict.fromkeys(variables_of(config, name), "x") if has_prompt else {}
    except ConfigurationError:
        variables = {}  # the prompt cannot be read, which is told below
    try:
        job = resolve_job(config, name, prompt=NO_PROMPT if has_prompt else _ANY_PROMPT, variables=variables)
    except ConfigurationError as error:
        return error
    try:
        reply_schema(job, {})
    except ConfigurationError as error:
        key = ("jobs", name, "output_schema")
        said = error.message.removeprefix(f"{dotted(key)}: ")
        return WrongKeysError([Problem("", key, said)], remedy=error.remedy)
    return None
