"""One job, complete: its prompt read and filled, its paths absolute, its host decided."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING

from codex_runner.config.delivery import unknown_names
from codex_runner.config.paths import below
from codex_runner.config.problems import Problem, WrongKeysError
from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.host import LOCAL_HOST, Host, host_name_problem
from codex_runner.domain.job import Sandbox
from codex_runner.engine.prompt import fill, names, nearest, with_context
from codex_runner.text.clean import is_blank

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from codex_runner.config.settings import Config, JobSettings
    from codex_runner.domain.delivery_spec import DeliverySpec
    from codex_runner.domain.job import CodexSettings, Job
    from codex_runner.domain.workspace import WorkspaceSpec

# A URL, or `user@host:path` as scp and git write it.
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://|[^/.~:][^/:]*:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PromptSource:
    """The prompt of the command line: at most one of the three. Without any, the job's own stays.

    `file` is relative to the current folder; `stdin` is what was read from stdin.
    """

    text: str | None = None
    file: Path | None = None
    stdin: bytes | None = None


NO_PROMPT = PromptSource()


def resolve_job(  # noqa: PLR0913 - each is one thing that a command line says about a run
    config: Config,
    name: str,
    *,
    prompt: PromptSource = NO_PROMPT,
    variables: Mapping[str, str] | None = None,
    context: str | None = None,
    host: str | None = None,
) -> Job:
    """Complete the job `name`. Raises ConfigurationError if something is missing, unknown or contradictory.

    `host` replaces the job's. On this machine `cwd` becomes absolute and must be a folder. On another host it stays as
    written and must be set: no default would be what the user means. With a `workspace` it is relative to its top.
    """
    settings = config.jobs.get(name)
    if settings is None:
        raise _unknown_job(config, name)
    _require_understanding(config, settings)
    place = Host(settings.host) if host is None else _host(host)
    problems: list[Problem] = []
    cwd = text = ""
    schema: str | None = None
    delivery: DeliverySpec | None = None
    try:
        cwd = _cwd(config, settings, place)
    except ConfigurationError as error:
        problems += _problems(error)
    try:
        text = fill(_prompt(config, settings, prompt), variables or {})
    except ConfigurationError as error:
        problems += _problems(error)
    try:
        schema = _schema(config, settings)
    except ConfigurationError as error:
        problems += _problems(error)
    try:
        delivery = _delivery(config, settings, variables or {})
    except ConfigurationError as error:
        problems += _problems(error)
    price = config.prices.get(str(settings.codex.model or settings.codex.config.get("model")))
    if settings.budget.money is not None and price is None:
        said = "needs the price of the job's model: set `model` and its `[prices.MODEL]`."
        problems.append(Problem(str(config.path), ("jobs", name, "budget", "money"), said))
    if problems:
        raise WrongKeysError(problems)
    return settings.complete(
        prompt=text if context is None else with_context(text, "context", context),
        cwd=cwd,
        host=place,
        codex=resolve_codex(config, settings, place),
        workspace=_workspace(config, settings),
        output_schema=schema,
        price=price,
        delivery=delivery,
    )


def variables_of(config: Config, name: str) -> frozenset[str]:
    """Return the variables that the prompt of the job `name` needs. Raises ConfigurationError if it cannot be read."""
    settings = config.jobs.get(name)
    if settings is None:
        raise _unknown_job(config, name)
    return names(_prompt(config, settings, NO_PROMPT))


def files_of(config: Config, name: str, prompt: PromptSource = NO_PROMPT) -> tuple[Path, ...]:
    """Return the files that configure the job `name`, absolute, codex-runner.toml first; the job must exist."""
    settings = config.jobs[name]
    own_prompt = settings.prompt_file if prompt == NO_PROMPT else None
    given = () if prompt.file is None else (prompt.file.absolute(),)
    body = None if settings.delivery is None else settings.delivery.body_file
    named = [below(config.root, each) for each in (own_prompt, settings.output_schema, body) if each is not None]
    return (config.path, *given, *named)


def resolve_codex(config: Config, settings: JobSettings, host: Host = LOCAL_HOST) -> CodexSettings:
    """Return a job's settings of codex, with the binary's path decided for this host."""
    return replace(settings.codex, path=_codex_path(config, settings, host))


def _unknown_job(config: Config, name: str) -> ConfigurationError:
    if not config.jobs:
        return ConfigurationError(f"{config.path}: has no job.", remedy="Add a [jobs.NAME] table with a `prompt`.")
    guess = nearest(name, config.jobs)
    hint = f" Did you mean `{guess}`?" if guess else ""
    return ConfigurationError(
        f"{config.path}: has no job {name!r}.{hint}", remedy=f"Its jobs: {', '.join(sorted(config.jobs))}."
    )


def _require_understanding(config: Config, settings: JobSettings) -> None:
    """Refuse an agent without a sandbox if a credential is within its reach, unless the job has `i_understand`."""
    if settings.sandbox is not Sandbox.DANGER_FULL_ACCESS or settings.i_understand:
        return
    borrowed = [settings.credential.environment_variable] if settings.credential else []
    within_reach = [*borrowed, *settings.codex.environment]
    if within_reach:
        raise _wrong(
            config,
            settings,
            "sandbox",
            f"the agent's commands could read {', '.join(within_reach)} from codex's environment, and send it "
            "anywhere.",
            value=settings.sandbox.value,
            remedy="Choose `workspace-write`, or let a proxy hold the credential (docs/security.md says how); or set "
            "`i_understand = true` in the job.",
        )


def _host(name: str) -> Host:
    if wrong := host_name_problem(name):
        raise ConfigurationError(f"--host {name!r}: {wrong}.")
    return Host(name)


def _wrong(  # noqa: PLR0913 - the parts of a message
    config: Config,
    settings: JobSettings,
    key: str,
    said: str,
    *,
    value: str | None = None,
    remedy: str | None = None,
) -> WrongKeysError:
    """Return the error about a key of a job, which may be one of a table in it: `delivery.title`. "" is the job."""
    path = ("jobs", settings.name, *(key.split(".") if key else ()))
    shown = None if value is None else repr(value)
    return WrongKeysError([Problem(str(config.path), path, said, shown)], remedy=remedy)


def _problems(error: ConfigurationError) -> Sequence[Problem]:
    return error.problems if isinstance(error, WrongKeysError) else [Problem("", (), error.message)]


def _cwd(config: Config, settings: JobSettings, host: Host) -> str:
    wrong = partial(_wrong, config, settings, "cwd", value=settings.cwd)
    if settings.workspace is not None:
        path = PurePosixPath(settings.cwd or ".")
        if path.is_absolute() or ".." in path.parts or settings.cwd == "~":
            raise wrong("with `workspace`, it must be relative to its top.")
        return str(path)
    if not host.is_here:
        if not settings.cwd:
            raise wrong(f"missing: on the host {host!r}, it must name the folder to work in.", value=None)
        if not settings.cwd.startswith("/"):
            raise wrong(f"on the host {host!r}, it must be an absolute path.")
        return settings.cwd
    folder = below(config.root, settings.cwd or ".")
    if not folder.is_dir():
        raise wrong(f"{folder} is not a folder.")
    return str(folder)


def _workspace(config: Config, settings: JobSettings) -> WorkspaceSpec | None:
    """Resolve the repository: a path is one of this machine, and an address stays as it is."""
    spec = settings.workspace
    if spec is None or _ADDRESS.match(spec.repo):
        return spec
    return replace(spec, repo=str(below(config.root, spec.repo)))


def _codex_path(config: Config, settings: JobSettings, host: Host) -> str | None:
    """Choose the nearest: the job's, the host's, then `[codex]`'s. A bare name is left to the host's PATH."""
    at_host = config.hosts[host].codex if host in config.hosts else None
    path = settings.codex.path or at_host or config.codex_path
    if path is None or not host.is_here or ("/" not in path and not path.startswith("~")):
        return path
    return str(below(config.root, path))


def _prompt(config: Config, settings: JobSettings, given: PromptSource) -> str:
    count = sum(source is not None for source in (given.text, given.file, given.stdin))
    if count > 1:
        raise ConfigurationError("Several prompts on the command line: give one of --prompt, --prompt-file and -.")
    if given.text is not None:
        return _checked(given.text, _of_option("--prompt"))
    if given.stdin is not None:
        return _decoded(given.stdin, _of_option("The prompt on stdin"))
    if given.file is not None:
        return _read(given.file, _of_option(f"--prompt-file {given.file}"))
    if (named := settings.prompt_file) is not None:
        return _read(below(config.root, named), partial(_wrong, config, settings, "prompt_file", value=named))
    if settings.prompt:
        return _checked(settings.prompt, partial(_wrong, config, settings, "prompt"))
    raise _wrong(config, settings, "", "has no prompt; set `prompt` or `prompt_file`, or give --prompt.")


def _of_option(name: str) -> Callable[[str], ConfigurationError]:
    return lambda said: ConfigurationError(f"{name}: {said}")


def _schema(config: Config, settings: JobSettings) -> str | None:
    """Read the job's schema. `codex_runner.checks.reply_schema` checks it: that needs a heavy library."""
    if (named := settings.output_schema) is None:
        return None
    return _read(below(config.root, named), partial(_wrong, config, settings, "output_schema", value=named))


def _delivery(config: Config, settings: JobSettings, variables: Mapping[str, str]) -> DeliverySpec | None:
    """Read the body's template, and keep the variables for all templates. Raises if one names what nothing fills."""
    spec = settings.delivery
    if spec is None:
        return None
    if (named := spec.body_file) is not None:
        wrong = partial(_wrong, config, settings, "delivery.body_file", value=named)
        spec = replace(spec, body=_read(below(config.root, named), wrong))
    found = [_wrong(config, settings, f"delivery.{name}", f"{said}.") for name, said in unknown_names(spec, variables)]
    if found:
        raise WrongKeysError([problem for error in found for problem in error.problems])
    return replace(spec, names=MappingProxyType(dict(variables)))


def _read(file: Path, wrong: Callable[[str], ConfigurationError]) -> str:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise wrong(f"{file} cannot be read: {error.strerror or error}.") from None
    return _decoded(data, wrong)


def _decoded(data: bytes, wrong: Callable[[str], ConfigurationError]) -> str:
    try:
        return _checked(data.decode("utf-8-sig"), wrong)
    except UnicodeDecodeError as error:
        raise wrong(f"is not UTF-8 (at byte {error.start}).") from None


def _checked(text: str, wrong: Callable[[str], ConfigurationError]) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise wrong("is not UTF-8.") from None
    if is_blank(text):
        raise wrong("is empty.")
    return text
