"""The record of a delivery in a pull request's body: a hidden block of ours, as an HTML comment.

    <!-- codex-runner:delivery 1 CHECKSUM {JSON} -->
    the text
    <!-- codex-runner:end -->

The block is the first line, since people and bots add to the end. It counts at the beginning or at the end of a body,
on a line of its own. No words of an agent can forge one: `delivery.neutral` leaves no comment in them. The checksum
finds a block that was changed by hand.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import fields

from codex_runner.domain.delivery import DeliveryRecord

VERSION = 1
_BLOCK = re.compile(r"<!-- codex-runner:delivery (\d+) ([0-9a-f]{16}) (\{.*\}) -->")
_END = "<!-- codex-runner:end -->"
_LONGEST = 8192  # characters of a block


def write(text: str, record: DeliveryRecord) -> str:
    """Return a body: the record's block, the text, and a line that ends it."""
    return f"{_block(record)}\n{text.strip(chr(10))}\n{_END}\n"


def read(body: str) -> DeliveryRecord | None:
    """Return the record of a body. Returns None if there is none, or none that is whole and of this version."""
    at = _place(_lines(body))
    return None if at is None else _parse(_lines(body)[at])


def replace(body: str, record: DeliveryRecord) -> str:
    """Return the body with another record, and all else as a person has left it."""
    lines = _lines(body)
    at = _place(lines)
    if at is None:
        return "\n".join([_block(record), *lines])
    return "\n".join([*lines[:at], _block(record), *lines[at + 1 :]])


def renew(body: str, text: str, record: DeliveryRecord) -> str:
    """Return the body with another record and another text, and all that others have added before and after it.

    If the line is gone that ends our text, nobody can tell what is ours: then the text stays too.
    """
    lines = _lines(body)
    at = _place(lines)
    if at is None:
        return write(text, record)
    end = next((each for each in range(at + 1, len(lines)) if lines[each].rstrip() == _END), None)
    if end is None:
        return replace(body, record)
    ours = write(text, record).rstrip("\n").split("\n")
    return "\n".join([*lines[:at], *ours, *lines[end + 1 :]])


def room(record: DeliveryRecord) -> str:
    """Return what `write` adds to a text, for counting."""
    return write("", record)


def _block(record: DeliveryRecord) -> str:
    data = {field.name: getattr(record, field.name) for field in fields(record)}
    # No `--` and no angle bracket: they would end the comment. No backslash with an `n` after it: in the options of a
    # push, GitLab makes a newline of the two.
    said = json.dumps(data, sort_keys=True, separators=(",", ":"))
    said = said.replace(r"\\", r"\u005c").replace(r"\n", r"\u000a")
    said = said.replace("<", r"\u003c").replace(">", r"\u003e").replace("-", r"\u002d")
    return f"<!-- codex-runner:delivery {VERSION} {_checksum(said)} {said} -->"


def _checksum(said: str) -> str:
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _lines(body: str) -> list[str]:
    return body.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _place(lines: list[str]) -> int | None:
    """Return the index of the block: the first line that is not blank, or the last."""
    filled = [at for at, line in enumerate(lines) if line.strip()]
    return next((at for at in (*filled[:1], *filled[-1:]) if _parse(lines[at]) is not None), None)


def _parse(line: str) -> DeliveryRecord | None:
    found = _BLOCK.fullmatch(line.rstrip()) if len(line) <= _LONGEST else None
    if found is None or int(found[1]) != VERSION or found[2] != _checksum(found[3]):
        return None
    try:
        data = json.loads(found[3])
    except (ValueError, RecursionError):
        return None
    known = {field.name: data[field.name] for field in fields(DeliveryRecord) if field.name in data}
    try:
        record = DeliveryRecord(**known)
    except TypeError:  # a field is missing
        return None
    return record if all(type(getattr(record, name)) is str for name in known) else None
