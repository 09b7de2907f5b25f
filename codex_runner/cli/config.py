"""`codex-runner config`: the configuration file, looked at without a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codex_runner.app.config_check import check_file
from codex_runner.app.config_show import shown_job
from codex_runner.app.config_upgrade import upgrade_file
from codex_runner.cli.completion import job_names
from codex_runner.cli.options import ConfigOption, SetOption, warn
from codex_runner.cli.speech import print_json, tell
from codex_runner.cli.table import show_columns
from codex_runner.config.json_schema import schema
from codex_runner.config.loading import find
from codex_runner.domain.exit_code import ExitCode
from codex_runner.text.clean import clean_line
from codex_runner.text.counts import counted

if TYPE_CHECKING:
    from codex_runner.app.config_check import CheckedFile
    from codex_runner.config.origins import ValueOrigin

_LONGEST = 72  # characters of a value in the table

config_app = typer.Typer(name="config", help="Check, show and upgrade a configuration.", no_args_is_help=True)


@config_app.command()
def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="The configuration files. Default: codex-runner.toml here or above.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Check configuration files, with the prompts and schemas that they name. Exits with 3 if one is wrong.

    Tells each mistake with its line and column. Needs no codex, no secret and no network. Ignores the environment: the
    result is the same on every machine.

    Example: codex-runner config check codex-runner.toml
    """
    here = Path.cwd()
    checked = [check_file(file, here) for file in files or [find(here)]]
    if as_json:
        print_json({"files": [_document(each) for each in checked]})
    else:
        for each in checked:
            _show(each)
    if any(each.problems for each in checked):
        raise typer.Exit(int(ExitCode.CONFIGURATION))


def _document(checked: CheckedFile) -> dict[str, Any]:
    return {
        "file": str(checked.file),
        "valid": not checked.problems,
        "jobs": list(checked.jobs),
        "problems": [
            {
                "line": each.line,
                "column": each.column,
                "key": each.key or None,
                "message": each.message,
                "remedy": each.remedy,
            }
            for each in checked.problems
        ],
        "warnings": list(checked.warnings),
    }


def _show(checked: CheckedFile) -> None:
    for warning in checked.warnings:
        warn(warning)
    remedies = [each.remedy for each in checked.problems]
    for number, each in enumerate(checked.problems, 1):
        # A remedy that several mistakes have follows the last of them.
        remedy = "" if each.remedy in remedies[number:] else each.remedy
        tell(f"{checked.file}:{each.line}:{each.column}: {each.message}", remedy)
    if not checked.problems:
        typer.echo(clean_line(f"{checked.file}: valid, {counted(len(checked.jobs), 'job')}"))


@config_app.command()
def show(
    job: Annotated[str, typer.Argument(help="The job's name in the configuration.", autocompletion=job_names)],
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Show what a job resolves to: each value, and its origin: file, environment, --set or default.

    Shows a secret as its name. JSON has durations in seconds, and whole texts.

    Example: codex-runner config show nightly-docs --set jobs.nightly-docs.timeout=10m
    """
    loaded, values = shown_job(job, config, Path.cwd(), os.environ, settings or [])
    for warning in loaded.warnings:
        warn(warning)
    if as_json:
        documents = [
            {"key": each.key, "value": each.value, "source": each.origin.source, "place": each.origin.place or None}
            for each in values
        ]
        print_json({"job": job, "file": str(loaded.path), "values": documents})
        return
    rows = [(each.key, _cut(each.text), " ".join(filter(None, _place(each.origin)))) for each in values]
    show_columns(("KEY", "VALUE", "FROM"), rows, os.environ, right=(), colours={})


def _place(origin: ValueOrigin) -> tuple[str, ...]:
    return (origin.place,) if origin.source == "file" else origin


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


@config_app.command()
def upgrade(
    file: Annotated[
        Path | None,
        typer.Argument(help="The configuration file. Default: codex-runner.toml here or above.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be renamed, and write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Rename the deprecated keys of a configuration file. Keeps comments, order and layout.

    docs/compatibility.md lists the keys. Variables and --set in pipelines are yours to rename: each command that meets
    one warns.

    Example: codex-runner config upgrade --dry-run
    """
    here = Path.cwd()
    place = file or find(here)
    renamed = upgrade_file(place, here, dry_run=dry_run)
    if as_json:
        print_json(
            {"file": str(place), "written": bool(renamed) and not dry_run, "renamed": [r._asdict() for r in renamed]}
        )
        return
    for one in renamed:
        said = "would become" if dry_run else "is now"
        typer.echo(clean_line(f"{place}:{one.line}:{one.column}: {one.key} {said} `{one.successor}`"))
    if not renamed:
        typer.echo(clean_line(f"{place}: nothing to rename"))


@config_app.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of the configuration, by which editors complete and check it.

    `codex-runner init` writes it beside the file.

    Example: codex-runner config schema > codex-runner.schema.json
    """
    typer.echo(schema(), nl=False)
