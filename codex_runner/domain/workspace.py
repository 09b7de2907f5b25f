"""Workspaces: the tree of files that the runner makes for one run, and whether it stays afterwards."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from codex_runner.dataclass import dataclass
from codex_runner.domain.key import SHOWN, Form, key


class Keep(StrEnum):
    """Whether the workspace stays on the host after the run, for people to inspect. It is removed after `retention`."""

    NEVER = "never"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class WorkspaceSpec:
    """The source of a run's workspace: `repo` at `ref`.

    `repo` is an absolute path on the runner's machine, or a URL that the executing host fetches by itself. `ref` names
    a commit of it.
    """

    repo: str = field(default=".", metadata=key(form=Form.REPOSITORY))
    ref: str = field(default="HEAD", metadata=key(form=Form.REF, shown=True))
    keep: Keep = field(default=Keep.NEVER, metadata=SHOWN)

    @property
    def is_url(self) -> bool:
        """Whether the executing host fetches the repository by itself."""
        return not self.repo.startswith("/")

    def stays(self, *, failed: bool) -> bool:
        """Whether the workspace stays after a run that failed, or succeeded."""
        return self.keep is Keep.ALWAYS or (self.keep is Keep.ON_FAILURE and failed)


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace on the host. `path` is its top, `cwd` the folder in it to work in; both are absolute."""

    path: str
    cwd: str
    commit: str
