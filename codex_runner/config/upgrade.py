"""A configuration file with the keys of today: each retired key is renamed where it stands, and nothing else changes.

Comments, order and layout stay, byte for byte, so no writer of TOML is needed.
"""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, NamedTuple

from codex_runner.config.layers import Layer, replace_retired
from codex_runner.config.positions import Positions
from codex_runner.config.problems import Problem, WrongKeysError, dotted
from codex_runner.config.retired import RETIRED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.config.retired import Retired


class Renamed(NamedTuple):
    """A key that is renamed, as TOML writes it, and its place in the old text: line and column from 1."""

    line: int
    column: int
    key: str
    successor: str


def upgraded(text: str, name: str, retired: Sequence[Retired] = RETIRED) -> tuple[str, tuple[Renamed, ...]]:
    """Return the text with the successors of its retired keys, and what is renamed. `text` is TOML.

    Raises WrongKeysError if a table has a key and its successor too. The new text means what codex-runner makes of the
    old one: this is checked.
    """
    layer = Layer(tomllib.loads(text), {(): name})
    replace_retired(layer, retired)
    if layer.problems:
        raise WrongKeysError(layer.problems)
    positions = Positions(text)
    renamed, new = [], text
    for path, span in reversed(positions.keys):
        if any(not isinstance(part, str) for part in path):
            continue
        one = next((one for one in retired if one.fits([str(part) for part in path])), None)
        if one is not None:
            new = f"{new[: span.start]}{dotted((one.successor,))}{new[span.end :]}"
            renamed.append(Renamed(*positions.line(span.start), dotted(path), one.successor))
    if _comparable(tomllib.loads(new)) != _comparable(layer.values):
        raise WrongKeysError([Problem(name, (), "its retired keys cannot be renamed safely; rename them by hand")])
    return new, tuple(reversed(renamed))


def _comparable(values: object) -> str:
    return json.dumps(values, sort_keys=True, default=repr)
