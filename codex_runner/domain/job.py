"""What is asked for: a job, its limits, and what must hold when it is done. Durations are in seconds."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003
from dataclasses import field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from codex_runner.dataclass import dataclass

# At run time too: event.build() reads the hints.
from codex_runner.domain.concurrency import Concurrency  # noqa: TC001
from codex_runner.domain.credential import CredentialSpec  # noqa: TC001
from codex_runner.domain.host import LOCAL_HOST, Host
from codex_runner.domain.key import NO_KEY, SHOWN, SPREAD, Form, key
from codex_runner.domain.policy import Budget, PathRules, Price, RetryPolicy, TrustPolicy
from codex_runner.domain.secret import Secret  # noqa: TC001
from codex_runner.domain.workspace import WorkspaceSpec  # noqa: TC001


class Sandbox(StrEnum):
    """What codex lets the agent's commands touch."""

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
    """How long each thing may take, in seconds.

    `stall` is silence while no item is open; an open command has `command` instead, since a quiet command prints
    nothing for as long as it runs. `exit_grace` is what codex gets between its final event and its exit.
    `orphan` is how long an agent lives with no runner attached. `reconnect` bounds the search for a lost host.
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

    `git` is `guarded`, so that its git commands run nothing that a repository names, or `as is`.
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
    """One job, complete and checked: nothing in it needs looking up again. Each field is a key of `[jobs.NAME]`.

    `prompt` is the final text for the agent, its variables filled and its context appended. `cwd` is an absolute
    path on the host that executes; with a `workspace`, it is relative to its top until that is made. `output_schema` is
    the text of a JSON Schema for the final message. `secret_scan`: whether what it adds is searched for credentials.
    `keep_rollout`: whether codex's own transcript is kept, redacted. `instructions`: None is `base` on a pull or merge
    request, and `workspace` outside of any.
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
