"""`codex-runner attach`: go on with a run whose runner has gone."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from codex_runner.app.attach import attach as go_on
from codex_runner.app.attach import find_begun
from codex_runner.app.imports import forget_sources
from codex_runner.app.invocation import Invocation
from codex_runner.app.secret_places import setting_secrets
from codex_runner.cli.options import (
    ConfigOption,
    HostOption,
    JunitOption,
    LogFormat,
    LogFormatOption,
    OutputOption,
    RunArgument,
    clear_junit,
    runs_config,
    sinks,
    warn,
)
from codex_runner.cli.result import finish
from codex_runner.cli.signals import Following
from codex_runner.engine.stopping import Stopping


def attach(
    run: RunArgument,
    host: HostOption = None,
    config: ConfigOption = None,
    output: OutputOption = None,
    junit: JunitOption = None,
    log_format: LogFormatOption = LogFormat.AUTO,
    by_shape: Annotated[
        bool,
        typer.Option("--by-shape", help="If a secret of the run is not available, go on and mask what looks like one."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
) -> None:
    """Follow a run whose runner was killed, and finish it: checks, verdict and reports.

    Goes on after the last complete record of events.jsonl, and judges nothing twice. With --host, the run may be one
    that another machine began: the command then fetches all of it, from the first byte on.

    One runner at a time has a run. Exit code 14: another runner has renewed its claim within the last 60 seconds.
    """
    loaded, output_dir = runs_config(config, output)
    looking = Invocation.of(loaded, os.environ, None, complain=warn)
    begun = asyncio.run(find_begun(output_dir, run, host, looking))
    clear_junit(junit)
    job = loaded.jobs.get(begun.state.job) if loaded else None
    secrets = {secret.name: secret for secret in setting_secrets(job)}
    shown = sinks(log_format, secrets.values(), begun.job)
    invocation = Invocation.of(loaded, os.environ, shown, junit, warn)
    forget_sources(begun.job, os.environ)
    stopping = Stopping()
    with Following(stopping.request) as following:
        state = following.run(go_on(begun, invocation, secrets, stopping=stopping, by_shape=by_shape))
        finish(begun.folder, state, invocation, as_json=as_json)
