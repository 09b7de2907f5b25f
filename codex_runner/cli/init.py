"""`codex-runner init`: a first configuration or a recipe's job, and what a CI system needs to run a job of it."""

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
from codex_runner.cli.new_files import differing, holds, is_there, write
from codex_runner.cli.options import configuration
from codex_runner.cli.pipelines import ACTION, STARTERS, WantedStarter, choose_job, plan, this_machine, top_of
from codex_runner.cli.recipe_job import WantedRecipe, add_recipe
from codex_runner.cli.recipes import RECIPES, recipe_named
from codex_runner.config.first_file import FIRST_JOB, STARTER
from codex_runner.config.json_schema import SCHEMA_NAME, TITLE, schema
from codex_runner.config.settings import FILE_NAME
from codex_runner.domain.errors import UsageError

if TYPE_CHECKING:
    from codex_runner.ci_systems import CiSystem
    from codex_runner.cli.recipes import Recipe


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
            help="The job that the system runs, or the name of a recipe's job. Default: the only one, or the recipe's.",
            show_default=False,
            autocompletion=job_names,
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Add a whole job to the configuration: {', '.join(RECIPES)}.",
            show_default=False,
            autocompletion=lambda: list(RECIPES),
        ),
    ] = None,
    list_recipes: Annotated[
        bool, typer.Option("--list-recipes", help="List the recipes, and what each is for.")
    ] = False,
    action: Annotated[str, typer.Option(metavar="USES", help="The action's place on GitHub.")] = ACTION,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
) -> None:
    """Write a commented codex-runner.toml with a first job, or the files with which a CI system runs a job.

    With a recipe, write a tested job with its prompt and check into the configuration, which keeps all that it has.

    Example: codex-runner init github --recipe docs
    """
    if list_recipes:
        _list_recipes()
        return
    chosen = _named(system) if system is not None else None
    if recipe is not None:
        wanted = WantedRecipe(recipe_named(recipe), job or recipe, config, chosen)
        file = add_recipe(wanted, force=force)
        if chosen is not None:
            _write_pipeline(chosen, file, wanted.job, action, wanted.recipe, force=force)
    elif chosen is None:
        _write_configuration(config or Path(), force=force)
    else:
        _write_pipeline(chosen, config, job, action, force=force)


def _list_recipes() -> None:
    width = max(map(len, RECIPES))
    for recipe in RECIPES.values():
        typer.echo(f"{recipe.name:{width}}  {recipe.summary}; {'every Monday' if recipe.weekly else 'every night'}")


def _named(system: str) -> CiSystem:
    if system not in STARTERS:
        raise UsageError(f"{system!r} is not a supported system.", remedy=f"Give one of: {', '.join(STARTERS)}.")
    return STARTERS[system]


def _write_configuration(config: Path, *, force: bool) -> None:
    path = config / FILE_NAME if config.is_dir() else config
    write(path, STARTER, force=force)
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
    if path.exists() and not force and not holds(path, text):
        try:
            ours = json.loads(path.read_bytes()).get("title") == TITLE
        except (OSError, ValueError, AttributeError):
            ours = False
        if not ours:
            raise UsageError(is_there(path), remedy="Give --force to replace it, or rename it.")
    write(path, text, force=True)


def _write_pipeline(
    system: CiSystem, config: Path | None, job: str | None, action: str, recipe: Recipe | None = None, *, force: bool
) -> None:
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
        recipe=recipe,
    )
    made = plan(system, request)
    if not force and (taken := [name for name in differing(made.files, root) if name in system.movable]):
        made = plan(system, replace(request, taken=taken))
    if not force and (there := differing(made.files, root)):
        raise UsageError(
            is_there(*(Path(os.path.relpath(root / name)) for name in there)),
            remedy="Give --force to replace it; `git diff` then shows what has changed.",
        )
    for name, text in made.files.items():
        path = Path(os.path.relpath(root / name))
        if holds(path, text):
            typer.echo(f"{path} is up to date.")
            continue
        write(path, text, force=force, parents=True)
        typer.echo(f"Wrote {path}.")
    typer.echo("Next:")
    for number, step in enumerate(made.next_steps, 1):
        typer.echo(f"  {number}. {step}")
