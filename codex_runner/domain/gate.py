"""The gate before the agent: what is known of a job's last green run, and of the branch that a delivery would meet."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from codex_runner.domain.delivery import Delivered


class UnknownGreenRunError(ConfigurationError):
    """The record of a job's last green run cannot be read."""

    default_remedy = "The next green run writes it again."


class GateDecision(StrEnum):
    """What a gate comes to."""

    GO = "go"
    SKIP = "skip"  # the run has nothing to do
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class GreenRun:
    """What a job's last green run began with. It is kept for the next run: see `engine.gate`.

    `commit` is the base: the commit that the agent began with. `files` is a digest of the files under `unless_changed`
    in that commit, `job` one of what the job asks for; both are "" in a record that was `taken_back`.
    """

    run: str
    commit: str
    files: str
    job: str

    @property
    def taken_back(self) -> Self:
        """The record in place of this one if the run does not count after all: no run is like it."""
        return type(self)(self.run, self.commit, "", "")

    @property
    def written(self) -> str:
        """The record as the text of a file."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def read(cls, data: bytes) -> Self | None:
        """Parse what was `written`. Returns None if it is anything else."""
        try:
            said = json.loads(data)
            values = [said[field.name] for field in fields(cls)]
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        return cls(*values) if all(type(value) is str for value in values) else None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the forge says before the agent, for the gate.

    `blocked` is the result that a delivery would have whatever the agent does: held, or closed. `open_pull` names an
    open pull request that is the workflow's own, "" if there is none. `green` is the last green run, None if the forge
    has no record of one; `unknown` says why its record cannot be read.
    """

    blocked: Delivered | None = None
    open_pull: str = ""
    green: GreenRun | None = None
    unknown: str = ""
