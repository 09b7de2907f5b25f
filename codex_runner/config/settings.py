"""The loaded configuration, for all jobs: before one of them is chosen and gets its prompt."""

from __future__ import annotations

from dataclasses import field, fields
from pathlib import Path  # noqa: TC003 - the types of fields are read at run time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from codex_runner.dataclass import dataclass
from codex_runner.domain.credential import KeyPlace, VaultSettings
from codex_runner.domain.job import Job
from codex_runner.domain.key import FILE, NO_KEY, SECRET_FILE, SECRET_VARIABLE, Form, key
from codex_runner.domain.notice import NoticeFormat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.domain.policy import Price

FILE_NAME = "codex-runner.toml"
OUTPUT_DIR = "codex-runner-out"
CHECK_TURNS = 2


@dataclass(frozen=True, slots=True)
class JobSettings(Job):
    """The template of a job: `[defaults]` and `[codex]` are merged in, and nothing is looked up yet.

    Paths and the repository of `workspace` are as written, and `output_schema` is the file's name. `prompt` and `cwd`
    are empty if they are not given. `codex.path` is set only if the job or `[defaults]` sets it: the host's path
    comes before `[codex]`'s.

    Its own fields are keys that a complete job does not have. `i_understand` allows an agent without a sandbox to run
    with a credential within its reach. `model` is short for `codex.model`. `on_check_failure` and `trusted_config`
    decide `retry.checks` and `trust.base_config`. `description` is for people: `codex-runner jobs` shows it.
    """

    name: str = field(default="", metadata=NO_KEY)
    prompt: str = field(default="", metadata=key(form=Form.ANY_TEXT))
    cwd: str = ""
    description: str | None = None
    prompt_file: str | None = None
    i_understand: bool = False
    model: str | None = None
    on_check_failure: str = field(default="fail", metadata=key(choices=("fail", "retry")))
    trusted_config: str = field(default="workspace", metadata=key(choices=("workspace", "base")))

    def complete(self, **found: Any) -> Job:
        """Build the job: its fields, except those that were `found`."""
        return Job(**{each.name: found.get(each.name, getattr(self, each.name)) for each in fields(Job)})


@dataclass(frozen=True, slots=True)
class HostSettings:
    """Settings of one host. `codex` is the binary's path on it.

    `environment` names variables that its ssh gets although the runner reads a secret from them.
    """

    codex: str | None = None
    environment: tuple[str, ...] = field(default=(), metadata=key(form=Form.FREE_VARIABLE))


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Where each run leaves its lines for auditors: a file (absolute), the system's log, both or neither.

    An audit of a run is signed with the key in `key_file`, in the variable `key_variable`, or in Vault at `key_vault`:
    one of them, or none.
    """

    file: Path | None = None
    syslog: bool = False
    key_file: str | None = field(default=None, metadata=SECRET_FILE)
    key_variable: str | None = field(default=None, metadata=SECRET_VARIABLE)
    key_vault: KeyPlace | None = None

    @property
    def has_key(self) -> bool:
        """Whether a key is configured."""
        return any(each is not None for each in (self.key_file, self.key_variable, self.key_vault))


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """A `[[notify]]` table: a target, and the endings that it is notified of. Files are absolute.

    It names where its address and keys are, and holds none of them. `attempts`, `timeout` and `deadline` are None if
    NotifyTarget's defaults apply.
    """

    name: str
    format: str = field(default="json", metadata=key(choices=tuple(NoticeFormat)))
    url_variable: str | None = field(default=None, metadata=SECRET_VARIABLE)
    url_file: str | None = field(default=None, metadata=SECRET_FILE)
    key_variable: str | None = field(default=None, metadata=SECRET_VARIABLE)
    token_variable: str | None = field(default=None, metadata=SECRET_VARIABLE)
    on: tuple[str, ...] = field(default=("failed",), metadata=key(form=Form.ENDING))
    jobs: tuple[str, ...] = ()
    ca_file: str | None = field(default=None, metadata=FILE)
    attempts: int | None = None
    timeout: float | None = None
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, checked.

    `path` is the file, absolute; relative paths start at its folder. `output_dir`, `ledger` (None is the user's own),
    `ssh_config` (the argument of `ssh -F`) and all files of `vault` and `audit` are absolute. `codex_path` is
    `[codex] path` as written. `defaults` is a job without settings of its own. `prices` are by model. `metrics` is
    the folder for the collector's files. `junit_guards` says if JUnit reports show the guards that passed. `warnings`
    are sentences about what the configuration should no longer have.
    """

    path: Path
    output_dir: Path
    jobs: Mapping[str, JobSettings]
    hosts: Mapping[str, HostSettings] = field(default_factory=lambda: MappingProxyType({}))
    codex_path: str | None = None
    vault: VaultSettings = field(default_factory=VaultSettings)
    ssh_config: Path | None = None
    junit_guards: bool = True
    audit: AuditSettings = field(default_factory=AuditSettings)
    notify: tuple[NotifySettings, ...] = ()
    metrics: Path | None = None
    ledger: Path | None = None
    prices: Mapping[str, Price] = field(default_factory=lambda: MappingProxyType({}))
    defaults: JobSettings = field(default_factory=JobSettings)
    warnings: tuple[str, ...] = ()

    @property
    def root(self) -> Path:
        """The folder of the configuration file."""
        return self.path.parent
