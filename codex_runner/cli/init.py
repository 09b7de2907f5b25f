"""`codex-runner init`: a first configuration, and what a CI system needs to run a job of it."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codex_runner.app.credentials import origin_of
from codex_runner.cli.completion import job_names
from codex_runner.cli.options import configuration
from codex_runner.cli.pipelines import ACTION, STARTERS, WantedStarter, choose_job, plan, this_machine, top_of
from codex_runner.config.first_file import FIRST_JOB, STARTER
from codex_runner.config.json_schema import SCHEMA_NAME, TITLE, schema
from codex_runner.config.settings import FILE_NAME
from codex_runner.domain.errors import UsageError

if TYPE_CHECKING:
    from codex_runner.ci_systems import CiSystem
    from codex_runner.ci_systems.starter import Starter


def init(
    system: Annotated[
        str | None,
        typer.Argument(
            help=f"The system that runs the job ({', '.join(STARTERS)}). Default: write the configuration.",
            show_default=False,
            autocompletion=lambda: list(STARTERS),
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help="The configuration file, or its folder.",
            show_default="codex-runner.toml",
        ),
    ] = None,
    job: Annotated[
        str | None,
        typer.Option(
            help="The job that the system runs. Default: the only one.", show_default=False, autocompletion=job_names
        ),
    ] = None,
    action: Annotated[str, typer.Option(metavar="USES", help="The action's place on GitHub.")] = ACTION,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
) -> None:
    """Write a commented codex-runner.toml with a first job, or the files with which a CI system runs a job.

    Example: codex-runner init github --job nightly-docs
    """
    if system is None:
        _write_configuration(config or Path(), force=force)
    else:
        _write_pipeline(_named(system), config, job, action, force=force)


def _named(system: str) -> CiSystem:
    if system not in STARTERS:
        raise UsageError(f"{system!r} is not a supported system.", remedy=f"Give one of: {', '.join(STARTERS)}.")
    return STARTERS[system]


def _write_configuration(config: Path, *, force: bool) -> None:
    path = config / FILE_NAME if config.is_dir() else config
    _write(path, STARTER, force=force)
    _write_schema(path.with_name(SCHEMA_NAME), force=force)
    elsewhere = "" if path == Path(FILE_NAME) else f" -c {shlex.quote(str(path))}"
    typer.echo(
        f"Wrote {path}, with one job: {FIRST_JOB}; and {SCHEMA_NAME}, by which editors complete and check it.\n"
        f"Next:\n"
        f"  in {path}, uncomment `credential`: it says where the job's key comes from\n"
        f"  codex-runner run {FIRST_JOB}{elsewhere} --dry-run    shows what it would do\n"
        f"  codex-runner run {FIRST_JOB}{elsewhere}              does it"
    )


def _write_schema(path: Path, *, force: bool) -> None:
    """Write the schema. Replaces one that codex-runner has written, of whatever version."""
    text = schema()
    if path.exists() and not force and not _holds(path, text):
        try:
            ours = json.loads(path.read_bytes()).get("title") == TITLE
        except (OSError, ValueError, AttributeError):
            ours = False
        if not ours:
            raise UsageError(_is_there(path), remedy="Give --force to replace it, or rename it.")
    _write(path, text, force=True)


def _write_pipeline(system: CiSystem, config: Path | None, job: str | None, action: str, *, force: bool) -> None:

    if config is not None and config.is_dir():
        config /= FILE_NAME
    here = Path.cwd()
    loaded = configuration(config)
    root = here if system.on_this_machine else top_of(here)
    request = WantedStarter(
        loaded,
        choose_job(loaded, job),
        root,
        this_machine(here, os.environ),
        action,
        origin_of(str(root), os.environ),
    )
    made = plan(system, request)
    if not force and (taken := [name for name in _differing(made, root) if name in system.movable]):
        made = plan(system, replace(request, taken=taken))
    if not force and (there := _differing(made, root)):
        raise UsageError(
            _is_there(*(Path(os.path.relpath(root / name)) for name in there)),
            remedy="Give --force to replace it; `git diff` then shows what has changed.",
        )
    for name, text in made.files.items():
        path = Path(os.path.relpath(root / name))
        if _holds(path, text):
            typer.echo(f"{path} is up to date.")
            continue
        _write(path, text, force=force, parents=True)
        typer.echo(f"Wrote {path}.")
    typer.echo("Next:")
    for number, step in enumerate(made.next_steps, 1):
        typer.echo(f"  {number}. {step}")


def _differing(made: Starter, root: Path) -> list[str]:
    """Return those of the files that exist and differ from what is to be written."""
    return [name for name, text in made.files.items() if (root / name).exists() and not _holds(root / name, text)]


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False


def _write(path: Path, text: str, *, force: bool, parents: bool = False) -> None:
    try:
        if parents:
            path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(_is_there(path), remedy="Give --force to replace it, or -c for another file.") from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}.", remedy="Name a writable place with -c."
        ) from None


def _is_there(*paths: Path) -> str:
    return f"{', '.join(map(str, paths))} {'exists' if len(paths) == 1 else 'exist'} already."
