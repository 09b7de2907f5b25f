"""Sinks for a run's records: the console, CI logs, events.jsonl."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codex_runner.dataclass import dataclass
from codex_runner.sinks.azure import AzureLog
from codex_runner.sinks.console import make_console
from codex_runner.sinks.github import GitHubLog
from codex_runner.sinks.gitlab import GitLabLog
from codex_runner.sinks.jsonl import JsonLog
from codex_runner.text.color import wants_color

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TextIO

    from codex_runner.domain.ports import Sink
    from codex_runner.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class LogReader:
    """The reader of the log. `formats` are those that this CI system understands, the best first; empty without one.

    `verbose` is True if a user asked the CI system for debug logging. `keeps_terminal` is True if a terminal may be the
    CI system's, which stores its output as a log.
    """

    formats: tuple[str, ...] = ()
    verbose: bool = False
    keeps_terminal: bool = False


NOWHERE: Final = LogReader()
"""Outside of any CI system."""


def choose(  # noqa: PLR0913, PLR0917 - what a log depends on
    log_format: str,
    stream: TextIO,
    environ: Mapping[str, str],
    secrets: Iterable[Secret],
    path_prefix: str | None = None,
    place: LogReader = NOWHERE,
) -> list[Sink]:
    """Return the sinks for `stream`. `log_format` is auto, text, azure, github, gitlab or json.

    `path_prefix` is GitHubLog's. `environ` holds the user's wishes about colours.

    `auto` is the CI system's own format if there is one, else the live view on a terminal, else plain lines. On GitHub
    the secrets are masked at once.
    """
    if log_format == "auto":
        log_format = next(iter(place.formats), "text")
    here = log_format in place.formats
    if log_format == "json":
        return [JsonLog(stream)]
    if log_format == "github":
        color = wants_color(environ, is_tty=here)
        log = GitHubLog(stream, color=color, verbose=place.verbose, path_prefix=path_prefix, masks=here)
        for secret in secrets:
            log.mask(secret)
        return [log]
    if log_format == "azure":
        return [AzureLog(stream, color=wants_color(environ, is_tty=here), verbose=place.verbose)]
    if log_format == "gitlab":
        return [GitLabLog(stream, color=wants_color(environ, is_tty=here), verbose=place.verbose)]
    live = stream.isatty() and environ.get("TERM") != "dumb" and not place.keeps_terminal
    color = wants_color(environ, is_tty=stream.isatty())
    return [make_console(stream, is_tty=live, color=color, verbose=place.verbose)]
