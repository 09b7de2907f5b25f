"""`codex-runner init`: a first configuration, which runs as it is, and what a CI system needs to run a job of it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from codex_runner.cli.pipelines import ACTION, System
from codex_runner.domain.errors import UsageError


def init(
    system: Annotated[
        System | None,
        typer.Argument(
            help="Write what this system needs to run a job; without one, the configuration.", show_default=False
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", metavar="FILE", help="The configuration, or its folder.", show_default="codex-runner.toml"
        ),
    ] = None,
    job: Annotated[
        str | None, typer.Option(help="The job that the system is to run; by default the only one.", show_default=False)
    ] = None,
    action: Annotated[str, typer.Option(metavar="USES", help="Where GitHub finds the action.")] = ACTION,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Write a commented codex-runner.toml whose job runs as it is, or what a CI system needs to run a job.

    Example: codex-runner init github --job nightly-docs
    """
    if system is None:
        _write_configuration(config or Path(), force=force)
    else:
        _write_pipeline(system, config, job, action, force=force)


def _write_configuration(config: Path, *, force: bool) -> None:
    from codex_runner.config.settings import FILE_NAME  # noqa: PLC0415 - only this command needs it
    from codex_runner.config.starter import FIRST_JOB, STARTER  # noqa: PLC0415 - as above

    path = config / FILE_NAME if config.is_dir() else config
    _write(path, STARTER, force=force)
    elsewhere = "" if path == Path(FILE_NAME) else f" -c {shlex.quote(str(path))}"
    typer.echo(
        f"Wrote {path}, with one job: {FIRST_JOB}.\n"
        f"Next:\n"
        f"  codex-runner run {FIRST_JOB}{elsewhere} --dry-run    shows what would be done\n"
        f"  codex-runner run {FIRST_JOB}{elsewhere}              does it"
    )


def _write_pipeline(system: System, config: Path | None, job: str | None, action: str, *, force: bool) -> None:
    from codex_runner.cli.pipelines import choose_job, plan, this_machine  # noqa: PLC0415 - only here
    from codex_runner.config import load  # noqa: PLC0415
    from codex_runner.config.settings import FILE_NAME  # noqa: PLC0415

    if config is not None and config.is_dir():
        config /= FILE_NAME
    root = Path.cwd()
    loaded = load(config, root, os.environ)
    planned = plan(system, loaded, choose_job(loaded, job), root, this_machine(root, os.environ), action)
    if not force:
        for name in planned.files:
            if (root / name).exists():
                raise UsageError(
                    _is_there(Path(name)),
                    remedy="Give --force to replace it, or run this in an empty folder with -c and merge by hand.",
                )
    for name, text in planned.files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        _write(Path(name), text, force=force)
        typer.echo(f"Wrote {name}.")
    typer.echo("Next:")
    for number, step in enumerate(planned.next_steps, 1):
        typer.echo(f"  {number}. {step}")


def _write(path: Path, text: str, *, force: bool) -> None:
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(_is_there(path), remedy="Give --force to replace it, or -c for another file.") from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}.", remedy="Name a place that can be written with -c."
        ) from None


def _is_there(path: Path) -> str:
    return f"{path} is there already."
