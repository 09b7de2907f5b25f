"""The tables of the configuration and their keys, derived from the domain's dataclasses: see `domain.key`.

A class is read when a key of its table is first asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, field, fields, is_dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path  # noqa: TC003 - the types of fields are read at run time, as those below
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Union, get_args, get_origin, get_type_hints

from codex_runner.config.settings import AuditSettings, HostSettings, JobSettings, NotifySettings  # noqa: TC001
from codex_runner.dataclass import dataclass
from codex_runner.domain.credential import AUTH_METHODS, VaultSettings
from codex_runner.domain.host import Host
from codex_runner.domain.job import CodexSettings  # noqa: TC001
from codex_runner.domain.key import Form, Key, key, key_of
from codex_runner.domain.policy import Price  # noqa: TC001
from codex_runner.domain.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


class Leaf(NamedTuple):
    """One value, of the Python type `hint` and of the `form`; with `choices` one of these."""

    hint: Any
    form: Form = Form.PLAIN
    choices: tuple[str, ...] = ()


class Array(NamedTuple):
    """An array of `each`."""

    each: Node


class Named(NamedTuple):
    """Any number of `each` by name. A name is of the `form`."""

    each: Node
    form: Form = Form.PLAIN


class Anything:
    """Any value, and any key below it."""


ANYTHING: Final = Anything()


class TableKey(NamedTuple):
    """A key of a table: the field `name` of `owner` that it sets, and how it is written."""

    owner: type
    name: str
    written: Key
    required: bool

    @property
    def node(self) -> Node:
        """The node under the key."""
        return _node(hint_of(self.owner, self.name), self.written)


class Table:
    """A table whose keys are the fields of `cls`, those of a field that is spread among them."""

    def __init__(self, cls: type) -> None:
        """Reads nothing."""
        self.cls = cls
        self._keys: dict[str, TableKey] | None = None

    @property
    def keys(self) -> Mapping[str, TableKey]:
        """The keys, in the order of the fields."""
        if self._keys is None:
            self._keys = dict(self._read())
        return self._keys

    def _read(self) -> Iterator[tuple[str, TableKey]]:
        yield from keys_of_class(self.cls)

    def node(self, name: str) -> Node | None:
        """Return the node under the key `name`. Returns None if the table has no such key."""
        found = self.keys.get(name)
        return None if found is None else found.node

    @property
    def masked(self) -> bool:
        """Whether messages mask the values of keys that are not shown."""
        return any(each.written.shown for each in self.keys.values())


class LoginTable(Table):
    """`vault.auth`: `method` and the keys of all methods. `config.credentials` says which of them fit together."""

    def _read(self) -> Iterator[tuple[str, TableKey]]:
        yield METHOD, TableKey(self.cls, "auth", Key(shown=True), required=True)
        for method in AUTH_METHODS.values():
            for name, each in keys_of_class(method):
                yield name, each._replace(required=False)

    def node(self, name: str) -> Node | None:
        """See Table."""
        return Leaf(str, choices=tuple(AUTH_METHODS)) if name == METHOD else super().node(name)


METHOD: Final = "method"
Node = Leaf | Array | Named | Table | Anything


@dataclass(slots=True, repr=False, eq=False)
class Junit:
    """`[junit]`."""

    guards: bool = True


@dataclass(slots=True, repr=False, eq=False)
class Metrics:
    """`[metrics]`."""

    folder: Path


@dataclass(slots=True, repr=False, eq=False)
class ConfigFile:
    """The whole file, as it is written. `config.loading` makes a `Config` of it."""

    version: int = field(metadata=key(form=Form.VERSION))
    output_dir: Path | None = None
    ledger: Path | None = None
    ssh_config: Path | None = None
    codex: CodexSettings | None = None
    vault: VaultSettings | None = None
    junit: Junit | None = None
    audit: AuditSettings | None = None
    notify: tuple[NotifySettings, ...] | None = None
    metrics: Metrics | None = None
    prices: Mapping[str, Price] | None = None
    defaults: JobSettings | None = None
    jobs: Mapping[str, JobSettings] | None = field(default=None, metadata=key(form=Form.JOB))
    hosts: Mapping[str, HostSettings] | None = field(default=None, metadata=key(form=Form.HOST))


def keys_of_class(cls: type) -> Iterator[tuple[str, TableKey]]:
    """Yield the keys that set the fields of `cls`, each with its field."""
    for each in fields(cls):
        written = key_of(each)
        if written.form is Form.SPREAD:
            yield from keys_of_class(hint_of(cls, each.name))
        elif written.form is not Form.NO_KEY:
            required = each.default is MISSING and each.default_factory is MISSING
            yield written.name or each.name, TableKey(cls, each.name, written, required)


def hint_of(cls: type, name: str) -> Any:
    """Return the type of a field of `cls`, without `| None`."""
    hint = _hints(cls)[name]
    if get_origin(hint) in {Union, UnionType}:
        arms = [arm for arm in get_args(hint) if arm is not NoneType]
        return arms[0] if len(arms) == 1 else Union[tuple(arms)]  # noqa: UP007 - of arms that are known at run time
    return hint


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


@cache
def table(cls: type) -> Table:
    """Return the table whose keys are the fields of `cls`."""
    return Table(cls)


def _node(hint: Any, written: Key) -> Node:  # noqa: PLR0911 - one return a kind of node
    if written.form is Form.LOGIN:
        return LoginTable(VaultSettings)
    if get_origin(hint) is tuple:
        return Array(_node(get_args(hint)[0], written))
    if get_origin(hint) is Mapping:
        return Named(_node(get_args(hint)[1], _PLAIN), written.form)
    if hint is Any:
        return ANYTHING
    if hint is Secret:
        return Leaf(str, Form.SECRET)
    if isinstance(hint, type) and is_dataclass(hint):
        return table(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return Leaf(str, choices=tuple(hint))
    if hint is Host:
        return Leaf(str, written.form)
    return Leaf(hint, written.form, written.choices)


_PLAIN = Key()
CONFIG_FILE: Final = Table(ConfigFile)
"""The whole file."""


def below(node: Node | None, name: str | int) -> Node | None:
    """Return the node under a key of `node`, or at an index of an array. Returns None if there is none."""
    match node:
        case Table():
            return node.node(str(name))
        case Named() | Array():
            return node.each
        case Anything():
            return node
        case _:
            return None


def known_keys(node: Node | None) -> Collection[str] | None:
    """Return the keys of a table whose keys are fixed. Returns None for anything else."""
    return node.keys.keys() if isinstance(node, Table) else None


def is_text(node: Node | None) -> bool:
    """Whether a value is a string."""
    return isinstance(node, Leaf) and node.hint is str
