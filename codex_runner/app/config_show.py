"""What a job resolves to: each of its values, and the origin of each. A secret is shown as its name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from codex_runner.config import PromptSource, load, resolve_job, variables_of
from codex_runner.config.origins import Origins, ValueOrigin
from codex_runner.config.problems import dotted
from codex_runner.config.resolve import NO_PROMPT
from codex_runner.domain.key import Form, key_of
from codex_runner.domain.secret import Secret
from codex_runner.domain.secret_names import environment_secrets
from codex_runner.engine.config_secrets import secrets_of, without_secrets
from codex_runner.redaction.redactor import Redactor
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from codex_runner.config import Config, JobSettings

_PROMPTS = (("prompt",), ("prompt_file",))


class Shown(NamedTuple):
    """A key of a job as TOML writes it, its value as JSON has it, and the value for people."""

    key: str
    value: Any
    text: str
    origin: ValueOrigin


def shown_job(
    name: str, path: Path | None, start: Path, environ: Mapping[str, str], overrides: Sequence[str] = ()
) -> tuple[Config, tuple[Shown, ...]]:
    """Resolve a job, and return the configuration and the job's values, redacted. Durations are seconds.

    The prompt is the text with its `{{NAMES}}`. Raises ConfigurationError as a run would.
    """
    config = load(path, start, environ, overrides)
    settings = _resolved(config, name)
    origins = Origins(config.path, start, environ, overrides)
    secrets = [*secrets_of(config.jobs[name].codex), *(Secret(*each) for each in environment_secrets(environ))]
    redactor = Redactor(secrets)
    shown = []
    for key, value, hint in _values(settings):
        paths = _PROMPTS if key == ("prompt",) else (key,)
        found = next(
            (o for o in (origins.of(name, each, settings.host) for each in paths) if o.source != "default"), None
        )
        plain = json.loads(redactor.text(json.dumps(_plain(value))))
        duration = hint == "float" and isinstance(plain, int | float)
        text = format_duration(plain) if duration else plain if isinstance(plain, str) else json.dumps(plain)
        shown.append(Shown(redactor.text(dotted(key)), plain, text, found or ValueOrigin("default")))
    return config, tuple(shown)


def _resolved(config: Config, name: str) -> JobSettings:
    """Return the job's settings with what a run finds for them: the prompt, and absolute paths."""
    settings = config.jobs.get(name)
    has_prompt = settings is None or bool(settings.prompt or settings.prompt_file)
    variables = {each: f"{{{{{each}}}}}" for each in variables_of(config, name)} if has_prompt else {}
    job = resolve_job(config, name, prompt=NO_PROMPT if has_prompt else PromptSource(text="-"), variables=variables)
    return replace(
        config.jobs[name],
        prompt=job.prompt if has_prompt else "",
        cwd=job.cwd,
        codex=replace(without_secrets(job.codex), environment=job.codex.environment),
        workspace=job.workspace,
    )


def _values(table: Any, around: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    """Yield the keys of a dataclass instance, and of the tables in it, each with its value and type."""
    for field in fields(table):
        written, value = key_of(field), getattr(table, field.name)
        key = (*around, written.name or field.name)
        if written.form is Form.SPREAD:
            yield from _values(value, around)
        elif written.form is not Form.NO_KEY and key != ("model",):  # short for codex.model
            yield from _below(key, value, str(field.type))


def _below(key: tuple[str, ...], value: Any, hint: str) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    if is_dataclass(value) and not isinstance(value, Secret):
        yield from _values(value, key)
    elif isinstance(value, Mapping) and value:
        for name, each in value.items():
            yield from _below((*key, name), each, "")
    else:
        yield key, value, hint.removesuffix(" | None")


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, a secret as its mask."""
    if isinstance(value, Secret):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if is_dataclass(value):
        return {".".join(key): _plain(each) for key, each, _ in _values(value)}
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
