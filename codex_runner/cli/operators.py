"""What the commands for Vault and its tokens share: their configuration and their questions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from codex_runner.cli.options import configuration
from codex_runner.config.loading import find
from codex_runner.domain.errors import ConfigurationError, UsageError
from codex_runner.domain.exit_code import ExitCode
from codex_runner.text.durations import parse_duration

if TYPE_CHECKING:
    from codex_runner.config import Config


def optional_config(config: Path | None, settings: list[str] | None) -> Config | None:
    """Load the configuration if there is one: VAULT_ADDR is enough for these commands."""
    if config is None and not settings:
        try:
            find(Path.cwd())
        except ConfigurationError:
            return None
    return configuration(config, settings or [])


def duration(text: str, option: str) -> float:
    """Parse a duration, in seconds. Raises UsageError, which names the option."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option} {text!r}: {error}.", remedy="Write 7d, 12h or 30m.") from None


def confirm(question: str, *, yes: bool) -> None:
    """Ask for confirmation on a terminal. Raises UsageError if stdin is not one and `yes` is not given."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("Confirmation is required, and stdin is not a terminal.", remedy="Give --yes.")
    try:
        meant = typer.confirm(question, err=True)
    except typer.Abort:  # the terminal has gone, or nothing more comes from it
        meant = False
    if not meant:
        raise typer.Exit(int(ExitCode.INTERRUPTED))
