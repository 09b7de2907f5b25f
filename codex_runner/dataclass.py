"""A dataclass whose methods are made at their first use: a run uses a third of the dataclasses that it loads.

The standard library writes and compiles the source of `__init__`, `__repr__`, `__eq__` and `__hash__` of each class
when the class is defined, which takes half a millisecond a class. Here the class with its slots is there at once, and
the standard library makes the rest when the first of it is asked for. What comes out is the same. Two things differ:
a mistake in the fields is found at the first use, and a class without a docstring gets none.
"""

from __future__ import annotations

import dataclasses
import sys
import threading
from dataclasses import KW_ONLY, FrozenInstanceError, InitVar
from inspect import get_annotations
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, dataclass_transform, get_origin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_Class = TypeVar("_Class", bound=type)

_MAKING = threading.RLock()
_NO_FIELDS = ("ClassVar", "InitVar", "KW_ONLY")


@dataclass_transform(field_specifiers=(dataclasses.field, dataclasses.Field))
def dataclass(*, slots: Literal[True], **options: bool) -> Callable[[_Class], _Class]:
    """Decorate a class as `dataclasses.dataclass` does with the same options. TypeError without slots."""
    if not slots:
        raise TypeError("a dataclass here has slots: write slots=True")
    return lambda model: _slotted(model, **options)


class _Later:
    """An attribute that is made, with the others of its class, when the first of them is asked for."""

    __slots__ = ("_home", "_make", "_name")

    def __init__(self, home: type, name: str, make: Callable[[], None]) -> None:
        self._home, self._name, self._make = home, name, make

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        self._make()
        made = vars(self._home)[self._name]  # not the heir's, which `super()` did not ask for
        return made.__get__(instance, owner) if hasattr(made, "__get__") else made


def _slotted(model: Any, **options: bool) -> Any:
    """Return a class like `model` with slots for its fields. `model` is kept: the rest is made from it."""
    fields = [name for name, annotation in get_annotations(model).items() if _is_field(annotation)]
    later = _made_later(vars(model), **options)
    body = {name: value for name, value in vars(model).items() if name not in {*fields, "__dict__", "__weakref__"}}
    body["__slots__"] = tuple(name for name in fields if not _is_slot(model, name))
    body["__qualname__"] = model.__qualname__
    if options.get("frozen"):
        body = {"__getstate__": _state, "__setstate__": _restore, **body}
    elif options.get("eq", True) and "__hash__" not in later | body.keys():
        body["__hash__"] = None
    made = type(model)(model.__name__, model.__bases__, body)
    if options.get("frozen"):
        _freeze(made, frozenset(fields))

    def make() -> None:
        with _MAKING:
            if not isinstance(vars(made)["__dataclass_fields__"], _Later):
                return  # another thread has done it
            model.__doc__ = model.__doc__ or made.__name__  # else one is made from the signature, which takes long
            whole = vars(dataclasses.dataclass(model, slots=True, **options))
            if whole["__slots__"] != made.__slots__:
                raise TypeError(f"{made.__qualname__}: its fields are not those that its annotations name")
            for name in sorted(later, key="__dataclass_fields__".__eq__):  # that one last: it says that all is there
                setattr(made, name, whole[name])

    for name in later:
        setattr(made, name, _Later(made, name, make))
    return made


def _made_later(  # noqa: PLR0913 - the standard library's options
    own: Mapping[str, object],
    *,
    init: bool = True,
    repr: bool = True,  # noqa: A002 - the standard library's name
    eq: bool = True,
    order: bool = False,
    unsafe_hash: bool = False,
    frozen: bool = False,
    match_args: bool = True,
    kw_only: bool = False,  # noqa: ARG001 - it changes what is made, not whether
) -> set[str]:
    """Return the names of what the standard library would make, beside what the class has of its `own`."""
    asked = {
        "__dataclass_fields__": True,
        "__dataclass_params__": True,
        "__init__": init,
        "__repr__": repr,
        "__eq__": eq,
        **dict.fromkeys(("__lt__", "__le__", "__gt__", "__ge__"), order),
        "__match_args__": match_args,
        "__replace__": sys.version_info >= (3, 13),
    }
    names = {name for name, wanted in asked.items() if wanted and name not in own}
    # Python itself puts a None there if the class has an `__eq__` alone.
    has_hash = "__hash__" in own and not (own["__hash__"] is None and "__eq__" in own)
    return names | {"__hash__"} if (unsafe_hash or (eq and frozen)) and not has_hash else names


def _is_field(annotation: object) -> bool:
    if isinstance(annotation, str):
        return annotation.partition("[")[0].rpartition(".")[2].strip() not in _NO_FIELDS
    return not (
        annotation in {ClassVar, InitVar, KW_ONLY}
        or get_origin(annotation) is ClassVar
        or isinstance(annotation, InitVar)
    )


def _is_slot(model: type, name: str) -> bool:
    return any(isinstance(vars(base).get(name), MemberDescriptorType) for base in model.__mro__[1:])


def _freeze(made: Any, fields: frozenset[str]) -> None:
    def set_attribute(self: Any, name: str, value: object) -> None:
        if type(self) is made or name in fields:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        super(made, self).__setattr__(name, value)

    def delete_attribute(self: Any, name: str) -> None:
        if type(self) is made or name in fields:
            raise FrozenInstanceError(f"cannot delete field {name!r}")
        super(made, self).__delattr__(name)

    made.__setattr__, made.__delattr__ = set_attribute, delete_attribute


def _state(self: Any) -> list[object]:
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _restore(self: Any, state: list[object]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)
