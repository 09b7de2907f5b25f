"""The events that the runner notices: what it started, judged, kept and ended."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Self

from codex_runner.dataclass import dataclass
from codex_runner.domain.delivery import Delivered  # noqa: TC001 - build() reads the hints at run time
from codex_runner.domain.event.kind import Event
from codex_runner.domain.run import Ending, ProcessExit  # noqa: TC001 - build() reads the hints at run time


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """The run has its folder. `facts` are the job, complete enough to attach, without any secret."""

    kind = "run.started"
    run_id: str
    job: str
    host: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunPrepared(Event):
    """The run can begin. `facts` are known before anything is spent: codex's version, the credential's facts."""

    kind = "run.prepared"
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WorkspaceMade(Event):
    """The run has its own tree on the host: its top, the folder in it to work in, and its commit.

    `repo` and `ref` are the job's keys for its source.
    """

    kind = "workspace.made"
    path: str
    cwd: str
    commit: str
    repo: str
    ref: str


@dataclass(frozen=True, slots=True)
class WorkspaceKept(Event):
    """The run's tree stays on the host, for people to look at. After `seconds`, a later run removes it."""

    kind = "workspace.kept"
    path: str
    seconds: float


@dataclass(frozen=True, slots=True)
class AttemptStarted(Event):
    """codex has been started, or a running codex has been joined (`attached`).

    `thread_id` is the thread that this attempt goes on with, None if it begins a new one.
    """

    kind = "attempt.started"
    number: int
    attached: bool = False
    reason: str = ""
    thread_id: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptEnded(Event):
    """An attempt has ended. `ending` says how."""

    kind = "attempt.ended"
    number: int
    ending: Ending
    exit: ProcessExit | None = None


@dataclass(frozen=True, slots=True)
class Retrying(Event):
    """An attempt failed in a way that can pass. Another one begins after `seconds`."""

    kind = "attempt.retry"
    number: int
    seconds: float
    resume: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """A warning. `code` is stable, for programs; `message` is for people."""

    kind = "warning"
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class CredentialTaken(Event):
    """The credential has been read, and is judged next. `facts` are those that may be shown (CredentialFacts)."""

    kind = "credential.taken"
    facts: dict[str, Any]


NOT_JUDGED = "not judged"
"""The third outcome of a guard, in the words of every report."""

NO_BUDGET = "no-budget"
"""The code of a warning that many runs have: logs show it without an annotation."""


@dataclass(frozen=True, slots=True)
class Guarded(Event):
    """One of the runner's own promises, kept or not: a credential rule, a revocation, a sweep.

    `judged` is false if nothing proves either. `passed` is then false too.
    """

    kind = "guard"
    name: str
    passed: bool
    message: str
    seconds: float = 0.0
    failure: str | None = None
    judged: bool = True

    @classmethod
    def unjudged(cls, name: str, message: str, seconds: float = 0.0) -> Self:
        """Return a guard that could not be judged: neither kept nor broken."""
        return cls(name, False, message, seconds, judged=False)

    @property
    def failed(self) -> bool:
        """Whether the promise is known to be broken."""
        return self.judged and not self.passed

    @property
    def outcome(self) -> str:
        """The outcome in the words of every report."""
        return "kept" if self.passed else "not kept" if self.judged else NOT_JUDGED


@dataclass(frozen=True, slots=True)
class StopRequested(Event):
    """The runner has decided to end the agent, or a run whose agent is done. `reason` is a `StopReason`."""

    kind = "stop.requested"
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class CheckStarted(Event):
    """A check has begun."""

    kind = "check.started"
    name: str
    run: str


@dataclass(frozen=True, slots=True)
class CheckEnded(Event):
    """A check is done. `exit_code` is None if it ran out of time. `output` holds its tail."""

    kind = "check.ended"
    name: str
    passed: bool
    exit_code: int | None
    seconds: float
    output: str


@dataclass(frozen=True, slots=True)
class ArtifactKept(Event):
    """A file that the run leaves. `path` is relative to the run's folder. `size` is in bytes."""

    kind = "artifact"
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Gated(Event):
    """The gate has decided before the agent: `decision` is `go`, `skip` or `fail`, and `reason` says why.

    `exit_code`, `seconds` and `output` (its tail) are those of the gate's command, if it ran. `exit_code` is None if it
    did not run, or ran out of time.
    """

    kind = "gate"
    decision: str
    reason: str
    exit_code: int | None = None
    seconds: float = 0.0
    output: str = ""


@dataclass(frozen=True, slots=True)
class DeliveryReady(Event):
    """A green run's changes are on the runner's machine, and its host is not needed any more.

    `tree` is the tree to deliver, "" if there is nothing to deliver. If it must not be delivered, `refusal` says why;
    `exit_code` and `remedy` are the run's then.
    """

    kind = "delivery.ready"
    tree: str = ""
    refusal: str = ""
    exit_code: int = 0
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class DeliveryEnded(Event):
    """The run's changes have been delivered, or have not: `delivery` says which."""

    kind = "delivery.ended"
    delivery: Delivered


@dataclass(frozen=True, slots=True)
class Leaked(Event):
    """A secret was in a file that the run left. `path` is relative to the run's folder.

    `done` is `removed`, or `masked` if the file is the run's own record. A removed artifact is no artifact any more.
    """

    kind = "leak"
    path: str
    secret: str
    done: str


@dataclass(frozen=True, slots=True)
class Changed(Event):
    """The agent's changes by git: the counts of paths and lines, the diffstat, and the broken rules.

    `exit_code` is that of the gravest finding, 0 without any. Of the paths, `newly_ignored` are ignored only by rules
    that the agent has left, and are not to be delivered. `repositories` are what git would take for a repository of
    its own, new or changed. The lines of `uncounted` cannot be counted.
    """

    kind = "changes"
    paths: int
    lines: int
    diffstat: str
    findings: tuple[str, ...] = ()
    exit_code: int = 0
    newly_ignored: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    uncounted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunEnded(Event):
    """The verdict, and what to do about it. If a report cannot be written, a second one follows. The last counts."""

    kind = "run.ended"
    exit_code: int
    result: str
    reason: str
    remedy: str = ""
