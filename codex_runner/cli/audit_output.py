"""An audit as a table: a line a fact, with its source."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from codex_runner.cli.table import show_columns
from codex_runner.text.counts import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_KNOWN = "not known"
_SECTIONS = ("who", "what", "token", "touched", "held", "logs")
_LONGEST = 100  # characters of a value; --json has the rest
_MOST = 20  # items of a list


def show(document: dict[str, Any]) -> None:
    """Print the document of an audit. All values are foreign text, cut to a line each."""
    rows: list[tuple[str, str, str]] = []
    for section in _SECTIONS:
        for name, fact in document[section].items():
            rows += _rows(f"{section}.{name}", fact)
    rows += [_file(each) for each in document["files"]]
    show_columns(
        ("FACT", "VALUE", "SOURCE"), rows, os.environ, right=(), colours={"VALUE": [_colour(row) for row in rows]}
    )


def _rows(name: str, fact: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    value, source = fact["value"], fact["source"]
    if source is None:
        yield name, NOT_KNOWN, ""
    elif isinstance(value, list):
        if not value:
            yield name, "none", source
        for each in value[:_MOST]:
            yield name, *_item(each, source)
        if len(value) > _MOST:
            yield name, f"and {counted(len(value) - _MOST, 'more item')}: --json has all", source
    else:
        yield name, _cut(_text(value)), source


def _item(each: Any, source: str) -> tuple[str, str]:
    if not isinstance(each, dict):
        return _cut(_text(each)), source
    said = {key: value for key, value in each.items() if key != "source" and value is not None}
    return _cut(", ".join(f"{key} {_text(value)}" for key, value in said.items())), each.get("source") or source


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def _file(each: dict[str, Any]) -> tuple[str, str, str]:
    match = each["match"]
    # A digest without a record to compare it with is a fact about the file as it is now, and no more.
    state = "as it is now" if match == NOT_KNOWN else match
    return (
        f"file {_cut(each['path'])}",
        f"{state}, sha256 {each['sha256'] or NOT_KNOWN}",
        each["source"] or each["path"],
    )


def _colour(row: tuple[str, str, str]) -> str:
    bad = ("differs,", "missing,", "unlisted,")
    return "red" if row[0].startswith("file ") and row[1].startswith(bad) else ""
