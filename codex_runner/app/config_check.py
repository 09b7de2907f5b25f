"""The check of a configuration file by itself: no environment, no secret, no network, no codex."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from codex_runner.app.job_checks import reply_schema
from codex_runner.config import PromptSource, load, resolve_job, variables_of
from codex_runner.config.resolve import NO_PROMPT
from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.host import Host

if TYPE_CHECKING:
    from pathlib import Path

    from codex_runner.config import Config, JobSettings

_ANY_PROMPT = PromptSource(text="given with --prompt")


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file, the names of its jobs, and what is wrong with it. The jobs are not known if the file cannot be loaded."""

    file: Path
    jobs: tuple[str, ...]
    problems: tuple[ConfigurationError, ...]
    warnings: tuple[str, ...] = ()


def check_file(file: Path, start: Path) -> CheckedFile:
    """Check a configuration and the files that it names. `file` is relative to `start`, which is absolute.

    Each `--var` counts as given. A `cwd` outside of the configuration's folder is not looked at: it is a folder of the
    machine that runs the job.
    """
    try:
        config = load(file, start, {})
    except ConfigurationError as error:
        return CheckedFile(file, (), (error,))
    problems = (_problem_of(config, job) for job in config.jobs.values())
    found = tuple(problem for problem in problems if problem is not None)
    return CheckedFile(file, tuple(config.jobs), found, config.warnings)


def _problem_of(config: Config, settings: JobSettings) -> ConfigurationError | None:
    """Return what a run of the job would be refused for, in one error. Returns None if that is nothing."""
    name = settings.name
    if Host(settings.host).is_here and settings.workspace is None and settings.cwd.startswith(("/", "~")):
        config = replace(config, jobs=MappingProxyType({name: replace(settings, cwd="")}))
    try:
        has_prompt = bool(settings.prompt or settings.prompt_file)
        variables = dict.fromkeys(variables_of(config, name), "x") if has_prompt else {}
        prompt = NO_PROMPT if has_prompt else _ANY_PROMPT
        job = resolve_job(config, name, prompt=prompt, variables=variables)
        reply_schema(job, {})
    except ConfigurationError as error:
        return error
    return None
