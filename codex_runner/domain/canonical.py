"""Canonical JSON of settings: what it says does not change if a later version adds a field with a default."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any

from codex_runner.domain.secret import Secret


def canonical(value: object) -> str:
    """Return settings as JSON with sorted keys, without the fields that have their default.

    Raises TypeError for a value that is no setting: a Secret, for one, is never written.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))


def _plain(value: Any) -> Any:  # noqa: PLR0911 - one return a shape
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if is_dataclass(value) and not isinstance(value, Secret):
        said = {each.name: getattr(value, each.name) for each in fields(value) if not _is_default(each, value)}
        return {"": type(value).__name__, **{name: _plain(each) for name, each in said.items()}}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(_plain(each) for each in value)
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    raise TypeError(f"{type(value).__name__} is no setting")


def _is_default(field: Any, value: Any) -> bool:
    if field.default is not MISSING:
        return bool(getattr(value, field.name) == field.default)
    if field.default_factory is not MISSING:
        return bool(getattr(value, field.name) == field.default_factory())
    return False
