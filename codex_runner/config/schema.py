"""The configuration as pydantic checks it. Imported late: pydantic costs more than all else in a short run.

The model holds only the keys that were written and those that are required: a schema of all keys costs ten times as
much. `config.tables` derives the tables. docs/configuration.md explains the keys, and a test compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, create_model
from pydantic_core import core_schema
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from codex_runner.config.credentials import auth_problem
from codex_runner.config.settings import AuditSettings, NotifySettings
from codex_runner.config.tables import CONFIG_FILE, Array, Leaf, LoginTable, Named, Table
from codex_runner.config.values import checked, problem
from codex_runner.domain.job import OWN_CHECKS, Check
from codex_runner.domain.policy import Budget

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic import GetCoreSchemaHandler
    from pydantic.fields import FieldInfo

    from codex_runner.config.tables import Node


def read(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge `layers`, the strongest first, and return the checked values. Raises pydantic's ValidationError."""
    keys = _keys(CONFIG_FILE, layers)
    fields: dict[str, Any] = {name: (annotation, ... if must else None) for name, (annotation, must) in keys.items()}
    given: dict[str, Any] = {"layers": layers}
    settings = create_model("Settings", __base__=_Settings, **fields)(**given)
    return {name: getattr(settings, name) for name in settings.model_fields_set}


class _Layer(PydanticBaseSettingsSource):
    """One layer of settings, already read."""

    def __init__(self, settings_cls: type[BaseSettings], values: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self._values = values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - the base's
        return self._values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._values


class _Settings(BaseSettings):
    """The whole file. Made from nested tables in place of the process's own environment."""

    model_config = SettingsConfigDict(extra="forbid", strict=True, frozen=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base's signature
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the layers that `read` was given, and nothing else."""
        if not isinstance(init_settings, InitSettingsSource):  # pragma: no cover - pydantic-settings always gives one
            raise TypeError(init_settings)
        return tuple(_Layer(settings_cls, values) for values in init_settings.init_kwargs["layers"])


class _Keys:
    """The keys of one table, for pydantic: the annotation of each, and whether it must be there."""

    def __init__(self, keys: Mapping[str, tuple[Any, bool]]) -> None:
        self._keys = keys

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.typed_dict_schema(
            {
                name: core_schema.typed_dict_field(handler.generate_schema(annotation), required=required)
                for name, (annotation, required) in self._keys.items()
            },
            extra_behavior="forbid",
            config=core_schema.CoreConfig(strict=True),
        )


def _keys(table: Table, written: Sequence[object]) -> dict[str, tuple[Any, bool]]:
    """Return the annotation of each key that one of the `written` tables has, or that must be there."""
    keys = {}
    for name, key in table.keys.items():
        values = [each[name] for each in written if isinstance(each, dict) and name in each]
        if values or key.required:
            keys[name] = (_annotation(table.node(name), values), key.required)
    return keys


def _annotation(node: Node | None, written: Sequence[object]) -> Any:
    match node:
        case Table():
            annotation: Any = Annotated[dict[str, Any], _Keys(_keys(node, written))]
            whole = _fitting if isinstance(node, LoginTable) else _TABLES.get(node.cls)
        case Array(each):
            items = [item for array in written if isinstance(array, list) for item in array]
            annotation = list[_annotation(each, items)]  # type: ignore[misc] # made at run time
            whole = _ARRAYS.get(each.cls) if isinstance(each, Table) else None
        case Named(each, form):
            tables = [below for table in written if isinstance(table, dict) for below in table.values()]
            annotation = dict[checked(str, form), _annotation(each, tables)]  # type: ignore[misc]
            whole = None
        case Leaf(hint, form, choices):
            annotation, whole = checked(hint, form, choices), None
        case _:
            annotation, whole = Any, None
    return Annotated[annotation, AfterValidator(whole)] if whole else annotation


# Rules for a table or an array as a whole.


def _fitting(auth: dict[str, Any]) -> dict[str, Any]:
    if wrong := auth_problem(auth):
        key, message = wrong
        raise problem(message, key)
    return auth


def _room(budget: dict[str, Any]) -> dict[str, Any]:
    a_day, tokens = budget.get("tokens_per_day"), budget.get("tokens")
    if a_day is not None and (tokens is None or tokens > a_day):
        raise problem("needs `tokens`, and must not be smaller: each run reserves that many", "tokens_per_day")
    return budget


def _named_apart(checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = [check["name"] for check in checks]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise problem(f"each check needs a unique name; used twice: {', '.join(twice)}")
    if ours := sorted(OWN_CHECKS & set(names)):
        raise problem(f"reserved for codex-runner's own checks: {', '.join(ours)}")
    return checks


def _addressed(targets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for target in targets:
        if ("url_variable" in target) == ("url_file" in target):
            raise problem(f"{target['name']}: needs either `url_variable` or `url_file`: the address is a secret")
    return targets


def _one_key(audit: dict[str, Any]) -> dict[str, Any]:
    if len(given := sorted(audit.keys() & {"key_file", "key_variable", "key_vault"})) > 1:
        raise problem(f"takes one key, and has {' and '.join(given)}", given[1])
    return audit


_TABLES: Mapping[type, Callable[[Any], Any]] = {Budget: _room, AuditSettings: _one_key}
_ARRAYS: Mapping[type, Callable[[Any], Any]] = {Check: _named_apart, NotifySettings: _addressed}
