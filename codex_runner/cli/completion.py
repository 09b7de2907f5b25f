"""Completion of jobs, hosts and run ids by the shell. Silent if something is wrong, and fast: nothing is checked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer  # noqa: TC002 - typer reads annotations

from codex_runner.app import completion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def job_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the jobs of the configuration."""
    return _beginning(incomplete, lambda: completion.jobs(_given(ctx, "config"), Path.cwd()))


def host_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return `local`, and the aliases of OpenSSH's configuration."""
    return _beginning(incomplete, lambda: completion.hosts(_given(ctx, "config"), Path.cwd()))


def run_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return `last`, and the ids of the newest runs."""
    config, output = _given(ctx, "config"), _given(ctx, "output")
    return _beginning(incomplete, lambda: completion.runs(config, output, Path.cwd(), os.environ))


def _given(ctx: typer.Context, option: str) -> Path | None:
    value = ctx.params.get(option)
    return Path(value) if value else None


def _beginning(incomplete: str, names: Callable[[], Iterable[str]]) -> list[str]:
    """Return the names that begin with what is typed. None of them if anything fails: the user is amid a line."""
    try:
        return [name for name in names() if name.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - the command itself reports what is wrong, once it is called
        return []
