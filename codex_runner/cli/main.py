"""The entry point: the list of commands, and the only place where an error becomes an exit code."""

from __future__ import annotations

import gc
import sys
from typing import Annotated

import typer

from codex_runner import __version__
from codex_runner.cli.attach import attach
from codex_runner.cli.cancel import cancel
from codex_runner.cli.demo import demo
from codex_runner.cli.doctor import doctor
from codex_runner.cli.hosts import hosts
from codex_runner.cli.init import init
from codex_runner.cli.logs import logs
from codex_runner.cli.prune import prune
from codex_runner.cli.report import report
from codex_runner.cli.run import run
from codex_runner.cli.runs import runs
from codex_runner.cli.token import token_app
from codex_runner.cli.vault import vault_app
from codex_runner.domain.errors import ExitCode, RunnerError

app = typer.Typer(
    name="codex-runner",
    help="Runs OpenAI's Codex agent in CI pipelines, and can be trusted there.",
    no_args_is_help=True,
    # Locals in a traceback would be secrets in a log.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (run, runs, logs, attach, cancel, report, prune, hosts, doctor, init, demo):
    app.command()(command)
for group in (token_app, vault_app):
    app.add_typer(group)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"codex-runner {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line. Exit codes: docs/exit-codes.md."""
    try:
        app()
    except RunnerError as error:
        _complain(error.message, error.remedy)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the last line of defence: a bug has its own exit code, and its traceback
        import traceback  # noqa: PLC0415 - only for a bug

        # Frames and lines, no values: a value may be a secret.
        frames = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__)).format()
        sys.stderr.write("".join(frames))
        _complain(f"{type(error).__name__} in codex-runner {__version__}.", RunnerError.default_remedy)
        sys.exit(ExitCode.INTERNAL)
    finally:
        # The process ends here: looking through every module for garbage on the way out costs a twentieth of a second.
        gc.freeze()


def _complain(message: str, remedy: str) -> None:
    sys.stderr.write(f"codex-runner: {message}\n")
    if remedy:
        sys.stderr.write(f"  {remedy}\n")
