"""`codex-runner demo`: the main job, for real, with no account."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codex_runner.cli.options import LogFormat, LogFormatOption, OutputOption, sinks

if TYPE_CHECKING:
    from codex_runner.domain.folder import RunFolder

KEY_NAME = "SCRIPTED_MODEL_KEY"


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the scratch folder, and say how to run the job by hand.")
    ] = False,
    output: OutputOption = None,
    log_format: LogFormatOption = LogFormat.AUTO,
) -> None:
    """Run a real job on a scratch repository, with the real codex and a scripted model service on 127.0.0.1."""
    import secrets  # noqa: PLC0415

    from codex_runner.config import load, resolve_job  # noqa: PLC0415
    from codex_runner.demo.model import ModelService  # noqa: PLC0415
    from codex_runner.demo.project import JOB, make_project  # noqa: PLC0415
    from codex_runner.wiring import runs as wiring  # noqa: PLC0415

    began = time.monotonic()
    scratch = Path(tempfile.mkdtemp(prefix="codex-runner-demo-"))
    key = f"demo-{secrets.token_hex(16)}"
    try:
        with ModelService("release_notes", bearers={key}) as service:
            _say(f"a scripted model service listens on {service.url}; it accepts one key, made for this demo")
            config = make_project(scratch, service.with_provider_key(key, env_key=KEY_NAME).config)
            _say(f"a scratch repository with a few commits: {scratch / 'project'}")
            _say(f"its configuration: {config}")
            environ = {**os.environ, f"CODEX_RUNNER_CODEX__ENV__{KEY_NAME}": key}
            job = resolve_job(load(config, scratch, environ), JOB)
            _say(f"codex-runner run {JOB}")
            setting = wiring.Setting(environ, sinks(log_format, list(job.codex.environment.values())))
            folder, state = wiring.run_job(job, (output or Path("codex-runner-out")).absolute(), setting)
            _say(f"the model service was asked {len(service.responses)} times, each time with the right key")
        _show_what_is_left(folder, time.monotonic() - began)
        if keep:
            _show_how_to_run_by_hand(config, service.port, key)
    finally:
        if not keep:
            shutil.rmtree(scratch, ignore_errors=True)
    raise typer.Exit(state.verdict.exit_code if state.verdict else 70)


def _show_what_is_left(folder: RunFolder, seconds: float) -> None:
    _say(f"done in {seconds:.1f} s; this is what the run left:")
    for path in sorted(folder.path.rglob("*")):
        if path.is_file():
            typer.echo(path)


def _show_how_to_run_by_hand(config: Path, port: int, key: str) -> None:
    python, runner = shlex.quote(sys.executable), "codex-runner"
    typer.echo(
        f"\nThe scratch folder stays: {config.parent}\nTo run the same job by hand:\n"
        f"  {python} -m codex_runner.demo.model --port {port} --scenario release_notes --token {key} &\n"
        f"  export CODEX_RUNNER_CODEX__ENV__{KEY_NAME}={key}\n"
        f"  git -C {shlex.quote(str(config.parent / 'project'))} clean -fdq\n"
        f"  {runner} run release-notes -c {shlex.quote(str(config))}\n",
        err=True,
    )


def _say(text: str) -> None:
    typer.secho(f"demo: {text}", err=True, bold=True, color=None if sys.stderr.isatty() else False)
