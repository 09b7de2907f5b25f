"""Writes the schema of codex-runner.toml, for editors: docs/codex-runner.schema.json. It comes from the same tables by
which codex-runner reads a file. `ci/docs` calls this.

It is looser than codex-runner: keys and types, without the rules of each value and of keys together. A key that another
source may give (the environment, `--set`, `[defaults]`) is not required.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from codex_runner.config.tables import CONFIG_FILE, Anything, Array, Leaf, Named, Table
from codex_runner.domain.key import Form

_DURATION = {"type": ["string", "number"], "description": "A duration: 90s, 10m, 1h30m, 1d, or a number of seconds."}
_TYPES: dict[Any, dict[str, Any]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": 1},
    float: _DURATION,
    Decimal: {"type": ["string", "number"], "description": "An amount, such as 1.25."},
    bool | tuple[str, ...]: {"type": ["boolean", "array"], "items": {"type": "string"}},
}
_FORMS: dict[Form, dict[str, Any]] = {
    Form.ANY_TEXT: {"type": "string"},
    Form.VERSION: {"const": 1},
    Form.DATE: {"type": "string", "description": "A date with a time zone, such as 2026-01-31T12:00:00Z."},
}
_TEXT = {"type": "string", "minLength": 1}


def schema() -> str:
    """Return the text of the file."""
    head = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "codex-runner.toml, version 1",
        "description": "The configuration of codex-runner: docs/configuration.md explains each key.",
    }
    return json.dumps({**head, **_of(CONFIG_FILE), "required": ["version"]}, indent=2) + "\n"


def _of(node: object, *, whole: bool = False) -> dict[str, Any]:
    """Return the schema of a node. `whole`: no other source adds to it, so what is required has to be there."""
    match node:
        case Table():
            required = [name for name, key in node.keys.items() if whole and key.required]
            keys = {name: _of(node.node(name), whole=whole) for name in node.keys}
            more = {"required": required} if required else {}
            return {"type": "object", "properties": keys, "additionalProperties": False, **more}
        case Named(each):
            return {"type": "object", "additionalProperties": _of(each, whole=whole)}
        case Array(each):
            return {"type": "array", "items": _of(each, whole=True)}
        case Leaf(_, _, choices) if choices:
            return {"enum": list(choices)}
        case Leaf(hint, form, _):
            return _FORMS.get(form) or _TYPES.get(hint, _TEXT)
        case Anything():
            return {}
        case _:
            raise TypeError(node)


if __name__ == "__main__":
    (Path(__file__).parents[1] / "docs" / "codex-runner.schema.json").write_text(schema(), encoding="utf-8")
