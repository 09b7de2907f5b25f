"""Builds the domain's values from checked tables. The inverse of `config.tables`: both read the same metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, cast, get_args, get_origin

from codex_runner.config.paths import below
from codex_runner.config.tables import METHOD, hint_of
from codex_runner.domain.credential import AUTH_METHODS
from codex_runner.domain.host import Host
from codex_runner.domain.key import Form, Key, key_of
from codex_runner.domain.secret import Secret

_T = TypeVar("_T")
_FILES = frozenset((Form.FILE, Form.SECRET_FILE))
_PLAIN = Key()


def build(cls: type[_T], table: Mapping[str, Any], root: Path) -> _T:
    """Build a `cls` from a checked table. Keys that the table lacks get the defaults of `cls`.

    Files come out absolute: a relative one starts at `root`. A field that is not a key may be given by its own name.
    """
    values: dict[str, Any] = {}
    for field in fields(cast("Any", cls)):
        written = key_of(field)
        name = written.name or field.name
        if written.form is Form.SPREAD:
            values[field.name] = build(hint_of(cls, field.name), table, root)
        elif name in table:
            values[field.name] = _value(hint_of(cls, field.name), written, table[name], root)
    return cls(**values)


def _value(hint: Any, written: Key, value: Any, root: Path) -> Any:  # noqa: PLR0911 - one return a shape
    if written.form is Form.LOGIN:
        keys = {key: below for key, below in value.items() if key != METHOD}
        return build(AUTH_METHODS[value[METHOD]], keys, root)
    if written.form in _FILES:
        return str(below(root, value))
    if hint is Path:
        return below(root, value)
    if is_dataclass(hint):
        return build(cast("type", hint), value, root)
    if get_origin(hint) is Mapping:
        return MappingProxyType({name: _named(get_args(hint)[1], name, each, root) for name, each in value.items()})
    if isinstance(value, list) and hint is not Any:
        each_hint = get_args(hint)[0]
        return tuple(_value(each_hint, written, each, root) for each in value)
    if isinstance(hint, type) and issubclass(hint, (Enum, Host)):
        return hint(value)
    return value


def _named(hint: Any, name: str, value: Any, root: Path) -> Any:
    return Secret(name, value) if hint is Secret else _value(hint, _PLAIN, value, root)
