"""A recipe's job in a configuration: its table is appended, and its prompt and scripts are written beside it."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from codex_runner.cli.new_files import append, differing, holds, is_there, write
from codex_runner.cli.options import configuration
from codex_runner.cli.pipelines import top_of
from codex_runner.cli.recipes import RecipePlace, prompt_file
from codex_runner.config.loading import nearest_file
from codex_runner.config.settings import FILE_NAME
from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import ConfigurationError, UsageError
from codex_runner.domain.secret_names import API_KEY, GITHUB_TOKENS

if TYPE_CHECKING:
    from codex_runner.ci_systems import CiSystem
    from codex_runner.cli.recipes import Recipe

_JOB_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

_HEAD = """\
# codex-runner's configuration. Every key is explained in docs/configuration.md of codex-runner.
version = 1

"""


@dataclass(frozen=True, slots=True)
class WantedRecipe:
    """A recipe, and the name of its job. `config` is the configuration file or its folder, None for the nearest one.

    `system` is the one that a pipeline is written for, if any: it knows where the delivery's token comes from.
    """

    recipe: Recipe
    job: str
    config: Path | None
    system: CiSystem | None

    @property
    def file(self) -> Path:
        """The configuration file: the one that is named, the nearest one, or a new one in this folder."""
        if self.config is not None:
            return self.config / FILE_NAME if self.config.is_dir() else self.config
        found = nearest_file(Path.cwd())
        return Path(os.path.relpath(found)) if found else Path(FILE_NAME)


def add_recipe(wanted: WantedRecipe, *, force: bool) -> Path:
    """Write the recipe's files, and append its job to the configuration. Returns the configuration file.

    A job of this recipe that is there already stays as it is. `force` replaces prompt and scripts, never the
    configuration. Raises UsageError before anything is written if a file or another job is in the way.
    """
    if not _JOB_NAME.fullmatch(wanted.job):
        raise UsageError(
            f"{wanted.job!r} is not a job's name.", remedy="Take a-z, 0-9, `.`, `_` and `-`, a letter or digit first."
        )
    file = wanted.file
    there = file.exists()
    if there:
        configuration(file)  # a file that is wrong already is told before anything is added
    text = file.read_text(encoding="utf-8") if there else _HEAD
    given = tomllib.loads(text)
    has_job = _has_job(wanted, file, given)
    place = _place(wanted, file, given.get("defaults", {}))
    table = wanted.recipe.table(place)
    if not has_job:
        _require_room(wanted, file, text, table)
    files = wanted.recipe.files(wanted.job)
    if not force and (taken := differing(files, file.parent)):
        raise UsageError(
            is_there(*(file.parent / name for name in taken)),
            remedy="Give --job for another name, or --force to replace it; `git diff` then shows what has changed.",
        )
    for name, content in files.items():
        path = file.parent / name
        if holds(path, content):
            typer.echo(f"{path} is up to date.")
            continue
        write(path, content, force=force, parents=True)
        typer.echo(f"Wrote {path}.")
    if has_job:
        typer.echo(f"{file} has the job {wanted.job} already: it stays as it is.")
        _tell_of_another_system(wanted, given["jobs"][wanted.job].get("delivery", {}), place, table)
    elif there:
        append(file, ("" if text.endswith("\n") or not text else "\n") + "\n" + table)
        typer.echo(f"Added the job {wanted.job} to {file}.")
    else:
        write(file, text + table, force=False)
        typer.echo(f"Wrote {file}, with one job: {wanted.job}.")
    if wanted.system is None:
        _tell_next_steps(wanted, file, place)
    return file


def _has_job(wanted: WantedRecipe, file: Path, given: dict[str, Any]) -> bool:
    """Whether the configuration has this recipe's job. Raises UsageError if it has another one of that name."""
    job = given.get("jobs", {}).get(wanted.job)
    if job is not None and job.get("prompt_file") != prompt_file(wanted.job):
        raise UsageError(
            f"{file} has another job {wanted.job!r}, which is not the recipe's.",
            remedy="Give the recipe's job another name with --job.",
        )
    return job is not None


def _tell_of_another_system(wanted: WantedRecipe, delivery: dict[str, Any], place: RecipePlace, table: str) -> None:
    """Print the delivery for this system if that of the job was written for another one."""
    variable = delivery.get("credential", {}).get("variable")
    theirs = (delivery.get("target", ""), variable in GITHUB_TOKENS)
    ours = (place.target, place.delivery_variable in GITHUB_TOKENS)
    if wanted.system is not None and variable is not None and theirs != ours:
        _, header, lines = table.partition(f"[jobs.{wanted.recipe.key(wanted.job)}.delivery]\n")
        typer.echo(f"Its delivery is that of another system. For {wanted.system.title} it is:\n\n{header}{lines}")


def _require_room(wanted: WantedRecipe, file: Path, text: str, table: str) -> None:
    """Refuse a configuration that ends so that no table can follow, such as `jobs = { ... }`, and print the table."""
    try:
        tomllib.loads(f"{text}\n\n{table}")
    except tomllib.TOMLDecodeError:
        typer.echo(table)
        raise ConfigurationError(
            f"{file} takes no table [jobs.{wanted.job}] at its end: its jobs are written in another form.",
            remedy="Add the job that is printed above by hand, or write each job as a table of its own.",
        ) from None


def _place(wanted: WantedRecipe, file: Path, defaults: dict[str, Any]) -> RecipePlace:
    folder = file.parent.absolute()
    below = os.path.relpath(folder, top_of(folder))
    return RecipePlace(
        job=wanted.job,
        below="" if below == "." else f"{below}/",
        target=wanted.system.delivery_target if wanted.system else "",
        delivery_variable=wanted.system.delivery_variable if wanted.system else GITHUB_TOKENS[0],
        needs_key="credential" not in defaults,
        needs_token="credential" not in defaults.get("delivery", {}),
    )


def _tell_next_steps(wanted: WantedRecipe, file: Path, place: RecipePlace) -> None:
    recipe, job = wanted.recipe, wanted.job
    folder = "" if file.parent == Path() else f"cd {shlex.quote(str(file.parent))} && "
    option = "" if file.name == FILE_NAME else f" -c {shlex.quote(file.name)}"
    run = f"codex-runner run {job}{option}"
    if recipe.has_input:
        run = f"sh {recipe.input_script(job)} && {run} --context {recipe.context(job)}"
    named = "" if job == recipe.name else f" --job {job}"
    variables = [API_KEY] if place.needs_key else []
    if recipe.delivers and place.needs_token:
        variables.append(place.delivery_variable)
    steps = [f"Read {file.parent / prompt_file(job)} and the job in {file}, and adapt them. docs/recipes.md says how."]
    if variables:
        steps.append(f"Set {' and '.join(variables)}, or name another source in the job.")
    steps.append(f"{folder}{run}    does it")
    steps.append(f"codex-runner init SYSTEM --recipe {recipe.name}{named}    writes the pipeline that runs it")
    typer.echo("Next:")
    for number, step in enumerate(steps, 1):
        typer.echo(f"  {number}. {step}")
