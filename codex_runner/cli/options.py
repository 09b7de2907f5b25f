"""Options that several commands share, and the values they stand for."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codex_runner.app.folders import clear_place
from codex_runner.app.showing import run_sinks
from codex_runner.cli.completion import host_names, run_ids
from codex_runner.cli.speech import tell
from codex_runner.config import load
from codex_runner.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from codex_runner.config import Config
    from codex_runner.domain.job import Job
    from codex_runner.domain.ports import Sink
    from codex_runner.domain.secret import Secret


class LogFormat(StrEnum):
    """How progress is written to stderr."""

    AUTO = "auto"
    TEXT = "text"
    AZURE = "azure"
    GITHUB = "github"
    GITLAB = "gitlab"
    JSON = "json"


RunArgument = Annotated[
    str,
    typer.Argument(
        help="The run's id or its beginning, if no other has it; or `last` for the newest run.", autocompletion=run_ids
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="The configuration file. Default: codex-runner.toml here or above.", show_default=False
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output-dir", "-o", help="The folder of all runs. Default: the configuration's.", show_default=False
    ),
]
HostOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The run's host, if another machine began it: `local`, or an alias.",
        show_default=False,
        autocompletion=host_names,
    ),
]
JunitOption = Annotated[
    Path | None, typer.Option("--junit", help="Write a copy of junit.xml here.", show_default=False)
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a key, such as jobs.docs.timeout=10m.", show_default=False
    ),
]
LogFormatOption = Annotated[LogFormat, typer.Option("--log-format", help="The format of progress on stderr.")]


def sinks(log_format: LogFormat, secrets: Iterable[Secret], job: Job | None = None) -> list[Sink]:
    """Choose the sinks for this terminal or CI system, and for the checks of the `job`."""
    return run_sinks(log_format.value, sys.stderr, os.environ, secrets, job)


def clear_junit(path: Path | None) -> None:
    """Remove junit.xml. Raises an error if it cannot be written there, before anything is spent."""
    if path is not None:
        clear_place(path, "--junit")


def warn(sentence: str) -> None:
    """Print a warning on stderr. It does not change the exit code."""
    tell(f"warning: {sentence}")


def configuration(config: Path | None, settings: Sequence[str] = ()) -> Config:
    """Load the configuration for a command, and print its warnings."""
    loaded = load(config, Path.cwd(), os.environ, settings)
    for warning in loaded.warnings:
        warn(warning)
    return loaded


def output_dir(given: Path | None, config: Path | None) -> Path:
    """Return the output folder: `output` if given, else the configuration's."""
    if given is not None:
        return given.absolute()

    return configuration(config).output_dir


def runs_config(config: Path | None, output: Path | None) -> tuple[Config | None, Path]:
    """Return the configuration and the output folder. No configuration is needed if `output` is given."""
    try:
        loaded = configuration(config)
    except ConfigurationError:
        if output is None or config is not None:
            raise
        return None, output.absolute()
    return loaded, loaded.output_dir if output is None else output.absolute()
