"""The entry point: the list of commands, and the only place where an error becomes an exit code."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from codex_runner import __version__
from codex_runner.app.showing import cleaner
from codex_runner.cli import signals, streams
from codex_runner.cli.home import here, settle_home, settle_search
from codex_runner.cli.speech import print_failure, tell
from codex_runner.cli.undumpable import become_undumpable
from codex_runner.domain.errors import ConfigurationError, RunnerError
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.machine import machine_fault

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LARGEST_STATUS = 255
_COMPLETE = "_CODEX_RUNNER_COMPLETE"  # what typer's scripts for shells set

# As `--help` lists them. A command `x` is the function `x` of `codex_runner.cli.x`, a group is its `x_app`.
_COMMANDS = (
    *("run", "jobs", "runs", "logs", "attach", "cancel", "deliver", "outcomes", "report", "audit", "prune"),
    *("hosts", "doctor", "init", "demo"),
)
_GROUPS = ("config", "token", "vault")


def command_line(wanted: str | None = None) -> typer.Typer:
    """Return the command line with the one command `wanted`, or with all commands if it is not the name of one.

    Typer reads the parameters of every command that it knows: half of the time from the start to a job's own command.
    """
    app = typer.Typer(
        name="codex-runner",
        help="Runs OpenAI's Codex agent in CI pipelines, and can be trusted there.",
        no_args_is_help=True,
        # Locals in a traceback would put secrets into a log.
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        callback=_options,
    )
    names = [wanted] if wanted in {*_COMMANDS, *_GROUPS} else [*_COMMANDS, *_GROUPS]
    for name in names:
        module = import_module(f"codex_runner.cli.{name}")
        if name in _GROUPS:
            app.add_typer(getattr(module, f"{name}_app"))
        else:
            app.command()(getattr(module, name))
    return app


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"codex-runner {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[  # noqa: ARG001 - typer acts on it before this is called
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    # Before any command: the environment holds secrets from the start.
    become_undumpable()
    if ignored := settle_home(os.environ):
        tell(f"warning: {ignored}")
    settle_search(os.environ)
    here()


def _look_at_system() -> None:
    if sys.platform == "win32":
        raise ConfigurationError("Windows cannot run codex-runner.", remedy="Use it in WSL.")


def program() -> NoReturn:
    """Run the command line, and end the process: the entry point `codex-runner`.

    All output is written and all logins are given back by now. Taking the interpreter apart would cost 10 ms and only
    free memory.
    """
    try:
        main()
    except SystemExit as ended:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code if isinstance(ended.code, int) else 1)


def main() -> NoReturn:
    """Run the command line, and raise SystemExit. Exit codes: docs/exit-codes.md."""
    signals.unwind()
    streams.settle()
    # A mask that hides files from their owner hides a run from its own runner.
    os.umask(os.umask(0o077) & 0o077)
    code = _carried_out()
    if (lost := streams.lost()) is not None:
        tell(
            f"the result could not be written to stdout: {lost.strerror}.", "Connect stdout to a place that accepts it."
        )
        code = code or int(ExitCode.JOB_FAILED)
    if not 0 <= code <= _LARGEST_STATUS:  # the system keeps only the lowest byte: 256 would be 0
        code = int(ExitCode.INTERNAL)
    # The caller ends soon: a garbage collection through every module on the way out costs a twentieth of a second.
    gc.freeze()
    sys.exit(code)


def _carried_out() -> int:
    """Return the exit code of the command line."""
    try:
        _look_at_system()
        command_line(_wanted(sys.argv, os.environ))()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        print_failure(code, _meaning(code), "Read the messages on stderr.")
        return code
    except RunnerError as error:
        clean = cleaner(os.environ)
        tell(clean(error.message), clean(error.remedy))
        print_failure(error.exit_code, clean(error.message), clean(error.remedy))
        return error.exit_code
    except KeyboardInterrupt:
        print_failure(ExitCode.INTERRUPTED, ExitCode.INTERRUPTED.meaning)
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last line of defence: a bug has its own exit code, and its traceback
        if (fault := machine_fault(error)) is not None:
            tell(fault.message, fault.remedy)
            print_failure(fault.exit_code, fault.message, fault.remedy)
            return fault.exit_code

        # Frames and lines, no values: a value may be a secret.
        frames = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__)).format()
        sys.stderr.write("".join(frames))
        bug = f"{type(error).__name__} in codex-runner {__version__}."
        tell(bug, RunnerError.default_remedy)
        print_failure(ExitCode.INTERNAL, bug, RunnerError.default_remedy)
        return ExitCode.INTERNAL
    return ExitCode.SUCCEEDED


def _wanted(argv: Sequence[str], environ: Mapping[str, str]) -> str | None:
    """Return the word in the place of the command: of this command line, or of the one that a shell completes."""
    if _COMPLETE in environ:
        line = environ.get("COMP_WORDS") or environ.get("_TYPER_COMPLETE_ARGS", "")
        argv = line.split()
        if len(argv) == 2 and not line.endswith((" ", "\n")):  # the command itself is completed
            return None
    return argv[1] if len(argv) > 1 else None


def _meaning(code: int) -> str:
    return next((each.meaning for each in ExitCode if each == code), f"exit code {code}")
