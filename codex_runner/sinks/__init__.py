"""Where the records of a run are shown: the console, CI logs, events.jsonl."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.sinks.console import make_console, wants_color
from codex_runner.sinks.github import GitHubLog
from codex_runner.sinks.gitlab import GitLabLog
from codex_runner.sinks.jsonl import JsonLog

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TextIO

    from codex_runner.domain.ports import Sink
    from codex_runner.domain.secret import Secret


def choose(
    log_format: str,
    stream: TextIO,
    environ: Mapping[str, str],
    secrets: Iterable[Secret],
    path_prefix: str | None = None,
) -> list[Sink]:
    """Choose the sinks for `stream`. `log_format` is auto, text, github, gitlab or json.

    `path_prefix` is GitHubLog's.

    `auto` is the CI system's own format where `environ` names one, else the live view on a terminal, else plain
    lines. On GitHub the secrets are masked at once.
    """
    on_github, on_gitlab = environ.get("GITHUB_ACTIONS") == "true", environ.get("GITLAB_CI") == "true"
    if log_format == "auto":
        log_format = "github" if on_github else "gitlab" if on_gitlab else "text"
    if log_format == "json":
        return [JsonLog(stream)]

    # What people ask their CI system for when they run a job again with debug logging.
    verbose = environ.get("RUNNER_DEBUG") == "1" or environ.get("CI_DEBUG_TRACE") == "true"
    if log_format == "github":
        color = wants_color(environ, is_tty=on_github)
        log = GitHubLog(stream, color=color, verbose=verbose, path_prefix=path_prefix, masks=on_github)
        for secret in secrets:
            log.mask(secret)
        return [log]
    if log_format == "gitlab":
        return [GitLabLog(stream, color=wants_color(environ, is_tty=on_gitlab), verbose=verbose)]
    # Some CI systems give their jobs a terminal, and keep what is written to it as a log.
    live = stream.isatty() and environ.get("TERM") != "dumb" and not environ.get("CI")
    color = wants_color(environ, is_tty=stream.isatty())
    return [make_console(stream, is_tty=live, color=color, verbose=verbose)]
