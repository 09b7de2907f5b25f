"""The JSON Schema of codex-runner.toml, for editors, from the same tables by which codex-runner reads a file.

`codex-runner config schema` prints it, `codex-runner init` writes it beside the file, and `ci/docs` writes
docs/codex-runner.schema.json. It is of draft 7, which the editors' checkers of TOML know.

It is looser than codex-runner: keys and types, without the rules of each value and of keys together. A key that another
source may give (the environment, `--set`, `[defaults]`) is not required.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final

from codex_runner import __version__
from codex_runner.config.tables import CONFIG_FILE, Anything, Array, Leaf, Named, Table
from codex_runner.domain.key import Form

SCHEMA_NAME: Final = "codex-runner.schema.json"
"""The name of the file that `init` writes beside codex-runner.toml, whose first line names it."""
TITLE: Final = "codex-runner.toml, version 1"
"""The schema's title, by which a file is known as written by codex-runner."""

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
    """Return the text of the file. Its `$comment` names the version that wrote it."""
    head = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": f"Written by codex-runner {__version__}: `codex-runner config schema`",
        "title": TITLE,
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
