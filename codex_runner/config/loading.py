"""Loads a `Config` from the file, the environment and `--set`. The callers of this module never see pydantic."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from codex_runner.config import layers, problems, tables
from codex_runner.config.build import build
from codex_runner.config.credentials import credential_problem
from codex_runner.config.delivery import delivery_problems
from codex_runner.config.paths import below
from codex_runner.config.problems import WrongKeysError
from codex_runner.config.retired import RETIRED
from codex_runner.config.settings import CHECK_TURNS, FILE_NAME, OUTPUT_DIR, AuditSettings, Config, JobSettings
from codex_runner.domain.credential import VaultSettings
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.job import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from codex_runner.config.layers import Layer
    from codex_runner.config.retired import Retired


def load(
    path: Path | None,
    start: Path,
    environ: Mapping[str, str],
    overrides: Sequence[str] = (),
    retired: Sequence[Retired] = RETIRED,
) -> Config:
    """Read, merge and check the configuration.

    `path` is the file, relative to `start`. If it is None, the file is codex-runner.toml in `start` (absolute) or the
    nearest folder above. `overrides` are `KEY=VALUE`s, stronger than `environ`, which is stronger than the file. Raises
    one ConfigurationError with a line for each mistake.
    """
    file = start / path if path is not None else find(start)
    from_file = read_file(file, start)
    if from_file.problems:
        raise WrongKeysError(from_file.problems)
    from_overrides = layers.from_overrides(overrides, retired)
    from_environment = layers.from_environment(environ, from_file, from_overrides, retired)
    strongest_first = (from_overrides, from_environment, from_file)
    values, found, warnings = merged(strongest_first, retired)
    if values is not None:
        found += incomplete(values, strongest_first)
    if found or values is None:
        raise WrongKeysError(found)
    return replace(config_of(file, values), warnings=tuple(warnings))


def read_file(file: Path, start: Path) -> Layer:
    """Read the file, which messages name relative to `start`. Raises ConfigurationError if there is none."""
    if not file.is_file():
        raise _no_file(file)
    return layers.from_file(file, _name(file, start))


def merged(
    strongest_first: Sequence[Layer], retired: Sequence[Retired] = RETIRED
) -> tuple[dict[str, Any] | None, list[problems.Problem], list[str]]:
    """Merge layers, the file last, and check each value. Returns the values, the mistakes, and the warnings.

    The values are None if one of them is wrong. Retired keys, and all that a stronger layer replaces as a whole, are
    removed from the layers.
    """
    warnings = [warning for layer in strongest_first for warning in layers.replace_retired(layer, retired)]
    layers.keep_one_prompt(strongest_first)
    layers.keep_one_login(strongest_first)
    layers.refuse_trusted_forks(strongest_first[-1])
    found = [problem for layer in strongest_first for problem in layer.problems]
    origins = [layer.origins for layer in strongest_first]
    with _without_plugins():
        import pydantic

        from codex_runner.config import schema

        try:
            return schema.read([layer.values for layer in strongest_first]), found, warnings
        except pydantic.ValidationError as error:  # it holds the values, secrets too: only our own problems leave this
            return None, [*found, *problems.from_validation(error, origins)], warnings


def incomplete(values: Mapping[str, Any], strongest_first: Sequence[Layer]) -> list[problems.Problem]:
    """Return what jobs lack, and which of their keys contradict each other, once the defaults are merged in."""
    origins = [layer.origins for layer in strongest_first]
    return [problems.Problem(problems.origin(key, origins), key, message) for key, message in _incomplete(values)]


def _no_file(file: Path) -> ConfigurationError:
    if not file.exists():
        return ConfigurationError(f"{file}: there is no such file.", remedy="Write a first one: `codex-runner init`.")
    kind, named = ("a folder", f"such as {file / FILE_NAME}") if file.is_dir() else ("not a regular file", FILE_NAME)
    return ConfigurationError(f"{file}: is {kind}.", remedy=f"Name the configuration file itself, {named}.")


def _incomplete(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the keys that jobs lack once the defaults are merged in, each with its message."""
    for name, job in values.get("jobs", {}).items():
        credential = _credential(values.get("defaults", {}), job)
        if credential is not None and (wrong := credential_problem(credential)):
            key, message = wrong
            yield ("jobs", name, "credential", key), message
        whole = {**values.get("defaults", {}), **job}
        if (delivery := _delivery(values.get("defaults", {}), job)) is not None:
            whole["delivery"] = delivery
        for path, message in delivery_problems(whole):
            yield ("jobs", name, *path), message
        if "checks" in whole.get("retry", {}) and whole.get("on_check_failure") != "retry":
            yield ("jobs", name, "retry", "checks"), 'has no effect without `on_check_failure = "retry"`'


def _credential(*tables: Mapping[str, Any]) -> dict[str, Any] | None:
    """Merge the `credential` of these tables, the weakest first. Returns None if none has one."""
    given = [table["credential"] for table in tables if "credential" in table]
    return {key: value for one in given for key, value in one.items()} if given else None


def _delivery(*tables: Mapping[str, Any]) -> dict[str, Any] | None:
    """Merge the `delivery` of these tables, the weakest first, and their tables. Returns None if none has one."""
    given = [table["delivery"] for table in tables if "delivery" in table]
    merged: dict[str, Any] = {}
    for one in given:
        merged = _merged(merged, one)
    return merged if given else None


def find(start: Path) -> Path:
    """Find codex-runner.toml in `start` or the nearest folder above it. Raises ConfigurationError if there is none."""
    if (file := nearest_file(start)) is not None:
        return file
    raise ConfigurationError(
        f"There is no {FILE_NAME} in {start} or above it.",
        remedy="Write a first one with `codex-runner init`, or name one that lies elsewhere with -c.",
    )


def nearest_file(start: Path) -> Path | None:
    """Return the nearest codex-runner.toml, or None. Raises ConfigurationError for a folder that cannot be read."""
    for folder in (start, *start.parents):
        try:
            there = (file := folder / FILE_NAME).is_file()
        except OSError as error:
            raise ConfigurationError(
                f"{folder}: the folder cannot be read: {error.strerror}.",
                remedy="Make the folder readable for this user, or name the configuration with -c.",
            ) from None
        if there:
            return file
    return None


@contextmanager
def _without_plugins() -> Iterator[None]:
    """Keep pydantic from looking through every installed package for plugins.

    They would be foreign code that sees the secrets in `codex.env`, and the search reads the metadata of every package.
    The variable is pydantic's documented switch, and is put back for what the process starts later.
    """
    name = "PYDANTIC_DISABLE_PLUGINS"
    before = os.environ.get(name)
    os.environ[name] = "__all__"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _name(file: Path, start: Path) -> str:
    """Return the name of the file for messages: relative if it lies below `start`."""
    return str(file.relative_to(start)) if file.is_relative_to(start) else str(file)


def config_of(file: Path, values: Mapping[str, Any]) -> Config:
    """Build the configuration of checked values."""
    root = file.parent
    codex = values.get("codex", {})
    defaults = values.get("defaults", {})
    rest = {key: value for key, value in values.items() if key not in {"defaults", "jobs"}}
    whole = build(tables.ConfigFile, rest, root)
    jobs = {name: _job(name, (defaults, job), codex, root) for name, job in values.get("jobs", {}).items()}
    return Config(
        path=file,
        output_dir=whole.output_dir or below(root, OUTPUT_DIR),
        jobs=MappingProxyType(jobs),
        hosts=whole.hosts or MappingProxyType({}),
        codex_path=None if whole.codex is None else whole.codex.path,
        vault=whole.vault or VaultSettings(),
        ssh_config=whole.ssh_config,
        junit_guards=whole.junit is None or whole.junit.guards,
        notify=whole.notify or (),
        metrics=None if whole.metrics is None else whole.metrics.folder,
        ledger=whole.ledger,
        prices=whole.prices or MappingProxyType({}),
        defaults=_job("", (defaults,), codex, root),
        audit=whole.audit or AuditSettings(),
    )


def _job(name: str, given: Sequence[Mapping[str, Any]], codex: Mapping[str, Any], root: Path) -> JobSettings:
    """Merge the tables of one job, the weakest first, over the defaults of `Job`."""
    merged: dict[str, Any] = {}
    own_codex = {key: value for key, value in codex.items() if key != "path"}
    for table in given:
        if table.keys() & {"prompt", "prompt_file"}:
            merged = {key: value for key, value in merged.items() if key not in {"prompt", "prompt_file"}}
        merged |= table
        own_codex = _merged(own_codex, table.get("codex", {}))
        if "model" in table:  # short for its table's codex.model
            own_codex["model"] = table["model"]
    merged["codex"] = own_codex
    if (credential := _credential(*given)) is not None:
        merged["credential"] = credential
    if (delivery := _delivery(*given)) is not None:
        merged["delivery"] = delivery
    merged.setdefault("command_timeout", merged.get("timeout", Limits().timeout))
    retry = {"checks": CHECK_TURNS, **merged.get("retry", {})}
    merged["retry"] = retry if merged.get("on_check_failure") == "retry" else {**retry, "checks": 0}
    job = build(JobSettings, {**merged, "name": name}, root)
    return replace(job, trust=replace(job.trust, base_config=job.trusted_config == "base"))


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge tables at every depth; what is not a table on both sides is replaced."""
    merged = dict(under)
    for key, value in over.items():
        before = merged.get(key)
        merged[key] = _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged
