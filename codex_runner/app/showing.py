"""How a run is shown: the sinks that a command has for its terminal, or for its CI system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.app.annotations import path_prefix
from codex_runner.ci_systems import Pipeline
from codex_runner.domain.secret import Secret
from codex_runner.domain.secret_names import environment_secrets
from codex_runner.redaction.redactor import Redactor
from codex_runner.sinks import LogReader, choose
from codex_runner.sinks.console import make_console
from codex_runner.sinks.patience import patient
from codex_runner.text.color import wants_color

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TextIO

    from codex_runner.domain.job import Job
    from codex_runner.domain.ports import Sink


def run_sinks(
    log_format: str, stream: TextIO, environ: Mapping[str, str], secrets: Iterable[Secret], job: Job | None = None
) -> list[Sink]:
    """Choose the sinks for `stream`, and for the checks of the `job`. `log_format`: see `choose`."""
    prefix = None if job is None else path_prefix(job, environ)
    return choose(log_format, patient(stream), environ, secrets, prefix, place_of(environ))


def place_of(environ: Mapping[str, str]) -> LogReader:
    """Return what the CI system of this environment does with a log."""
    here = Pipeline(environ)
    return LogReader(here.log_formats(), verbose=here.wants_details(), keeps_terminal=here.keeps_terminal())


def log_of(stream: TextIO, environ: Mapping[str, str], *, go_on: bool, verbose: bool) -> Sink:
    """Return the sink for `logs`: everything, or with `go_on` the live view if `stream` is a terminal."""
    live = go_on and stream.isatty() and environ.get("TERM") != "dumb"
    color = wants_color(environ, is_tty=stream.isatty())
    return make_console(stream, is_tty=live, color=color, verbose=verbose, limit=None)


def cleaner(environ: Mapping[str, str], secrets: Iterable[Secret] = ()) -> Callable[[str], str]:
    """Return a function that masks these secrets and the environment's: a text may quote a library, ssh or a server."""
    return Redactor([*secrets, *(Secret(name, value) for name, value in environment_secrets(environ))]).text
