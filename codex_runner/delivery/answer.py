"""An answer of a forge, and what is read from it. What is not understood is an error, never a success."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from codex_runner.dataclass import dataclass
from codex_runner.text.dates import parse_date

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


class MalformedError(Exception):
    """An answer is not understood. The message completes "its answer is not understood: "."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. The names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def document(self) -> Any:
        """The answer's JSON, None if it holds none."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return None

    @property
    def words(self) -> str:
        """The forge's own words for a failure: GitHub's and GitLab's `message`, `error` and `errors`. "" for a page."""
        document = self.document
        if not isinstance(document, dict):
            return ""
        parts: list[str] = []
        for name in ("message", "error", "error_description", "errors"):
            parts += _texts(document.get(name))
        return "; ".join(dict.fromkeys(part for part in parts if part))


def _texts(value: Any, depth: int = 3) -> list[str]:
    """Return the texts in a value. GitLab nests them by field, GitHub lists them with a field and a code."""
    match value:
        case str():
            texts = [value]
        case {"message": str(message)}:
            texts = [message]
        case {"code": code}:
            texts = [" ".join(str(value[name]) for name in ("resource", "field") if name in value) + f" {code}"]
        case list() if depth:
            texts = [text for each in value for text in _texts(each, depth - 1)]
        case dict() if depth:
            texts = [f"{name}: {text}" for name, each in value.items() for text in _texts(each, depth - 1)]
        case _:
            texts = []
    return texts


def take(document: Any, kind: type[T], *path: str) -> T:
    """Return the value at `path` in nested objects. Raises MalformedError if it is missing, or is not a `kind`."""
    value = document
    for name in path:
        if not isinstance(value, dict) or name not in value:
            raise MalformedError(f"it has no `{'.'.join(path)}`")
        value = value[name]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        what = f"its `{'.'.join(path)}`" if path else "it"
        raise MalformedError(f"{what} is not {_KINDS.get(kind, kind.__name__)}")
    return value


_KINDS: dict[type, str] = {dict: "an object", list: "a list", str: "a text", int: "a number", bool: "true or false"}


def take_link(document: Any, *path: str) -> str:
    """Return the address of a page, which reports link to. Raises MalformedError as `take` does."""
    link = take(document, str, *path)
    if not link.startswith(("https://", "http://")):
        raise MalformedError(f"its `{'.'.join(path)}` is no address of a page")
    return link


def take_text(document: Any, *path: str) -> str:
    """Return the text at `path`, "" if it is null. Raises MalformedError as `take` does."""
    value = take(document, object, *path)
    return "" if value is None else take(document, str, *path)


def take_date(document: Any, *path: str) -> float | None:
    """Return the date at `path` in seconds since the epoch, None if it is null. Raises as `take` does."""
    text = take_text(document, *path)
    try:
        return parse_date(text) if text else None
    except (ValueError, OverflowError):
        raise MalformedError(f"its `{'.'.join(path)}` is no date") from None
