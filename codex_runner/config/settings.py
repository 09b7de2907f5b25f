"""What the configuration comes to, for all jobs, before one of them is chosen and given its prompt."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from codex_runner.domain.credential import VaultSettings
from codex_runner.domain.host import LOCAL_HOST
from codex_runner.domain.job import Check, CodexSettings, Limits, Sandbox
from codex_runner.domain.policy import Budget, PathRules, RetryPolicy, TrustPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from codex_runner.domain.concurrency import Concurrency
    from codex_runner.domain.credential import CredentialSpec
    from codex_runner.domain.job import Instructions
    from codex_runner.domain.policy import Price
    from codex_runner.domain.workspace import WorkspaceSpec

FILE_NAME = "codex-runner.toml"
OUTPUT_DIR = "codex-runner-out"
CHECK_TURNS = 2


@dataclass(frozen=True, slots=True)
class JobSettings:
    """A job as it is configured, `[defaults]` and `[codex]` already merged in. Paths are as written.

    `i_understand` allows an agent without a sandbox to run where a credential is within its reach.
    `codex.path` is set only where the job (or `[defaults]`) names one itself: the host's comes before `[codex]`'s.
    """

    name: str
    prompt: str | None = None
    prompt_file: str | None = None
    cwd: str | None = None
    host: str = LOCAL_HOST
    sandbox: Sandbox = Sandbox.READ_ONLY
    i_understand: bool = False
    limits: Limits = field(default_factory=Limits)
    codex: CodexSettings = field(default_factory=CodexSettings)
    checks: tuple[Check, ...] = ()
    artifacts: tuple[str, ...] = ()
    keep_rollout: bool = False
    expect_message: bool = True
    credential: CredentialSpec | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    budget: Budget = field(default_factory=Budget)
    rules: PathRules = field(default_factory=PathRules)
    secret_scan: bool = False
    workspace: WorkspaceSpec | None = None
    trust: TrustPolicy = field(default_factory=TrustPolicy)
    concurrency: Concurrency | None = None
    output_schema: str | None = None
    instructions: Instructions | None = None


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What is particular to one host. `codex` is the binary's path on it.

    `environment` names variables that its ssh gets although the runner reads a secret from them.
    """

    codex: str | None = None
    environment: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Where each run leaves its lines for auditors: a file (absolute), the system's log, both or neither."""

    file: Path | None = None
    syslog: bool = False


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """A `[[notify]]`: who is told of which endings. Its address and keys are named, not held; files are absolute.

    `limits` holds what was set of NotifyTarget's attempts, timeout and deadline.
    """

    name: str
    format: str = "json"
    url_variable: str | None = None
    url_file: str | None = None
    key_variable: str | None = None
    token_variable: str | None = None
    on: tuple[str, ...] = ("failed",)
    jobs: tuple[str, ...] = ()
    ca_file: str | None = None
    limits: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, checked.

    `path` is the file, absolute; its folder is what relative paths are resolved against. `output_dir`, `ledger` (None
    is the user's own), `ssh_config` (what `ssh -F` gets) and all files of `vault` and `audit` are absolute.
    `codex_path` is `[codex] path` as written. `defaults` is what a job that says nothing comes to.
    `prices` are by model. `metrics` is the folder for the collector's files. `junit_guards` says whether JUnit reports
    show the runner's own promises that were kept.
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
    defaults: JobSettings = field(default_factory=lambda: JobSettings(""))

    @property
    def root(self) -> Path:
        """The folder of the configuration file."""
        return self.path.parent
