"""Tables on stdout: for people on a terminal, and plain columns that a pipe can read."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from codex_runner.text.clean import clean_line
from codex_runner.text.color import wants_color

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_STYLES = {
    **dict.fromkeys(("ok", "valid", "passed", "succeeded"), "green"),
    **dict.fromkeys(("warning", "warned", "stale", "running", "unfinished"), "yellow"),
    **dict.fromkeys(("failed", "refused", "expired", "destroyed", "deleted"), "red"),
}


def show_table(headers: Sequence[str], rows: Sequence[Sequence[str]], environ: Mapping[str, str]) -> None:
    """Print a table. Cells may hold foreign text: it cannot move a cursor or command a CI system."""
    clean = [[clean_line(cell) for cell in row] for row in rows]
    if sys.stdout.isatty() and environ.get("TERM") != "dumb":
        _show_rich(headers, clean)
        return
    widths = [max(len(row[column]) for row in (headers, *clean)) for column in range(len(headers))]
    for row in (headers, *clean):
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def show_columns(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    environ: Mapping[str, str],
    *,
    right: Collection[str],
    colours: Mapping[str, Sequence[str]],
) -> None:
    """Print columns that never wrap, for rows that people copy from; numbers are aligned `right`.

    `colours` has a colour (`red`, `green`, `yellow`, or "" for none) for each row of the columns that it names.
    """
    clean = [[clean_line(cell) for cell in row] for row in rows]
    coloured = wants_color(environ, is_tty=sys.stdout.isatty())
    widths = [max(len(row[column]) for row in (headers, *clean)) for column in range(len(headers))]
    for number, row in enumerate((headers, *clean), start=-1):
        cells = []
        for header, cell, width in zip(headers, row, widths, strict=True):
            text = cell.rjust(width) if header in right else cell.ljust(width)
            if coloured and (number < 0 or header in colours):
                text = typer.style(text, bold=number < 0, fg=None if number < 0 else colours[header][number] or None)
            cells.append(text)
        typer.echo("  ".join(cells).rstrip(), color=coloured)


def _show_rich(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*headers, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        # Text, not markup: rich would read a cell's square brackets as a style.
        table.add_row(*(Text(cell, style=_STYLES.get(cell, ""), overflow="fold") for cell in row))
    Console().print(table)
