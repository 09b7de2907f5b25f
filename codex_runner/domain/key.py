"""Configuration keys, as metadata of the dataclass fields that they set.

A field is a key of the same name, and its type is the key's type; `key` adds what differs. The schema, the messages,
the build of the values, the agent's denied files and the hidden variables derive from this.
"""

from __future__ import annotations

from dataclasses import fields
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from dataclasses import Field

_METADATA: Final = "codex_runner.key"


class Form(StrEnum):
    """The form of a value, beyond its type: of each item of an array, of each name of named tables."""

    PLAIN = "plain"  # of a text: not empty
    ANY_TEXT = "any text"  # may be empty
    VERSION = "version"
    # Files of the runner's machine. A relative one starts at the configuration's folder.
    FILE = "file"
    SECRET_FILE = "secret file"  # noqa: S105 - a form's name, like the next one
    # Names of environment variables. A FREE_VARIABLE must be none that shells keep for themselves.
    SECRET_VARIABLE = "secret variable"  # noqa: S105
    FREE_VARIABLE = "free variable"
    SECRET = "secret"  # noqa: S105 - as above; the secret itself, not its place
    URL = "URL"
    DATE = "date"
    JOB = "job"
    HOST = "host"
    ENDING = "ending"
    GLOB = "glob"  # below `cwd`
    RULE = "rule"  # a glob from the repository's top
    REPOSITORY = "repository"
    REF = "ref"
    BRANCH = "branch"
    BRANCH_TEMPLATE = "branch template"  # with {{NAMES}} in it
    AUTHOR = "author"  # `Name <address>`
    AN_HOUR = "an hour"  # a duration of an hour at least
    LOGIN = "login"  # a table: `method`, and the keys of that method
    NO_KEY = "no key"  # a field that is no key
    SPREAD = "spread"  # the keys of its class are keys of the table around it


class Key(NamedTuple):
    """How a field is written in the configuration.

    `name` is "" if the key has the field's name. `choices` are the only values. `shown`: messages may quote the value.
    In a table with such a key, messages mask all other values, since people may have put a secret there.
    """

    name: str = ""
    form: Form = Form.PLAIN
    choices: tuple[str, ...] = ()
    shown: bool = False


_PLAIN: Final = Key()


def key(
    name: str = "", form: Form = Form.PLAIN, *, choices: tuple[str, ...] = (), shown: bool = False
) -> Mapping[str, Any]:
    """Make the metadata of a field: see `Key`."""
    return MappingProxyType({_METADATA: Key(name, form, choices, shown)})


SECRET_FILE: Final = key(form=Form.SECRET_FILE)
"""A file that the runner reads a secret from: absolute, and denied to the agent."""
SECRET_VARIABLE: Final = key(form=Form.SECRET_VARIABLE)
"""The name of a variable that the runner reads a secret from: programs that it starts do not get that variable."""
FILE: Final = key(form=Form.FILE)
SHOWN: Final = key(shown=True)
NO_KEY: Final = key(form=Form.NO_KEY)
SPREAD: Final = key(form=Form.SPREAD)


def key_of(field: Field[Any]) -> Key:
    """Return how the configuration writes this field."""
    found: Key = field.metadata.get(_METADATA, _PLAIN)
    return found


def secret_files(*holders: object) -> Iterator[str]:
    """Yield the files that these dataclass instances name as the place of a secret."""
    return _named(Form.SECRET_FILE, holders)


def secret_variables(*holders: object) -> Iterator[str]:
    """Yield the variables that these dataclass instances name as the place of a secret."""
    return _named(Form.SECRET_VARIABLE, holders)


def _named(form: Form, holders: tuple[Any, ...]) -> Iterator[str]:
    for holder in holders:
        for field in fields(holder):
            if key_of(field).form is form and (value := getattr(holder, field.name)):
                yield value
