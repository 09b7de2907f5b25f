"""`codex-runner init`: a first configuration, which runs as it is."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from codex_runner.domain.errors import UsageError


def init(
    config: Annotated[
        Path, typer.Option("--config", "-c", metavar="FILE", help="The file to write, or its folder.")
    ] = Path("codex-runner.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Write a commented codex-runner.toml whose job runs as it is."""
    from codex_runner.config.settings import FILE_NAME  # noqa: PLC0415 - only this command needs it
    from codex_runner.config.starter import FIRST_JOB, STARTER  # noqa: PLC0415 - as above

    path = config / FILE_NAME if config.is_dir() else config
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(STARTER)
    except FileExistsError:
        raise UsageError(
            f"{path} is there already.", remedy="Give --force to replace it, or -c for another file."
        ) from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}.", remedy="Name a place that can be written with -c."
        ) from None
    elsewhere = "" if path == Path(FILE_NAME) else f" -c {shlex.quote(str(path))}"
    typer.echo(
        f"Wrote {path}, with one job: {FIRST_JOB}.\n"
        f"Next:\n"
        f"  codex-runner run {FIRST_JOB}{elsewhere} --dry-run    shows what would be done\n"
        f"  codex-runner run {FIRST_JOB}{elsewhere}              does it"
    )
