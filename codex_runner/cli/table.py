"""Tables on stdout: for people on a terminal, and plain columns that a pipe can read."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from codex_runner.sinks.foreign import clean_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_STYLES = {
    **dict.fromkeys(("ok", "valid", "passed", "succeeded"), "green"),
    **dict.fromkeys(("warning", "warned", "stale", "running", "unfinished"), "yellow"),
    **dict.fromkeys(("failed", "refused", "expired", "destroyed", "deleted"), "red"),
}


def show_table(headers: Sequence[str], rows: Sequence[Sequence[str]], environ: Mapping[str, str]) -> None:
    """Print a table. What its cells hold may come from anywhere: it cannot move a cursor or command a CI system."""
    clean = [[clean_line(cell) for cell in row] for row in rows]
    if sys.stdout.isatty() and environ.get("TERM") != "dumb":
        _show_rich(headers, clean)
        return
    widths = [max(len(row[column]) for row in (headers, *clean)) for column in range(len(headers))]
    for row in (headers, *clean):
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _show_rich(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - a terminal's alone
    from rich.table import Table  # noqa: PLC0415 - the same
    from rich.text import Text  # noqa: PLC0415 - the same

    table = Table(*headers, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        # Text, not markup: square brackets of a cell are square brackets.
        table.add_row(*(Text(cell, style=_STYLES.get(cell, ""), overflow="fold") for cell in row))
    Console().print(table)
