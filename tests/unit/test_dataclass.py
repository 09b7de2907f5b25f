"""Our dataclass and the standard library's are one: the same classes through both, and the same answers."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import pickle
import pkgutil
import re
import threading
import typing
from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import KW_ONLY, InitVar, field
from typing import Any, ClassVar, Generic, TypeVar

import pytest

import codex_runner
from codex_runner.dataclass import dataclass

T = TypeVar("T")
Aliased = ClassVar


def ones():
    return [1]


def shapes(dataclass) -> dict[str, type]:
    """Return the same classes, made by one decorator or the other."""

    @dataclass(slots=True)
    class Plain:
        """Has a docstring."""

        x: int
        y: str = "y"

        def double(self):
            return self.x * 2

        @property
        def shown(self):
            return f"<{self.x}>"

    @dataclass(frozen=True, slots=True)
    class Frozen:
        x: int
        y: list[int] = field(default_factory=list, repr=False, compare=False, metadata={"secret": True})
        kind: ClassVar[str] = "frozen"
        other: typing.ClassVar = 3

    @dataclass(frozen=True, slots=True)
    class Heir(Frozen):
        z: int = 0
        x: int = 7

    @dataclass(frozen=True, slots=True)
    class Grandchild(Heir):  # noqa: PLW1641 - what becomes of its hash is asked
        def __eq__(self, other):
            return NotImplemented

    class Undecorated(Frozen):
        """It has a `__dict__`, and what it adds may change."""

        extra = 1

    @dataclass(frozen=True, slots=True)
    class ParentFirst(Plain if False else Frozen):
        w: int = 1

        def __post_init__(self):
            object.__setattr__(self, "w", self.w + self.x)

    @dataclass(order=True, slots=True)
    class Ordered:
        x: int
        y: int = field(default=1, compare=False)

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Named:
        x: int = 1
        y: int

    @dataclass(slots=True)
    class PartlyNamed:
        x: int
        _: KW_ONLY
        y: int = 2

    @dataclass(slots=True)
    class Given:
        x: int
        seed: InitVar[int] = 5
        made: int = field(init=False)
        fixed: int = field(init=False, default=9)

        def __post_init__(self, seed):
            self.made = self.x + seed

    @dataclass(slots=True)
    class HeirOfGiven(Given):
        more: list[int] = field(default_factory=list, init=False)

        def __post_init__(self, seed):
            self.made = self.fixed + seed

    @dataclass(slots=True, kw_only=True)
    class MadeByItself:
        x: list[int] = field(default_factory=list)
        y: list[int] = field(default_factory=ones, init=False)
        z: int = field(default=2, init=False)
        self_: int = field(default=3, kw_only=False)

    @dataclass(frozen=True, slots=True)
    class Box(Generic[T]):
        content: T

    @dataclass(frozen=True, slots=True)
    class IntBox(Box[int]):
        size: int = 1

    @dataclass(slots=True)
    class OwnMethods:
        x: int

        def __repr__(self):
            return "own"

        def __eq__(self, other):
            return isinstance(other, OwnMethods)

        def __hash__(self):
            return 5

    @dataclass(slots=True, unsafe_hash=True)
    class UnsafeHash:
        x: int

    @dataclass(slots=True, eq=False)
    class ByIdentity:
        x: int

    @dataclass(slots=True, init=False, repr=False, match_args=False)
    class Less:
        x: int = 3

        def __init__(self):
            self.x = 4

    class Base(ABC):
        __slots__ = ("slot",)

        @abstractmethod
        def do(self): ...

    @dataclass(slots=True)
    class Abstract(Base):
        x: int = 1

    @dataclass(slots=True)
    class Concrete(Abstract):
        slot: int = 2

        def do(self):
            return self.slot

    @dataclass(frozen=True, slots=True)
    class Recursive:
        self: Any
        inner: Recursive | None = None

    @dataclass(frozen=True, slots=True)
    class Empty:
        pass

    return {name: value for name, value in locals().items() if isinstance(value, type)}


OURS, THEIRS = shapes(dataclass), shapes(dataclasses.dataclass)
MAKE = {"Plain": (1,), "Frozen": (1, [2]), "Heir": (), "Grandchild": (), "Undecorated": (1,), "ParentFirst": (1,)}
MAKE |= {
    "Ordered": (1,),
    "PartlyNamed": (1,),
    "Given": (1,),
    "HeirOfGiven": (1,),
    "Box": ("b",),
    "IntBox": (3, 4),
    "OwnMethods": (1,),
}
MAKE |= {"UnsafeHash": (1,), "ByIdentity": (1,), "Recursive": (1, None)}


def one(cls, *more):
    return cls(y=4) if cls.__name__ == "Named" else cls(*MAKE.get(cls.__name__, ()), *more)


def later(change):
    """Return what a change of an instance comes to, and the instance after it."""

    def look(cls):
        value = one(cls)
        return change(value), repr(value)

    return look


def match(cls):
    match one(cls):
        case cls(first):
            return first


def hashes(cls):
    a, b = one(cls), one(cls)  # both are kept: another one at the same address has the same
    return hash(a) == hash(b), issubclass(cls, Hashable), cls.__hash__ is None


LOOKS = {
    "an instance": lambda cls: [(f.name, getattr(one(cls), f.name)) for f in dataclasses.fields(cls)],
    "repr": lambda cls: repr(one(cls)) if cls.__repr__ is not object.__repr__ else None,
    "equal": lambda cls: (one(cls) == one(cls), one(cls) != one(cls), one(cls) == 1),
    "hash": hashes,
    "order": lambda cls: (one(cls) < one(cls), one(cls) >= one(cls)),
    "too many": lambda cls: one(cls, 1, 2, 3, 4, 5, 6),
    "too few": lambda cls: cls(),
    "unknown": lambda cls: cls(nonsense=1),
    "match": match,
    "match args": lambda cls: cls.__match_args__,
    "signature": lambda cls: str(inspect.signature(cls)),
    "names": lambda cls: (cls.__name__, cls.__qualname__, cls.__module__, cls.__init__.__qualname__),
    "hints": lambda cls: [*typing.get_type_hints(cls, {**globals(), "Recursive": cls})],
    "fields": lambda cls: [repr(each) for each in dataclasses.fields(cls)],
    "fields of one": lambda cls: [each.name for each in dataclasses.fields(one(cls))],
    "is_dataclass": lambda cls: (dataclasses.is_dataclass(cls), dataclasses.is_dataclass(one(cls))),
    "parameters": lambda cls: repr(cls.__dataclass_params__),
    "slots": lambda cls: (cls.__slots__, hasattr(one(cls), "__dict__")),
    "asdict": lambda cls: (dataclasses.asdict(one(cls)), dataclasses.astuple(one(cls))),
    "replace": lambda cls: repr(dataclasses.replace(one(cls), x=8)),
    "set": later(lambda value: setattr(value, dataclasses.fields(value)[0].name, 9)),
    "delete": later(lambda value: delattr(value, dataclasses.fields(value)[0].name)),
    "copy": lambda cls: (copy.copy(one(cls)) == one(cls), dataclasses.asdict(copy.deepcopy(one(cls)))),
    "state": lambda cls: one(cls).__getstate__(),
    "class attributes": lambda cls: [getattr(cls, name, None) for name in ("kind", "other", "seed", "extra")],
    "methods": lambda cls: (one(cls).double(), one(cls).shown),
    "abstract": lambda cls: (inspect.isabstract(cls), one(cls).do()),
    "generic": lambda cls: (cls.__parameters__, cls[int].__args__),
    "bases": lambda cls: [each.__name__ for each in cls.__mro__],
}


@pytest.mark.parametrize("look", LOOKS)
def test_both_answer_alike(look):
    for name, fresh in shapes(dataclass).items():
        theirs = outcome(LOOKS[look], THEIRS[name])
        assert outcome(LOOKS[look], fresh) == theirs, f"{name}, first of all"
        assert outcome(LOOKS[look], OURS[name]) == theirs, f"{name}, after others"


def outcome(look, cls):
    """Return what a look comes to, as text where it is made of the class itself, or the error."""
    try:
        return re.sub(r" at 0x[0-9a-f]+", "", str(look(cls)))  # a value without a `repr` tells where it lies
    except Exception as error:  # noqa: BLE001 - the error is what is compared
        return type(error), str(error)


def test_what_is_frozen_says_so_of_each_attribute():
    # The standard library's raises a TypeError for one that is no field, and has no `Box[int](1)` therefore.
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'extra'"):
        OURS["Frozen"](1).extra = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'extra'"):
        del OURS["Frozen"](1).extra
    assert OURS["Box"][int](1).content == 1
    heir = OURS["Undecorated"](1)
    heir.extra = 2
    assert heir.extra == 2
    del heir.extra
    assert heir.extra == 1


def test_one_without_slots_is_refused():
    with pytest.raises(TypeError, match="slots=True"):

        @dataclass(slots=False)
        class _Loose:
            x: int


def test_a_mistake_is_found_at_each_use():
    @dataclass(frozen=True, slots=True)
    class Wrong:
        x: list[int] = []  # noqa: RUF012 - refused, at the first use

    for _ in range(2):
        with pytest.raises(ValueError, match="mutable default"):
            Wrong()


def test_no_method_is_made_before_it_is_used():
    fresh = shapes(dataclass)["Heir"]
    made = {name for name, value in vars(fresh).items() if callable(value)}
    assert not made & {"__init__", "__repr__", "__eq__", "__hash__"}
    fresh()
    made = {name for name, value in vars(fresh).items() if callable(value)}
    assert made & {"__init__", "__repr__", "__eq__", "__hash__"} == {"__init__"}


def test_a_field_that_no_annotation_names_is_refused():
    @dataclass(slots=True)
    class Hidden:
        x: Aliased[int] = 1

    with pytest.raises(TypeError, match="Hidden: its fields"):
        Hidden()


def test_threads_may_use_one_at_once():
    for _ in range(20):
        fresh = shapes(dataclass)["Heir"]
        start, found = threading.Barrier(8), []

        def use(fresh=fresh, start=start, found=found):
            start.wait()
            found.append(fresh(z=3))

        threads = [threading.Thread(target=use) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert found == [fresh(z=3)] * 8


@dataclass(frozen=True, slots=True)
class Sent:
    x: int
    y: tuple[int, ...] = ()


def test_one_is_pickled():
    sent = pickle.dumps(Sent(1, (2, 3)))
    assert pickle.loads(sent) == Sent(1, (2, 3))


def test_each_dataclass_of_ours_can_be_made():
    # What is wrong in its fields would be found only by the first run that uses it.
    for module in pkgutil.walk_packages(codex_runner.__path__, "codex_runner."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and dataclasses.is_dataclass(value):
                assert len(inspect.signature(value).parameters) <= len(dataclasses.fields(value))
