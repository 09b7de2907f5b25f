"""`codex-runner attach`: go on with a run whose runner has gone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codex_runner.cli.options import (
    ConfigOption,
    JunitOption,
    LogFormat,
    LogFormatOption,
    OutputOption,
    RunArgument,
    clear_junit,
    sinks,
    warn,
)
from codex_runner.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from codex_runner.config import Config


def attach(
    run: RunArgument,
    config: ConfigOption = None,
    output: OutputOption = None,
    junit: JunitOption = None,
    log_format: LogFormatOption = LogFormat.AUTO,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
) -> None:
    """Follow a run whose runner was killed, and end it as if nothing had happened.

    It goes on after the last complete record of events.jsonl. What was judged already is not judged again.
    """
    from codex_runner.cli.result import finish  # noqa: PLC0415
    from codex_runner.wiring import runs as wiring  # noqa: PLC0415

    loaded = _config(config, needed=output is None)
    output_dir = loaded.output_dir if output is None and loaded else Path(output or "").absolute()
    folder = wiring.find_run(output_dir, run)
    clear_junit(junit)
    job = loaded.jobs.get(wiring.read_state(folder).job) if loaded else None
    secrets = {secret.name: secret for secret in job.codex.environment.values()} if job else {}
    setting = wiring.Setting.of(loaded, os.environ, sinks(log_format, list(secrets.values())), junit, warn)
    finish(folder, wiring.attach(folder, setting, secrets), as_json=as_json)


def _config(path: Path | None, *, needed: bool) -> Config | None:
    """Load the configuration, which holds the run's secrets; a run without any can be attached to from anywhere."""
    from codex_runner.config import load  # noqa: PLC0415

    try:
        return load(path, Path.cwd(), os.environ)
    except ConfigurationError:
        if needed or path is not None:
            raise
        return None
