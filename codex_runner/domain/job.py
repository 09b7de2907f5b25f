"""The job: what the agent is asked, its limits, and its checks. Durations are in seconds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping  # noqa: TC003
from dataclasses import field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from codex_runner.dataclass import dataclass

# At run time too: event.build() reads the hints.
from codex_runner.domain.concurrency import Concurrency  # noqa: TC001
from codex_runner.domain.credential import CredentialSpec  # noqa: TC001
from codex_runner.domain.delivery_spec import DeliverySpec, GateSpec  # noqa: TC001
from codex_runner.domain.host import LOCAL_HOST, Host
from codex_runner.domain.key import NO_KEY, SHOWN, SPREAD, Form, key
from codex_runner.domain.policy import Budget, PathRules, Price, RetryPolicy, TrustPolicy
from codex_runner.domain.secret import Secret  # noqa: TC001
from codex_runner.domain.workspace import WorkspaceSpec  # noqa: TC001


class Sandbox(StrEnum):
    """The access that codex's sandbox gives to the agent's commands."""

    READ_ONLY = "read-only"
    WORKSPACE_WRITE = "workspace-write"
    DANGER_FULL_ACCESS = "danger-full-access"


class Instructions(StrEnum):
    """Whose AGENTS.md and skills the agent gets: the working tree's, the base commit's of a proposal, or none."""

    WORKSPACE = "workspace"
    BASE = "base"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Limits:
    """Timeouts, in seconds.

    `stall` limits codex's silence while no item is open; while a command runs, `command` counts instead, since codex
    prints nothing while a command is quiet. `exit_grace` limits the time between codex's final event and its exit.
    `orphan` is how long an agent lives with no runner attached. `reconnect` limits the search for a lost host.
    `retention` is how long a host keeps what finished runs left there, if no runner collects it.
    """

    timeout: float = 1800.0
    stall: float = field(default=900.0, metadata=key("stall_timeout"))
    command: float = field(default=1800.0, metadata=key("command_timeout"))
    exit_grace: float = 10.0
    orphan: float = field(default=600.0, metadata=key("orphan_timeout"))
    reconnect: float = field(default=600.0, metadata=key("reconnect_timeout"))
    retention: float = field(default=604_800.0, metadata=key("host_retention", Form.AN_HOUR))


@dataclass(frozen=True, slots=True)
class Check:
    """A command that must exit 0 in the workspace after the agent is done. It runs in `sh -c`.

    With `git` as `guarded`, its git commands run no program that a repository names; otherwise `as is`.
    """

    name: str
    run: str
    timeout: float = 600.0
    git: str = field(default="guarded", metadata=key(choices=("guarded", "as is")))


# The names of the runner's own checks, in every report: a job's checks have others.
RULES = "path rules"
SCHEMA = "output schema"
SCAN = "secret scan"
# The name of the guard that stands for the proof of the agent's sandbox.
PROOF = "sandbox"

OWN_CHECKS = frozenset({RULES, SCAN, SCHEMA})


@dataclass(frozen=True, slots=True)
class CodexSettings:
    """Settings of codex: its path, and what the run's own config.toml says.

    `config` is merged into the run's config.toml (TOML-like nested mapping). `environment` reaches codex and not
    the agent's shell.
    """

    path: str | None = field(default=None, metadata=SHOWN)
    model: str | None = field(default=None, metadata=SHOWN)
    config: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    environment: Mapping[str, Secret] = field(
        default_factory=lambda: MappingProxyType({}), metadata=key("env", Form.FREE_VARIABLE)
    )


@dataclass(frozen=True, slots=True)
class Job:
    """One job, complete and validated. Each field is a key of `[jobs.NAME]`.

    `prompt` is the final text for the agent, its variables filled and its context appended. `cwd` is an absolute
    path on the host that executes; with a `workspace`, it is relative to its top until that is made. `output_schema` is
    the text of a JSON Schema for the final message. `secret_scan`: search the lines that the agent adds for
    credentials. `keep_rollout`: keep codex's own transcript, redacted. `instructions` None means `base` on a pull or
    merge request, and otherwise `workspace`.
    """

    name: str = field(metadata=NO_KEY)
    prompt: str = field(metadata=key(form=Form.ANY_TEXT))
    cwd: str
    host: Host = field(default=LOCAL_HOST, metadata=key(form=Form.HOST))
    sandbox: Sandbox = Sandbox.READ_ONLY
    limits: Limits = field(default_factory=Limits, metadata=SPREAD)
    codex: CodexSettings = field(default_factory=CodexSettings)
    checks: tuple[Check, ...] = ()
    artifacts: tuple[str, ...] = field(default=(), metadata=key(form=Form.GLOB))
    keep_rollout: bool = False
    expect_message: bool = True
    credential: CredentialSpec | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    budget: Budget = field(default_factory=Budget)
    rules: PathRules = field(default_factory=PathRules, metadata=SPREAD)
    secret_scan: bool = False
    workspace: WorkspaceSpec | None = None
    trust: TrustPolicy = field(default_factory=TrustPolicy, metadata=SPREAD)
    concurrency: Concurrency | None = None
    output_schema: str | None = None
    price: Price | None = field(default=None, metadata=NO_KEY)
    instructions: Instructions | None = None
    delivery: DeliverySpec | None = None
    gate: GateSpec | None = None


def prompt_sha256(prompt: object) -> str | None:
    """Return the digest of a recorded prompt, which may hold halves of characters. None if a record has no prompt."""
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest() if isinstance(prompt, str) else None
