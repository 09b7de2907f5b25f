"""The adapters of a run, and what its runner knows of it beside the job. `app.compose` makes both."""

from __future__ import annotations

from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from codex_runner.dataclass import dataclass
from codex_runner.domain.claim import RENEWAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codex_runner.domain.event import Record, Warned
    from codex_runner.domain.folder import RunFolder
    from codex_runner.domain.ports import (
        Account,
        Agent,
        Artifacts,
        ConfigTrust,
        Credentials,
        Group,
        ReplySchema,
        Reports,
        Workspaces,
    )
    from codex_runner.domain.transport_port import Transport
    from codex_runner.engine.gate import GreenRuns
    from codex_runner.engine.handover import Deliverer
    from codex_runner.engine.secret_scan import SecretScan


@dataclass(frozen=True, slots=True)
class Adapters:
    """The ports of one run. Each part of the engine gets only those that it uses.

    `schema`, `scan`, `workspaces`, `group`, `account`, `deliverer` and `green_runs` are None unless the job asks for
    one.
    `config_trust` is None unless the pipeline works on a pull or merge request.
    """

    transport: Transport
    credentials: Credentials
    agent: Agent
    artifacts: Artifacts
    reports: Reports
    schema: ReplySchema | None = None
    scan: SecretScan | None = None
    workspaces: Workspaces | None = None
    group: Group | None = None
    account: Account | None = None
    config_trust: ConfigTrust | None = None
    deliverer: Deliverer | None = None
    green_runs: GreenRuns | None = None


@dataclass(frozen=True, slots=True)
class RunContext:
    """What the runner knows of a run beside its job.

    `folder` is the run's folder, which the runner searches for secrets at the end. `doubts` are warnings to record at
    the beginning. `own` are folders on the host that the runner writes. `later` holds the host's records of the
    attempts after the one that this runner attaches to, one sequence for each attempt. `renewal` is the seconds between
    two renewals of the run's claim. `configuration` is a digest of the settings beside the job that a runner needs to
    attach. `provenance` is who asked for the run, and with which runner and configuration: for an audit.
    """

    folder: RunFolder | None = None
    doubts: Sequence[Warned] = ()
    own: Sequence[str] = ()
    later: Sequence[Sequence[Record]] = ()
    renewal: float = RENEWAL
    configuration: str = ""
    provenance: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
