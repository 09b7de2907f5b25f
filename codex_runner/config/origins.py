"""The origin of each value of a job: which layer gives it, in which table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from codex_runner.config import layers
from codex_runner.config.loading import read_file
from codex_runner.config.positions import Positions
from codex_runner.config.problems import origin
from codex_runner.config.retired import RETIRED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from codex_runner.config.layers import Layer

    Key = tuple[str, ...]


class ValueOrigin(NamedTuple):
    """Where a value comes from. `source` is file, environment, --set or default.

    `place` is the file with line and column, the variable, or "".
    """

    source: str
    place: str = ""


DEFAULT = ValueOrigin("default")
# As `config.loading` completes a job: the tables that it merges with those of `[defaults]`, and the keys of which one
# replaces the other.
_MERGED = frozenset(("codex", "credential", "delivery"))
_PROMPTS = ("prompt", "prompt_file")


class Origins:
    """The layers of a configuration that `load` has accepted."""

    def __init__(self, file: Path, start: Path, environ: Mapping[str, str], overrides: Sequence[str] = ()) -> None:
        """Read the layers again: `load` keeps only what they come to."""
        given = read_file(file, start)
        self._name = given.origins.get((), str(file))
        self._positions = Positions(file.read_bytes().decode("utf-8-sig"))
        set_ = layers.from_overrides(overrides)
        variables = layers.from_environment(environ, given, set_)
        self._layers = (set_, variables, given)
        for layer in self._layers:
            layers.replace_retired(layer, RETIRED)
        layers.keep_one_prompt(self._layers)
        layers.keep_one_login(self._layers)

    def of(self, job: str, key: Key, host: str = "") -> ValueOrigin:
        """Return the origin of a key of `job`, which runs on `host`."""
        for path in _tables(job, key, host):
            if path[0] == "defaults" and self._replaced(job, key[0]):
                continue
            for layer in self._layers:
                if _has(layer.values, path):
                    return self._origin(layer, path)
        return DEFAULT

    def _replaced(self, job: str, key: str) -> bool:
        """Whether the job's own table or value replaces that of `[defaults]` as a whole."""
        pair = _PROMPTS if key in _PROMPTS else () if key in _MERGED else (key,)
        return any(_has(layer.values, ("jobs", job, each)) for layer in self._layers for each in pair)

    def _origin(self, layer: Layer, path: Key) -> ValueOrigin:
        name = origin(path, [layer.origins])
        if layer is self._layers[-1]:
            line, column = self._positions.of(path)
            return ValueOrigin("file", f"{self._name}:{line}:{column}")
        kind, _, variable = name.partition(" ")
        return ValueOrigin(kind, variable)


def _tables(job: str, key: Key, host: str) -> Iterator[Key]:
    """Yield the paths at which a key of a job may be given, the strongest first."""
    for table in (("jobs", job), ("defaults",)):
        if key == ("codex", "model"):
            yield (*table, "model")
        yield (*table, *key)
    if key == ("codex", "path"):
        yield ("hosts", host, "codex")
    if key[0] == "codex":
        yield key


def _has(values: Any, path: Key) -> bool:
    for part in path:
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True
