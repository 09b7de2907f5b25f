"""Starters: the files with which a system runs a job, as `codex-runner init SYSTEM` writes them."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Protocol

from codex_runner.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Container, Mapping


@dataclass(frozen=True, slots=True)
class Starter:
    """Files to write, by their path below the folder that they are for, and what to tell the person."""

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
    """Fills a template in."""

    def __call__(self, template: str, values: Mapping[str, str], /) -> str:
        """Return the template of that name with these values in addition to the job's own."""


@dataclass(frozen=True, slots=True)
class StarterRequest:
    """Which job is to run where.

    `config_file` is the configuration's path from the folder that the files are for. `source` is where the job's
    credential comes from (`vault`, `env`, `file`, `none`), `auth_method` how Vault is logged in to. `action` is where
    GitHub finds the action. Files of the system's `movable` that are `taken` are left to their owner. `locks` are the
    files that a pipeline installs codex-runner by, with hashes.
    """

    job: str
    config_file: str
    source: str
    auth_method: str
    place: Machine
    action: str
    taken: Container[str]
    locks: Mapping[str, str]
    fill: Fill


def commit_step(*files: str) -> str:
    """Return the step that puts these files into the repository."""
    return f"git add {' '.join(map(shlex.quote, files))}; commit and push"


def for_yaml(value: str) -> str:
    """Write a scalar of YAML."""
    return json.dumps(value, ensure_ascii=False)
