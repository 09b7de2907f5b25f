"""What is wrong with a configuration, in words for people: where, which key, which value, and the nearest right one."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from codex_runner.config import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic import ValidationError

    from codex_runner.config.layers import Layer

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
CONFIGURATION = "configuration"  # the origin of what no place in particular said
_MASK = "***"
_LONGEST_VALUE = 60
# In these tables only the values of these keys are shown.
_SHOWN = {
    "codex": ("path", "model"),
    "workspace": ("ref", "keep"),
    "auth": ("method", "role", "mount", "audience", "username"),
    "credential": (
        *("kind", "source", "mount", "path", "workflow", "min_ttl", "warn_ttl", "max_age"),
        *("issued_at", "expires_at", "allow_unexpiring", "allow_batch"),
    ),
    "vault": (
        *("auth", "namespace", "ca_file"),
        *("connect_timeout", "request_timeout", "retry_deadline", "sealed_deadline", "revoke_deadline"),
    ),
}
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
    """One thing that is wrong. `origin` is the file, the variable or the option that said it."""

    origin: str
    path: tuple[str | int, ...]
    problem: str
    value: str | None = None

    def __str__(self) -> str:
        """Say it in one line."""
        key = dotted(self.path)
        said = key if self.value is None else f"{key} = {self.value}"
        return ": ".join(part for part in (self.origin, said, self.problem) if part)


def from_validation(error: ValidationError, layers: Sequence[Layer]) -> list[Problem]:
    """Say what pydantic found. `layers` are the places that the values came from, the strongest first."""
    return [_translate(one, layers) for one in error.errors(include_url=False)]


def _translate(error: Any, layers: Sequence[Layer]) -> Problem:
    of_key = error["loc"][-1:] == ("[key]",)
    path = tuple(part for part in error["loc"] if part != "[key]")
    inner = (error.get("ctx") or {}).get("key")
    if inner is not None:  # found by looking at a whole table
        path = (*path, inner)
        return Problem(origin(path, layers), path, error["msg"])
    where = origin(path, layers)
    kind = error["type"]
    if kind == "extra_forbidden":
        node: Any = schema.Settings
        for key in path[:-1]:
            node = schema.below(node, str(key)) if isinstance(key, str) else schema.bare(node).__args__[0]
        # The value is not shown: a key that nobody knows may hold anything, a token too.
        return Problem(where, path, unknown_key(str(path[-1]), schema.fields_of(node) or (), path[:-1]))
    if kind == "missing" and path == ("version",):
        return Problem(where, path, "missing; the file begins with `version = 1`")
    problem = error["msg"] if kind == schema.OURS else _WORDS.get(kind)
    if kind == "literal_error":
        problem = _one_of(path, error["input"])
    whole_table = kind == "missing" or of_key
    return Problem(where, path, problem or "is not valid", None if whole_table else _shown(path, error["input"]))


def origin(path: tuple[str | int, ...], layers: Sequence[Layer]) -> str:
    """Say which place gave what stands at `path`, or the nearest table above it. `layers` begin with the strongest."""
    for layer in layers:
        for given, name in layer.origins.items():
            shared = min(len(given), len(path))
            if given[:shared] == path[:shared]:
                return name
    return layers[-1].origins.get((), CONFIGURATION)


def _one_of(path: Sequence[str | int], value: object) -> str:
    node: Any = schema.Settings
    for key in path:
        node = schema.below(node, str(key))
    allowed = [str(choice) for choice in schema.bare(node).__args__]
    return f"must be {', '.join(allowed[:-1])} or {allowed[-1]}{_did_you_mean(nearest(str(value), allowed))}"


def unknown_key(key: str, known: Iterable[str], path: Sequence[str | int]) -> str:
    """Say that `key` is not known in the table `path`, and which one was probably meant."""
    known = sorted(known)
    if path == ("jobs",):
        return f"no job of this name{_did_you_mean(nearest(key, known)) or '; the environment cannot make one'}"
    if guess := nearest(key, known):
        return f"unknown key{_did_you_mean(guess)}"
    if not path and (guess := nearest(key, schema.JobSection.model_fields)) == key:
        return f"unknown key; `{guess}` belongs into [jobs.NAME] or [defaults]"
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
    """Show a value, shortened; masked where a secret may stand, be it in place of what should stand there."""
    if _may_be_secret(path):
        return _MASK
    if not isinstance(value, str | int | float):
        return None
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _may_be_secret(path: Sequence[str | int]) -> bool:
    """Whether people put secrets here: codex's environment and headers, names of variables, addresses with a user."""
    tables = path[{"jobs": 2, "hosts": 2, "defaults": 1}.get(str(path[0]), 0) :] if path else ()
    for table, shown in _SHOWN.items():
        if table in tables and path[0] != "hosts":
            after = tables[tables.index(table) + 1 :]
            return not after or after[0] not in shown
    return False
