"""From the places that settings come from to a `Config`: pydantic stops here."""

from __future__ import annotations

import os
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from codex_runner.config.credentials import credential_problem, credential_spec, vault_settings
from codex_runner.config.paths import below
from codex_runner.config.settings import (
    CHECK_TURNS,
    FILE_NAME,
    OUTPUT_DIR,
    AuditSettings,
    Config,
    HostSettings,
    JobSettings,
    NotifySettings,
)
from codex_runner.domain.concurrency import Concurrency, LockPolicy
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.job import LOCAL_HOST, Check, CodexSettings, Instructions, Limits, Sandbox
from codex_runner.domain.policy import Budget, PathRules, Price, RetryPolicy, TrustPolicy
from codex_runner.domain.secret import Secret
from codex_runner.domain.workspace import Keep, WorkspaceSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_LIMITS = {  # the domain's name of each limit
    "timeout": "timeout",
    "stall_timeout": "stall",
    "command_timeout": "command",
    "exit_grace": "exit_grace",
    "orphan_timeout": "orphan",
    "reconnect_timeout": "reconnect",
    "host_retention": "retention",
}


def load(path: Path | None, start: Path, environ: Mapping[str, str], overrides: Sequence[str] = ()) -> Config:
    """Read, merge and check the configuration.

    `path` is the file, relative to `start`; None looks for codex-runner.toml from the folder `start` (absolute)
    upwards. `overrides` are `KEY=VALUE`s, stronger than `environ`, which is stronger than the file. Everything that is
    wrong comes in one ConfigurationError, a line each.
    """
    file = start / path if path is not None else find(start)
    if not file.is_file():
        raise ConfigurationError(f"{file}: there is no such file.", remedy="`codex-runner init` writes a first one.")
    with _without_plugins():
        import pydantic

        from codex_runner.config import layers, problems, schema

        from_file = layers.from_file(file, _name(file, start))
        if from_file.problems:
            raise _error(from_file.problems)
        from_overrides = layers.from_overrides(overrides)
        from_environment = layers.from_environment(environ, from_file, from_overrides)
        strongest_first = (from_overrides, from_environment, from_file)
        layers.keep_one_prompt(strongest_first)
        layers.keep_one_login(strongest_first)
        layers.refuse_trusted_forks(from_file)
        found = [problem for layer in strongest_first for problem in layer.problems]
        try:
            settings = schema.Settings.read([layer.values for layer in strongest_first])
        except pydantic.ValidationError as error:
            found += problems.from_validation(error, strongest_first)
        else:
            values = settings.model_dump(exclude_unset=True)
            found += [
                problems.Problem(problems.origin(key, strongest_first), key, message)
                for key, message in _incomplete(values)
            ]
    if found:
        raise _error(found)  # here, where pydantic's own error is gone: it holds the values, secrets too
    return _config(file, values)


def _incomplete(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the keys that jobs lack once the defaults are merged in, each with what to say of it."""
    for name, job in values.get("jobs", {}).items():
        credential = _credential(values.get("defaults", {}), job)
        if credential is not None and (wrong := credential_problem(credential)):
            key, message = wrong
            yield ("jobs", name, "credential", key), message
        merged = {**values.get("defaults", {}), **job}
        if "checks" in merged.get("retry", {}) and merged.get("on_check_failure") != "retry":
            yield ("jobs", name, "retry", "checks"), 'means nothing without `on_check_failure = "retry"`'


def _credential(*tables: Mapping[str, Any]) -> dict[str, Any] | None:
    """Merge the `credential` of these tables, the weakest first; None where none has one."""
    given = [table["credential"] for table in tables if "credential" in table]
    return {key: value for one in given for key, value in one.items()} if given else None


def find(start: Path) -> Path:
    """Find codex-runner.toml in `start` or the nearest folder above it."""
    for folder in (start, *start.parents):
        try:
            there = (file := folder / FILE_NAME).is_file()
        except OSError as error:
            raise ConfigurationError(
                f"{folder} cannot be looked into: {error.strerror}.",
                remedy="Give the right to, or name the configuration with -c.",
            ) from None
        if there:
            return file
    raise ConfigurationError(
        f"There is no {FILE_NAME} in {start} or above it.",
        remedy="`codex-runner init` writes a first one; -c names one that lies elsewhere.",
    )


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


def _error(problems: Sequence[object]) -> ConfigurationError:
    return ConfigurationError("\n".join(str(problem) for problem in problems))


def _name(file: Path, start: Path) -> str:
    """Say the file as short as it is still clear: relative where it lies below the folder one stands in."""
    return str(file.relative_to(start)) if file.is_relative_to(start) else str(file)


def _config(file: Path, values: Mapping[str, Any]) -> Config:
    root = file.parent
    codex = values.get("codex", {})
    defaults = values.get("defaults", {})
    audit = values.get("audit", {})
    jobs = {name: _job(name, (defaults, job), codex, root) for name, job in values.get("jobs", {}).items()}
    hosts = {
        name: HostSettings(host.get("codex"), tuple(host.get("environment", ())))
        for name, host in values.get("hosts", {}).items()
    }
    return Config(
        path=file,
        output_dir=below(root, values.get("output_dir", OUTPUT_DIR)),
        jobs=MappingProxyType(jobs),
        hosts=MappingProxyType(hosts),
        codex_path=codex.get("path"),
        vault=vault_settings(values.get("vault", {}), root),
        ssh_config=below(root, values["ssh_config"]) if "ssh_config" in values else None,
        junit_guards=values.get("junit", {}).get("guards", True),
        notify=tuple(_notify(target, root) for target in values.get("notify", ())),
        metrics=below(root, values["metrics"]["folder"]) if "metrics" in values else None,
        ledger=below(root, values["ledger"]) if "ledger" in values else None,
        prices=MappingProxyType({model: Price(**price) for model, price in values.get("prices", {}).items()}),
        defaults=_job("", (defaults,), codex, root),
        audit=AuditSettings(below(root, audit["file"]) if "file" in audit else None, audit.get("syslog", False)),
    )


def _rules(merged: Mapping[str, Any]) -> PathRules:
    must = merged.get("must_change", False)
    return PathRules(
        allowed_paths=tuple(merged["allowed_paths"]) if "allowed_paths" in merged else None,
        forbidden_paths=tuple(merged.get("forbidden_paths", ())),
        max_changed_lines=merged.get("max_changed_lines"),
        must_change=must if isinstance(must, bool) else tuple(must),
    )


def _trust(merged: Mapping[str, Any]) -> TrustPolicy:
    return TrustPolicy(
        events=tuple(merged["trusted_events"]) if "trusted_events" in merged else None,
        actors=tuple(merged["trusted_actors"]) if "trusted_actors" in merged else None,
        forks=tuple(merged.get("trusted_forks", ())),
        base_config=merged.get("trusted_config") == "base",
    )


def _check_turns(merged: Mapping[str, Any]) -> int:
    """How often the agent is told of a check that failed."""
    told: int = merged.get("retry", {}).get("checks", CHECK_TURNS)
    return told if merged.get("on_check_failure") == "retry" else 0


def _workspace(table: Mapping[str, Any] | None) -> WorkspaceSpec | None:
    if table is None:
        return None
    return WorkspaceSpec(table.get("repo", "."), table.get("ref", "HEAD"), Keep(table.get("keep", Keep.NEVER)))


def _concurrency(table: Mapping[str, Any] | None) -> Concurrency | None:
    if table is None:
        return None
    values = dict(table)
    if "policy" in values:
        values["policy"] = LockPolicy(values["policy"])
    return Concurrency(**values)


def _notify(table: Mapping[str, Any], root: Path) -> NotifySettings:
    values = dict(table)
    limits: dict[str, Any] = {key: values.pop(key) for key in ("attempts", "timeout", "deadline") if key in values}
    for key in ("url_file", "ca_file"):
        if key in values:
            values[key] = str(below(root, values[key]))
    for key in ("on", "jobs"):
        if key in values:
            values[key] = tuple(values[key])
    return NotifySettings(**values, limits=MappingProxyType(limits))


def _job(name: str, tables: Sequence[Mapping[str, Any]], codex: Mapping[str, Any], root: Path) -> JobSettings:
    """Merge the tables of one job, the weakest first, over the domain's defaults."""
    credential = _credential(*tables)
    merged: dict[str, Any] = {}
    settings = {key: value for key, value in codex.items() if key != "path"}
    for table in tables:
        if table.keys() & {"prompt", "prompt_file"}:
            merged = {key: value for key, value in merged.items() if key not in {"prompt", "prompt_file"}}
        merged |= table
        settings = _merged(settings, table.get("codex", {}))
        if "model" in table:  # short for its table's codex.model
            settings["model"] = table["model"]
    limits = {ours: merged[key] for key, ours in _LIMITS.items() if key in merged}
    limits.setdefault("command", limits.get("timeout", Limits().timeout))
    return JobSettings(
        name=name,
        prompt=merged.get("prompt"),
        prompt_file=merged.get("prompt_file"),
        cwd=merged.get("cwd"),
        host=merged.get("host", LOCAL_HOST),
        sandbox=Sandbox(merged.get("sandbox", Sandbox.READ_ONLY)),
        i_understand=merged.get("i_understand", False),
        limits=Limits(**limits),
        codex=CodexSettings(
            path=settings.get("path"),
            model=settings.get("model"),
            config=MappingProxyType(settings.get("config", {})),
            environment=MappingProxyType({key: Secret(key, text) for key, text in settings.get("env", {}).items()}),
        ),
        checks=tuple(Check(**check) for check in merged.get("checks", ())),
        artifacts=tuple(merged.get("artifacts", ())),
        keep_rollout=merged.get("keep_rollout", False),
        retry=RetryPolicy(**{**merged.get("retry", {}), "checks": _check_turns(merged)}),
        budget=Budget(**merged.get("budget", {})),
        rules=_rules(merged),
        secret_scan=merged.get("secret_scan", False),
        workspace=_workspace(merged.get("workspace")),
        trust=_trust(merged),
        concurrency=_concurrency(merged.get("concurrency")),
        expect_message=merged.get("expect_message", True),
        output_schema=merged.get("output_schema"),
        instructions=Instructions(merged["instructions"]) if "instructions" in merged else None,
        credential=None if credential is None else credential_spec(credential, root),
    )


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge tables at every depth; what is not a table on both sides is replaced."""
    merged = dict(under)
    for key, value in over.items():
        before = merged.get(key)
        merged[key] = _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged
