"""The shape of the configuration, as pydantic sees it. Imported late: it costs more than all else in a short run.

The models hold only what was written; defaults live in the domain. What a key means stands in docs/configuration.md,
which a test compares with these classes.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from pathlib import PurePosixPath
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from codex_runner.config.credentials import auth_problem
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.host import host_name_problem
from codex_runner.domain.job import OWN_CHECKS
from codex_runner.domain.notice import ENDINGS
from codex_runner.engine.path_rules import check_glob
from codex_runner.text.clean import is_blank
from codex_runner.text.dates import parse_date
from codex_runner.text.durations import parse_duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from pydantic.fields import FieldInfo

OURS = "codex_runner"  # the error type whose message is written for people, and shown as it is
_JOB_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_PASSWORD = re.compile(r"://[^/@]*:[^/@]*@")
_GIT_SCHEMES = ("https://", "http://", "ssh://", "git://", "file://")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://([^/]*)|([^/.~:][^/:]*):", re.IGNORECASE)
_REF = re.compile(r"[^\s\x00-\x20\x7f:?*\[\\^+-][^\s\x00-\x20\x7f:?*\[\\]*")
_LARGEST_SECRET = 64 * 1024  # bytes, as for all that is read as a secret
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# What some shell keeps for itself, so that it would not arrive, and what the runner sets.
SHELLS_OWN = frozenset(
    (
        *("BASHOPTS", "BASHPID", "BASH_VERSINFO", "DIRSTACK", "EPOCHREALTIME", "EPOCHSECONDS", "EUID", "FUNCNAME"),
        *("GROUPS", "IFS", "LINENO", "OLDPWD", "OPTIND", "PPID", "PWD", "RANDOM", "SHELLOPTS", "SRANDOM", "UID", "_"),
        *("CODEX_HOME", "CODEX_RUNNER_MARK"),
    )
)


def _problem(message: str, key: str | None = None) -> PydanticCustomError:
    """Make an error whose message is for people. `key` is the one inside the checked table that is wrong."""
    # The message travels as a parameter: as a template its braces would be filled in.
    return PydanticCustomError(OURS, "{message}", {"message": message, "key": key})


def _duration(value: object) -> float:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise _problem(str(error)) from None


def _version(value: object) -> object:
    if type(value) is not int or value != 1:  # True is 1 too
        raise _problem("must be 1, the only version there is")
    return value


def _filled(value: str) -> str:
    if is_blank(value):
        raise _problem("must not be empty")
    return _no_nul(value)


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise _problem("must not hold a NUL character")
    return value


def _job_name(value: str) -> str:
    if not _JOB_NAME.fullmatch(value):
        raise _problem("a job's name is 1 to 64 of a-z, 0-9, '.', '_' and '-', and begins with a letter or digit")
    return value


def host_name(value: str) -> str:
    """Return `value` if ssh can take it as a host's name."""
    if wrong := host_name_problem(value):
        raise _problem(wrong)
    return value


def _variable_name(value: str) -> str:
    if not _VARIABLE_NAME.fullmatch(value):
        raise _problem("an environment variable's name is letters, digits and '_', and does not begin with a digit")
    return value


def _free_name(value: str) -> str:
    if value in SHELLS_OWN:
        raise _problem("is set by the shell, or by codex-runner itself")
    return value


def _date(value: object) -> object:
    if isinstance(value, datetime):  # TOML has dates of its own
        value = value.isoformat()
    if isinstance(value, str):
        try:
            parse_date(value)
        except (ValueError, OverflowError):
            raise _problem("must be a date with a time zone, such as 2026-01-31T12:00:00Z") from None
    return value


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.username is None
    except ValueError:
        usable = False
    if not usable:
        raise _problem("must be an http(s) address without a user")
    return value


def _glob(value: str) -> str:
    path = PurePosixPath(_filled(value))
    if path.is_absolute() or ".." in path.parts:
        raise _problem("must be relative to the job's `cwd` and stay below it")
    return value


Text = Annotated[str, AfterValidator(_filled)]
Duration = Annotated[float, BeforeValidator(_duration)]
Date = Annotated[str, BeforeValidator(_date)]
Url = Annotated[str, AfterValidator(_url)]
VariableName = Annotated[str, AfterValidator(_variable_name)]
FreeName = Annotated[str, AfterValidator(_variable_name), AfterValidator(_free_name)]
HostName = Annotated[str, AfterValidator(host_name)]


def _rule_glob(value: str) -> str:
    try:
        check_glob("", _filled(value))
    except ConfigurationError as error:
        raise _problem(error.message.partition(": ")[2].rstrip(".")) from None
    return value


def _ending(value: str) -> str:
    if value not in ENDINGS:
        raise _problem(f"is not an ending; there are: {', '.join(sorted(ENDINGS))}")
    return value


def _repository(value: str) -> str:
    if _PASSWORD.search(_filled(value)):
        raise _problem("must not hold a password: it would be in every record; the host's own git has its credentials")
    if re.match(r"\w+:(:|//)", value) and not value.lower().startswith(_GIT_SCHEMES):
        raise _problem(f"must be a path, or an address that begins with {', '.join(_GIT_SCHEMES)}")
    address = _ADDRESS.match(value)
    if address and (host := address[1] or address[2]) and (wrong := host_name_problem(host)):
        raise _problem(wrong)  # git hands it to ssh
    return value


def _ref(value: str) -> str:
    if not _REF.fullmatch(value):
        raise _problem("must be a branch, a tag or a commit, as git names them")
    return value


def _an_hour(value: float) -> float:
    if value < 3600:
        raise _problem("must be 1h at least: a run that goes on must not be taken for one that nobody collects")
    return value


def _from_one(value: int) -> int:
    if value < 1:
        raise _problem("must be a whole number, and at least 1")
    return value


def _amount(value: object) -> Decimal:
    """Read an amount of money exactly: a number as it was written, not as a float holds it."""
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            amount = Decimal(str(value))
        except ArithmeticError:
            amount = Decimal("NaN")
        if amount.is_finite() and amount >= 0:
            return amount
    raise _problem("must be an amount such as 1.25")


Amount = Annotated[Decimal, BeforeValidator(_amount)]


class Section(BaseModel):
    """A table of the configuration."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


def _secret(value: str) -> str:
    # A document may be one: line breaks are no fault.
    if "\ufeff" in value:
        raise _problem("must not hold a byte order mark")
    if len(value.encode("utf-8", "surrogatepass")) > _LARGEST_SECRET:
        raise _problem("must not be longer than 64 KiB")
    return _no_nul(value)


class CodexSection(Section):
    """`[codex]`, `[defaults.codex]`, `[jobs.NAME.codex]`."""

    path: Text | None = None
    model: Text | None = None
    config: dict[str, Any] | None = None
    env: dict[FreeName, Annotated[str, AfterValidator(_secret)]] | None = None


class CheckSection(Section):
    """`[[jobs.NAME.checks]]`."""

    name: Text
    run: Text
    timeout: Duration | None = None
    git: Literal["guarded", "as is"] | None = None


def _named_apart(checks: list[CheckSection]) -> list[CheckSection]:
    names = [check.name for check in checks]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _problem(f"each check needs a name of its own; given twice: {', '.join(twice)}")
    if ours := sorted(OWN_CHECKS & set(names)):
        raise _problem(f"a name of codex-runner's own checks: {', '.join(ours)}")
    return checks


class CredentialSection(Section):
    """`[jobs.NAME.credential]` and `[defaults.credential]`. Whether it is whole shows when the two are merged."""

    kind: Literal["access_token", "api_key", "workload_identity"] | None = None
    source: Literal["vault", "env", "file"] | None = None
    mount: Text | None = None
    path: Text | None = None
    field: Text | None = None
    variable: VariableName | None = None
    file: Text | None = None
    env_key: FreeName | None = None
    workflow: Text | None = None
    min_ttl: Duration | None = None
    warn_ttl: Duration | None = None
    max_age: Duration | None = None
    issued_at: Date | None = None
    expires_at: Date | None = None
    allow_unexpiring: bool | None = None
    allow_batch: bool | None = None
    preflight_url: Url | None = None
    identify: bool | None = None


class AuthSection(Section):
    """`[vault.auth]`: the keys of all methods. Which of them one has, its class in the domain says."""

    method: Literal["jwt", "approle", "kubernetes", "userpass", "cert", "token", "agent"]
    role: Text | None = None
    mount: Text | None = None
    audience: Text | None = None
    token_file: Text | None = None
    token_variable: VariableName | None = None
    role_id: Text | None = None
    role_id_variable: VariableName | None = None
    secret_id_file: Text | None = None
    secret_id_variable: VariableName | None = None
    wrapped: bool | None = None
    single_use: bool | None = None
    username: Text | None = None
    password_file: Text | None = None
    password_variable: VariableName | None = None
    cert_file: Text | None = None
    key_file: Text | None = None
    address: Url | None = None


def _fitting(section: AuthSection) -> AuthSection:
    if wrong := auth_problem(section.model_dump(exclude_unset=True)):
        key, message = wrong
        raise _problem(message, key)
    return section


class VaultSection(Section):
    """`[vault]`."""

    address: Url | None = None
    auth: Annotated[AuthSection, AfterValidator(_fitting)] | None = None
    namespace: Text | None = None
    ca_file: Text | None = None
    proxy: Text | None = None
    connect_timeout: Duration | None = None
    request_timeout: Duration | None = None
    retry_deadline: Duration | None = None
    sealed_deadline: Duration | None = None
    revoke_deadline: Duration | None = None


class JunitSection(Section):
    """`[junit]`."""

    guards: bool | None = None


class AuditSection(Section):
    """`[audit]`."""

    file: Text | None = None
    syslog: bool | None = None


class RetrySection(Section):
    """`retry` of a job."""

    attempts: Annotated[int, AfterValidator(_from_one)] | None = None
    tries: Annotated[int, AfterValidator(_from_one)] | None = None
    total: Duration | None = None
    least: Duration | None = None
    checks: Annotated[int, AfterValidator(_from_one)] | None = None


class PriceSection(Section):
    """`[prices.MODEL]`."""

    input: Amount
    output: Amount
    cached_input: Amount | None = None
    currency: Text | None = None


class BudgetSection(Section):
    """`budget` of a job."""

    tokens: Annotated[int, AfterValidator(_from_one)] | None = None
    input_tokens: Annotated[int, AfterValidator(_from_one)] | None = None
    output_tokens: Annotated[int, AfterValidator(_from_one)] | None = None
    turns: Annotated[int, AfterValidator(_from_one)] | None = None
    commands: Annotated[int, AfterValidator(_from_one)] | None = None
    changed_files: Annotated[int, AfterValidator(_from_one)] | None = None
    changed_lines: Annotated[int, AfterValidator(_from_one)] | None = None
    money: Amount | None = None
    tokens_per_day: Annotated[int, AfterValidator(_from_one)] | None = None


def _room(budget: BudgetSection) -> BudgetSection:
    if budget.tokens_per_day is not None and (budget.tokens is None or budget.tokens > budget.tokens_per_day):
        raise _problem("needs `tokens`, and at most as many: so much of it is set aside for a run", "tokens_per_day")
    return budget


class ConcurrencySection(Section):
    """`concurrency` of a job."""

    group: Text
    policy: Literal["skip", "wait", "cancel-running", "fail"] | None = None
    timeout: Duration | None = None


class NotifySection(Section):
    """`[[notify]]`."""

    name: Text
    format: Literal["json", "slack", "teams", "ntfy"] | None = None
    url_variable: Annotated[str, AfterValidator(_variable_name)] | None = None
    url_file: Text | None = None
    key_variable: Annotated[str, AfterValidator(_variable_name)] | None = None
    token_variable: Annotated[str, AfterValidator(_variable_name)] | None = None
    on: list[Annotated[str, AfterValidator(_ending)]] | None = None
    jobs: list[Text] | None = None
    ca_file: Text | None = None
    attempts: Annotated[int, AfterValidator(_from_one)] | None = None
    timeout: Duration | None = None
    deadline: Duration | None = None


def _addressed(targets: list[NotifySection]) -> list[NotifySection]:
    for target in targets:
        if (target.url_variable is None) == (target.url_file is None):
            raise _problem(f"{target.name}: needs `url_variable` or `url_file`, one of them: the address is a secret")
    return targets


class MetricsSection(Section):
    """`[metrics]`."""

    folder: Text


class WorkspaceSection(Section):
    """`workspace` of a job."""

    repo: Annotated[str, AfterValidator(_repository)] | None = None
    ref: Annotated[str, AfterValidator(_ref)] | None = None
    keep: Literal["never", "on-failure", "always"] | None = None


class JobSection(Section):
    """`[jobs.NAME]` and `[defaults]`."""

    prompt: str | None = None
    prompt_file: Text | None = None
    cwd: Text | None = None
    workspace: WorkspaceSection | None = None
    host: HostName | None = None
    sandbox: Literal["read-only", "workspace-write", "danger-full-access"] | None = None
    i_understand: bool | None = None
    timeout: Duration | None = None
    stall_timeout: Duration | None = None
    command_timeout: Duration | None = None
    exit_grace: Duration | None = None
    orphan_timeout: Duration | None = None
    reconnect_timeout: Duration | None = None
    host_retention: Annotated[Duration, AfterValidator(_an_hour)] | None = None
    model: Text | None = None
    codex: CodexSection | None = None
    checks: Annotated[list[CheckSection], AfterValidator(_named_apart)] | None = None
    on_check_failure: Literal["fail", "retry"] | None = None
    artifacts: list[Annotated[str, AfterValidator(_glob)]] | None = None
    keep_rollout: bool | None = None
    expect_message: bool | None = None
    output_schema: Text | None = None
    credential: CredentialSection | None = None
    retry: RetrySection | None = None
    budget: Annotated[BudgetSection, AfterValidator(_room)] | None = None
    concurrency: ConcurrencySection | None = None
    allowed_paths: list[Annotated[str, AfterValidator(_rule_glob)]] | None = None
    forbidden_paths: list[Annotated[str, AfterValidator(_rule_glob)]] | None = None
    max_changed_lines: Annotated[int, AfterValidator(_from_one)] | None = None
    must_change: bool | list[Annotated[str, AfterValidator(_rule_glob)]] | None = None
    secret_scan: bool | None = None
    trusted_events: list[Text] | None = None
    trusted_actors: list[Text] | None = None
    trusted_forks: list[Text] | None = None
    trusted_config: Literal["workspace", "base"] | None = None
    instructions: Literal["workspace", "base", "none"] | None = None


class HostSection(Section):
    """`[hosts.NAME]`."""

    codex: Text | None = None
    environment: list[FreeName] | None = None


class _Layer(PydanticBaseSettingsSource):
    """One place that settings come from, already read."""

    def __init__(self, settings_cls: type[BaseSettings], values: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self._values = values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - the base's
        return self._values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._values


class Settings(BaseSettings):
    """The whole file. Made by `read`, from nested tables in place of the process's own environment."""

    model_config = SettingsConfigDict(extra="forbid", strict=True, frozen=True)

    version: Annotated[int, BeforeValidator(_version)]
    output_dir: Text | None = None
    ledger: Text | None = None
    ssh_config: Text | None = None
    codex: CodexSection | None = None
    vault: VaultSection | None = None
    junit: JunitSection | None = None
    audit: AuditSection | None = None
    notify: Annotated[list[NotifySection], AfterValidator(_addressed)] | None = None
    metrics: MetricsSection | None = None
    prices: dict[Text, PriceSection] | None = None
    defaults: JobSection | None = None
    jobs: dict[Annotated[str, AfterValidator(_job_name)], JobSection] | None = None
    hosts: dict[HostName, HostSection] | None = None

    @classmethod
    def read(cls, layers: Sequence[Mapping[str, Any]]) -> Self:
        """Merge `layers`, the strongest first, and check the result. Raises pydantic's ValidationError."""
        given: dict[str, Any] = {"layers": layers}
        return cls(**given)

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


def below(node: Any, key: str) -> Any:
    """Return the annotation of what stands under `key` in a table of annotation `node`; None where nothing may."""
    node = bare(node)
    if fields := fields_of(node):
        return fields.get(key)
    if get_origin(node) is dict:
        return get_args(node)[1]
    return Any if node is Any else None


def fields_of(node: Any) -> dict[str, Any] | None:
    """Return the keys of a table whose keys are fixed, each with its annotation; None for anything else."""
    node = bare(node)
    if isinstance(node, type) and issubclass(node, BaseModel):
        return {name: field.annotation for name, field in node.model_fields.items()}
    return None


def is_text(node: Any) -> bool:
    """Whether a value of this annotation is a string."""
    node = bare(node)
    return node is str or (get_origin(node) is Literal and isinstance(get_args(node)[0], str))


def bare(node: Any) -> Any:
    """Return an annotation without `Annotated` and `| None`."""
    while True:
        if get_origin(node) is Annotated:
            node = get_args(node)[0]
        elif get_origin(node) in (Union, UnionType):
            node = next(arm for arm in get_args(node) if arm is not NoneType)
        else:
            return node
