"""A dataclass whose methods are made at their first use: a run uses half of the dataclasses that it loads.

When a class is defined, the standard library writes and compiles the source of `__init__`, `__repr__`, `__eq__`,
`__hash__` and of the methods that refuse changes. That takes a third of a millisecond a class. This decorator makes the
class with its slots at once, and its methods at the first use of one. It makes `__init__` alone, since most runs need
no other; the standard library makes the rest. The result is the same, except for two things: a mistake in the fields is
found at the first use, and a class without a docstring gets none.
"""

from __future__ import annotations

import dataclasses
import sys
import threading
from dataclasses import KW_ONLY, MISSING, FrozenInstanceError, InitVar
from inspect import get_annotations
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeVar, dataclass_transform, get_origin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_Class = TypeVar("_Class", bound=type)

_MAKING = threading.RLock()
_NO_FIELDS = ("ClassVar", "InitVar", "KW_ONLY")
_OF_FIELDS = {"__dataclass_fields__", "__match_args__"}
_NO_METHODS = {"init": False, "repr": False, "eq": False, "order": False, "unsafe_hash": False}


@dataclass_transform(field_specifiers=(dataclasses.field, dataclasses.Field))
def dataclass(*, slots: Literal[True], **options: bool) -> Callable[[_Class], _Class]:
    """Decorate a class as `dataclasses.dataclass` does with the same options. TypeError without slots."""
    if not slots:
        raise TypeError("a dataclass here has slots: write slots=True")
    return lambda model: _slotted(model, **options)


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
    maker = _Maker(model, made, frozenset(fields), later, options)
    for name in later:
        setattr(made, name, _Later(maker, name))
    return made


def _is_field(annotation: object) -> bool:
    if isinstance(annotation, str):
        return annotation.partition("[")[0].rpartition(".")[2].strip() not in _NO_FIELDS
    return not (
        annotation in {ClassVar, InitVar, KW_ONLY}
        or get_origin(annotation) is ClassVar
        or isinstance(annotation, InitVar)
    )


def _is_slot(cls: type, name: str) -> bool:
    return any(isinstance(vars(base).get(name), MemberDescriptorType) for base in cls.__mro__)


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


class _Maker:
    """Makes what a class has not yet, from its model."""

    def __init__(
        self, model: Any, made: Any, fields: frozenset[str], later: set[str], options: Mapping[str, bool]
    ) -> None:
        self._model, self.made, self._fields, self._later, self._options = model, made, fields, later, options

    def make(self, name: str) -> None:
        """Make the attribute of this name, and those that come with it."""
        if name == "__init__" and not any("InitVar" in str(field.type) for field in self._all_fields()):
            self.made.__init__ = _initializer(self.made)
            return
        whole = self._with_fields() if name in _OF_FIELDS else vars(self._standard(slots=True))
        for each in self._later & whole.keys():
            if isinstance(vars(self.made)[each], _Later):
                setattr(self.made, each, whole[each])

    def _all_fields(self) -> Any:
        return self.made.__dataclass_fields__.values()

    def _with_fields(self) -> Mapping[str, Any]:
        # What is frozen costs time too, and only an heir's bases are asked whether they are.
        heir = any("__dataclass_fields__" in vars(base) for base in self._model.__mro__[1:])
        whole = self._standard(**_NO_METHODS, frozen=heir and self._options.get("frozen", False))
        names = {field.name for field in dataclasses.fields(whole)}
        if not names >= self._fields or not all(_is_slot(self.made, name) for name in names):
            raise TypeError(f"{self.made.__qualname__}: its fields are not those that its annotations name")
        return {name: value for name, value in vars(whole).items() if name in _OF_FIELDS}

    def _standard(self, **options: bool) -> Any:
        """Return what the standard library makes of a copy of the model."""
        model = self._model
        body = {name: value for name, value in vars(model).items() if name not in {"__dict__", "__weakref__"}}
        body["__qualname__"] = model.__qualname__
        body["__doc__"] = model.__doc__ or model.__name__  # else one is made from the signature, which takes long
        copy = type(model)(model.__name__, model.__bases__, body)
        return dataclasses.dataclass(**{**self._options, **options})(copy)


class _Later:
    """An attribute that is made when it is first asked for."""

    __slots__ = ("_maker", "_name")

    def __init__(self, maker: _Maker, name: str) -> None:
        self._maker, self._name = maker, name

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        own = vars(self._maker.made)  # not an heir's, for which `super()` did not ask
        with _MAKING:
            if own[self._name] is self:  # else another thread has made it meanwhile
                self._maker.make(self._name)
        made = own[self._name]
        return made.__get__(instance, owner) if hasattr(made, "__get__") else made


class _Factory:
    """Stands for a default that a factory makes."""

    def __repr__(self) -> str:
        return "<factory>"


_FACTORY: Final = _Factory()


def _initializer(made: Any) -> Callable[..., None]:
    """Return the `__init__` of a class without InitVars, as the standard library makes one."""
    scope: dict[str, Any] = {"_dataclass_set_": object.__setattr__, "_dataclass_factory_": _FACTORY}
    fields = dataclasses.fields(made)
    me = "_dataclass_self_" if any(field.name == "self" for field in fields) else "self"
    by_place: list[str] = [me]
    by_name: list[str] = []
    lines = ["pass"]
    for number, field in enumerate(fields):
        value, parameter, default = field.name, field.name, f"_dataclass_default_{number}_"
        if field.default_factory is not MISSING:
            scope[default] = field.default_factory
            parameter += "=_dataclass_factory_"
            value = f"{default}() if {value} is _dataclass_factory_ else {value}" if field.init else f"{default}()"
        elif field.default is not MISSING:
            scope[default] = field.default
            parameter += f"={default}"
            value = value if field.init else default
        elif not field.init:
            continue
        lines.append(f"_dataclass_set_({me}, {field.name!r}, {value})")
        if field.init:
            (by_name if field.kw_only is True else by_place).append(parameter)
    if hasattr(made, "__post_init__"):
        lines.append(f"{me}.__post_init__()")
    parameters = ", ".join([*by_place, *(["*", *by_name] if by_name else [])])
    exec("\n ".join([f"def __init__({parameters}):", *lines]), scope)  # noqa: S102 - names of a class's body, no data
    init: Any = scope["__init__"]
    init.__qualname__, init.__module__ = f"{made.__qualname__}.__init__", made.__module__
    init.__annotations__ = {**{field.name: field.type for field in fields if field.init}, "return": None}
    return init  # type: ignore[no-any-return]


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
