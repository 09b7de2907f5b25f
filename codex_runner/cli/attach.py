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
    output_dir,
    sinks,
)

if TYPE_CHECKING:
    from codex_runner.domain.folder import RunFolder
    from codex_runner.domain.secret import Secret


def attach(
    run: Annotated[str, typer.Argument(help="The run's id.")],
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

    folder = wiring.find_run(output_dir(output, config), run)
    secrets = _secrets(folder, config)
    setting = wiring.Setting(os.environ, sinks(log_format, list(secrets.values())), junit)
    finish(folder, wiring.attach(folder, setting, secrets), as_json=as_json)


def _secrets(folder: RunFolder, config: Path | None) -> dict[str, Secret]:
    """Find the run's secrets again, where they came from: the job's settings."""
    from codex_runner.wiring import runs as wiring  # noqa: PLC0415

    state = wiring.read_state(folder)
    if not state.facts.get("secrets"):
        return {}
    from codex_runner.config import load  # noqa: PLC0415

    job = load(config, Path.cwd(), os.environ).jobs.get(state.job)
    return {secret.name: secret for secret in job.codex.environment.values()} if job else {}
