"""Messages about a wrong configuration: the file, the key, the value, and the nearest right one."""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, Any

from codex_runner.config.settings import JobSettings
from codex_runner.config.tables import CONFIG_FILE, Leaf, Table, below, known_keys, table
from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.key import Form

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic import ValidationError

    from codex_runner.config.tables import Node

    # By path: the origin of the value, as messages name it.
    Origins = Mapping[tuple[str, ...], str]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
OURS = "codex_runner"  # the error type whose message is ours, and is shown as it is
CONFIGURATION = "configuration"  # the origin of a problem that no single layer has
_MASK = "***"
_LONGEST_VALUE = 60
_PLACES_OF_SECRETS = frozenset((Form.SECRET, Form.SECRET_FILE, Form.SECRET_VARIABLE, Form.FREE_VARIABLE))
_WORDS = {
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "list_type": "must be an array",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "missing": "missing",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `origin` is the file, the variable or the option that has it; `value` is shown as it is."""

    origin: str
    path: tuple[str | int, ...]
    problem: str
    value: str | None = None

    def __str__(self) -> str:
        """Return the message, one line."""
        return ": ".join(part for part in (self.origin, self.told) if part)

    @property
    def told(self) -> str:
        """The message without its origin."""
        key = dotted(self.path)
        said = key if self.value is None else f"{key} = {self.value}"
        return ": ".join(part for part in (said, self.problem) if part)


class WrongKeysError(ConfigurationError):
    """Mistakes of a configuration: one line of the message for each."""

    def __init__(self, problems: Sequence[Problem], *, remedy: str | None = None) -> None:
        """Keep each mistake with its key."""
        super().__init__("\n".join(map(str, problems)), remedy=remedy)
        self.problems = tuple(problems)


def from_validation(error: ValidationError, layers: Sequence[Origins]) -> list[Problem]:
    """Translate the errors of pydantic. `layers` say where the values came from, the strongest first."""
    return [_translate(one, layers) for one in error.errors(include_url=False)]


def _translate(error: Any, layers: Sequence[Origins]) -> Problem:
    of_key = error["loc"][-1:] == ("[key]",)
    path = tuple(part for part in error["loc"] if part != "[key]")
    inner = (error.get("ctx") or {}).get("key")
    if inner is not None:  # found by the check of a whole table
        path = (*path, inner)
        return Problem(origin(path, layers), path, error["msg"])
    where = origin(path, layers)
    kind = error["type"]
    if kind == "extra_forbidden":
        # The value is not shown: an unknown key may hold anything, a token too.
        return Problem(where, path, unknown_key(str(path[-1]), known_keys(_node_at(path[:-1])) or (), path[:-1]))
    if kind == "missing" and path == ("version",):
        return Problem(where, path, "missing; the file begins with `version = 1`")
    problem = error["msg"] if kind == OURS else _WORDS.get(kind)
    if kind == "literal_error":
        problem = _one_of(path, error["input"])
    whole_table = kind == "missing" or of_key
    return Problem(where, path, problem or "is not valid", None if whole_table else _shown(path, error["input"]))


def origin(path: tuple[str | int, ...], layers: Sequence[Origins]) -> str:
    """Return the origin of the value at `path`, or of the nearest table above it. The strongest layer is first."""
    for layer in layers:
        for given, name in layer.items():
            shared = min(len(given), len(path))
            if given[:shared] == path[:shared]:
                return name
    return layers[-1].get((), CONFIGURATION)


def _one_of(path: Sequence[str | int], value: object) -> str:
    node = _node_at(path)
    allowed = list(node.choices) if isinstance(node, Leaf) else []
    return f"must be {', '.join(allowed[:-1])} or {allowed[-1]}{_did_you_mean(nearest(str(value), allowed))}"


def unknown_key(key: str, known: Iterable[str], path: Sequence[str | int]) -> str:
    """Return the message about an unknown `key` of the table `path`, with the key that was probably meant."""
    known = sorted(known)
    if path == ("jobs",):
        return f"no job of this name{_did_you_mean(nearest(key, known)) or '; the environment cannot make one'}"
    if guess := nearest(key, known):
        return f"unknown key{_did_you_mean(guess)}"
    if not path and (guess := nearest(key, table(JobSettings).keys)) == key:
        return f"unknown key; `{guess}` belongs in [jobs.NAME] or [defaults]"
    return f"unknown key; known here: {', '.join(known)}" if known else "unknown key"


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Return the one of `words` that `word` was probably meant to be."""
    by_lower = {known.lower().replace("-", "_"): known for known in words}
    found = difflib.get_close_matches(word.lower().replace("-", "_"), by_lower, n=1)
    return by_lower[found[0]] if found else None


def _did_you_mean(guess: str | None) -> str:
    return f"; did you mean `{guess}`?" if guess else ""


def dotted(path: Iterable[str | int]) -> str:
    """Write a path as TOML writes keys, with `[N]` for the place in an array, counted from 0."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            key = part if _BARE_KEY.fullmatch(part) else json.dumps(part, ensure_ascii=False)
            text += f".{key}" if text else key
    return text


def _shown(path: Sequence[str | int], value: object) -> str | None:
    """Return a value for a message, shortened. Masked if it may be a misplaced secret."""
    if _may_be_secret(path):
        return _MASK
    if not isinstance(value, str | int | float):
        return None
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _may_be_secret(path: Sequence[str | int]) -> bool:
    """Whether the value may be a secret: in codex's environment, or in place of a variable's name.

    True for a table that shows some of its keys, and for the keys that it does not show. True for each place of a
    secret, too: a webhook's address is one, and is easily given instead of its variable's name.
    """
    node: Node | None = CONFIG_FILE
    for key in path:
        under = below(node, key)
        if isinstance(node, Table) and node.masked and not isinstance(under, Table):
            return under is None or not node.keys[str(key)].written.shown
        node = under
    if isinstance(node, Leaf):
        return node.form in _PLACES_OF_SECRETS
    return isinstance(node, Table) and node.masked


def _node_at(path: Iterable[str | int]) -> Node | None:
    node: Node | None = CONFIG_FILE
    for key in path:
        node = below(node, key)
    return node
