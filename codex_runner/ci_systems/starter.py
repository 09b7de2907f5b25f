"""Starters: the files by which a system runs a job, as `codex-runner init SYSTEM` writes them."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Final, Protocol

from codex_runner.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

NO_OWNER: Final = "OWNER"
"""What stands for the account that has codex-runner's repository. The first release needs the account's name."""


@dataclass(frozen=True, slots=True)
class Starter:
    """Files to write, by their path below the folder that they are for, and the next steps for the person."""

    files: Mapping[str, str]
    next_steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine that cron and systemd run on: paths are absolute."""

    folder: str
    runner: str
    path: str
    state: str
    user: str


class Fill(Protocol):
    """Fills in a template."""

    def __call__(self, template: str, values: Mapping[str, str], /) -> str:
        """Return the template of that name with these values in addition to the job's own."""


@dataclass(frozen=True, slots=True)
class StarterRequest:
    """The job to set up on a system, and its place there.

    `config_file` is the configuration's path from the folder that the files are for. `source` is the source of the
    job's credential (`vault`, `env`, `file`, `none`), `auth_method` is the method of Vault's login. `action` is the
    action's place on GitHub. `movable` files of the system that are `taken` are not overwritten. `committed` is what
    the pipeline needs in the repository beside its own files. `input_script` writes `context`, which the job gets as
    its `--context`; both are empty without an input. `when` says in words how often the job runs. `locks` are the lock
    files, with hashes, from which a pipeline installs codex-runner.
    """

    job: str
    config_file: str
    source: str
    auth_method: str
    place: Machine
    action: str
    taken: Container[str]
    committed: tuple[str, ...]
    input_script: str
    context: str
    when: str
    locks: Mapping[str, str]
    fill: Fill


def has_no_owner(action: str) -> bool:
    """Whether the action's place on GitHub has NO_OWNER in it."""
    return action.startswith(f"{NO_OWNER}/")


def commit_step(*files: str) -> str:
    """Return the step that adds these files to the repository."""
    return f"git add {' '.join(map(shlex.quote, files))}; commit and push"


def for_yaml(value: str) -> str:
    """Quote a scalar of YAML."""
    return json.dumps(value, ensure_ascii=False)
