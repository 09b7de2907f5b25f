"""`codex-runner attach`: go on with a run whose runner has gone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from codex_runner.cli.options import (
    ConfigOption,
    JunitOption,
    LogFormat,
    LogFormatOption,
    OutputOption,
    RunArgument,
    clear_junit,
    configuration,
    sinks,
    warn,
)


def attach(
    run: RunArgument,
    config: ConfigOption = None,
    output: OutputOption = None,
    junit: JunitOption = None,
    log_format: LogFormatOption = LogFormat.AUTO,
    by_shape: Annotated[
        bool,
        typer.Option("--by-shape", help="Go on where a secret of the run is not to be had: mask what looks like one."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
) -> None:
    """Follow a run whose runner was killed, and end it as if nothing had happened.

    It goes on after the last complete record of events.jsonl. What was judged already is not judged again.
    """
    from codex_runner.cli.result import finish  # noqa: PLC0415
    from codex_runner.wiring import runs as wiring  # noqa: PLC0415

    loaded = configuration(config, needed=output is None)
    output_dir = loaded.output_dir if output is None and loaded else Path(output or "").absolute()
    folder = wiring.find_run(output_dir, run)
    clear_junit(junit)
    job = loaded.jobs.get(wiring.read_state(folder).job) if loaded else None
    secrets = {secret.name: secret for secret in job.codex.environment.values()} if job else {}
    setting = wiring.Setting.of(loaded, os.environ, sinks(log_format, list(secrets.values())), junit, warn)
    finish(folder, wiring.attach(folder, setting, secrets, by_shape=by_shape), as_json=as_json)
