"""`codex-runner audit`: who let which agent do what, with whose token, and what is left of it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codex_runner.app.audit import audit_run, folder_of, masks_of, read_key, signed
from codex_runner.app.folders import write_whole
from codex_runner.cli.audit_output import show
from codex_runner.cli.operators import optional_config
from codex_runner.cli.options import ConfigOption, OutputOption, configuration
from codex_runner.cli.signals import Interruption
from codex_runner.cli.speech import print_json, tell
from codex_runner.domain.change import show_path
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.exit_code import ExitCode

if TYPE_CHECKING:
    from codex_runner.config import Config

_STDOUT = "-"


def audit(
    run: Annotated[str, typer.Argument(help="The run's id, `last` for the newest run, or the path of a run's folder.")],
    statement: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|-", help="Write a signed in-toto statement here. Needs a key in [audit].", show_default=False
        ),
    ] = None,
    config: ConfigOption = None,
    output: OutputOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Show what a run's records prove: who, what, with whose token, what it touched, what held, where the logs are.

    Reads the run's folder alone, and compares each file with the records and with manifest.json. Exits with 1 if a file
    is missing or differs. What no record proves is `not known`.

    Example: codex-runner audit last --statement audit.dsse.json
    """
    loaded = optional_config(config, None)
    folder = folder_of(lambda: _output_dir(loaded, output), run)
    found = audit_run(folder)
    masks = masks_of(loaded, os.environ)
    key = None
    if statement is not None:
        key = read_key(loaded, os.environ, Interruption, learn=masks.learn, tell=tell)
    document = found.document(masks.text)
    if as_json and statement != _STDOUT:
        print_json(document)
    elif statement != _STDOUT:
        show(document)
    for problem in document["problems"]:
        tell(problem)
    if key is not None and statement is not None:
        _write(statement, json.dumps(signed(found, folder, document, key)).encode() + b"\n")
    if document["problems"]:
        raise typer.Exit(int(ExitCode.JOB_FAILED))


def _output_dir(loaded: Config | None, output: Path | None) -> Path:
    if output is not None:
        return output.absolute()
    return (loaded or configuration(None)).output_dir  # which says that there is none


def _write(target: str, data: bytes) -> None:
    if target == _STDOUT:
        sys.stdout.write(data.decode())
        return
    try:
        write_whole(Path(target).absolute(), data)
    except OSError as error:
        raise ConfigurationError(
            f"--statement {show_path(target)} cannot be written: {error.strerror}.", remedy="Name another place."
        ) from None
