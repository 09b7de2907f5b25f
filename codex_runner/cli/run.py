"""`codex-runner run`: one job, from its prompt to its reports."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codex_runner.app.begin import begin
from codex_runner.app.imports import forget_sources
from codex_runner.app.invocation import Invocation
from codex_runner.app.secret_places import setting_secrets
from codex_runner.cli.completion import host_names, job_names
from codex_runner.cli.options import (
    ConfigOption,
    JunitOption,
    LogFormat,
    LogFormatOption,
    OutputOption,
    SetOption,
    clear_junit,
    configuration,
    sinks,
    warn,
)
from codex_runner.cli.result import finish
from codex_runner.cli.signals import Following
from codex_runner.cli.speech import print_json
from codex_runner.config import PromptSource, files_of, load, resolve_job
from codex_runner.domain.errors import UsageError
from codex_runner.engine.stopping import Stopping
from codex_runner.text.clean import clean_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.domain.job import Job


def run(
    job: Annotated[str, typer.Argument(help="The job's name in the configuration.", autocompletion=job_names)],
    stdin: Annotated[
        str | None, typer.Argument(metavar="[-]", help="`-` reads the prompt from stdin.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    prompt: Annotated[str | None, typer.Option(help="The prompt, instead of the job's.", show_default=False)] = None,
    prompt_file: Annotated[
        Path | None, typer.Option(help="A file with the prompt, instead of the job's.", show_default=False)
    ] = None,
    var: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Fill {{NAME}} in the prompt.", show_default=False),
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(metavar="FILE|-", help="Text for the agent beside the prompt.", show_default=False),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            help="The host: `local`, or an alias of your OpenSSH configuration.",
            show_default=False,
            autocompletion=host_names,
        ),
    ] = None,
    output: OutputOption = None,
    junit: JunitOption = None,
    settings: SetOption = None,
    log_format: LogFormatOption = LogFormat.AUTO,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and start nothing.")] = False,
    no_gate: Annotated[bool, typer.Option("--no-gate", help="Run the job whatever its gate would say.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result (or the plan) as JSON on stdout.")] = False,
) -> None:
    """Run a job and follow it. Leaves a verdict, a log, JUnit, reports and artifacts.

    Example: git log v1.. --oneline | codex-runner run release-notes --context -
    """
    if not dry_run:
        clear_junit(junit)
    # A run records the configuration's warnings itself.
    loaded = configuration(config, settings or []) if dry_run else load(config, Path.cwd(), os.environ, settings or [])
    if stdin is not None and stdin != "-":
        raise UsageError(f"Unexpected argument {stdin!r}.", remedy="Give the prompt with --prompt, --prompt-file or -.")
    if stdin == "-" and context == "-":
        raise UsageError(
            "Both the prompt and the context are to come from stdin.", remedy="Give one of them in a file."
        )
    source = PromptSource(prompt, prompt_file, _standard_input() if stdin == "-" else None)
    resolved = resolve_job(
        loaded, job, prompt=source, variables=_variables(var or []), context=_context(context), host=host
    )
    if no_gate and resolved.gate is not None:
        resolved = replace(resolved, gate=replace(resolved.gate, ignored=True))
    if dry_run:
        _show_plan(resolved, Invocation.of(loaded, os.environ, None), as_json=as_json)
        return
    invocation = Invocation.of(
        loaded,
        os.environ,
        sinks(log_format, setting_secrets(resolved), resolved),
        junit,
        warn,
        files_of(loaded, job, source),
    )
    output_dir = output.absolute() if output else loaded.output_dir
    forget_sources(resolved, os.environ)
    stopping = Stopping()
    with Following(stopping.request) as following:
        folder, way = begin(resolved, output_dir, invocation, stopping)
        # While the host answers.
        from codex_runner.app.run import run as run_job

        state = following.run(run_job(resolved, folder, invocation, stopping=stopping, way=way))
        finish(folder, state, invocation, as_json=as_json)


def _variables(given: Sequence[str]) -> dict[str, str]:
    variables: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise UsageError(f"--var {each!r} has no value.", remedy="Write --var NAME=VALUE.")
        if name in variables:
            raise UsageError(f"--var {name} is given twice.")
        variables[name] = value
    return variables


def _standard_input() -> bytes:
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise UsageError(f"stdin cannot be read: {error.strerror}.", remedy="Give the prompt in a file.") from None


def _context(given: str | None) -> str | None:
    if given is None:
        return None
    try:
        data = sys.stdin.buffer.read() if given == "-" else Path(given).read_bytes()
    except OSError as error:
        raise UsageError(
            f"--context {given} cannot be read: {error.strerror}.", remedy="Name a readable file, or `-`."
        ) from None
    return data.decode("utf-8", "replace")


def _show_plan(job: Job, invocation: Invocation, *, as_json: bool) -> None:
    from codex_runner.app.plan import plan

    planned = asyncio.run(plan(job, invocation))
    if as_json:
        print_json(planned)
        return

    for key, value in planned.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines = [clean_line(line) for line in text.rstrip("\n").split("\n")]
        typer.echo("\n  | ".join([f"{key}:", *lines]) if len(lines) > 1 else f"{key}: {lines[0]}")
