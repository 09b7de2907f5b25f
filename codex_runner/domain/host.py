"""The host that executes a job: its name, the launch that it gets, and the output and ending that it returns."""

from __future__ import annotations

import re
from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from codex_runner.dataclass import dataclass
from codex_runner.domain.outside import Outside
from codex_runner.text.excerpts import end_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.domain.run import ProcessExit
    from codex_runner.domain.secret import Secret

Stream = Literal["stdout", "stderr"]

KEPT: Final = 1 << 20
"""The most bytes that are kept of a command's output. transports/host/head.sh has the same number."""

# OpenSSH itself refuses other names from 9.6 on. Older ones pass a name to the shell of a ProxyCommand or `Match exec`.
_HOST_NAME = re.compile(r"(?!-)[^\s\x00-\x20\x7f'`\"$\\;&<>|(){}]+")


class Host(str):
    """The name of the host that executes a job, as the configuration has it. Records and messages show it as it is."""

    __slots__ = ()

    @property
    def is_here(self) -> bool:
        """Whether it is the runner's own machine."""
        return self == LOCAL_HOST


LOCAL_HOST: Final = Host("local")
"""The runner's own machine. Any other name is one that OpenSSH knows."""


def host_name_problem(name: str) -> str | None:
    """Returns None if ssh may get `name` as a host's name, otherwise why not."""
    if _HOST_NAME.fullmatch(name) and name.isprintable():
        return None
    return "a host's name has no spaces, none of '`\"$\\;&<>|(){} and does not begin with '-'"


@dataclass(frozen=True, slots=True)
class Launch:
    """All that a host needs to start one attempt. Durations are in seconds.

    `command` is codex's argv; its first element is the binary's absolute path, and none holds a secret. The environment
    travels on stdin. `config` becomes `home/config.toml`, `schema` (if any) `home/output-schema.json`, `instructions`
    (if any) `home/AGENTS.md`, and `prompt` codex's stdin. The supervisor ends codex by itself after `timeout`, and
    after `orphan` without a ping of a runner. The launch also removes what finished runs left on the host `retention`
    after its last use. `records` are the run's records so far, as lines of events.jsonl, for a runner on another
    machine that attaches.
    """

    run_id: str
    attempt: int
    command: tuple[str, ...]
    cwd: str
    config: str
    prompt: bytes
    timeout: float
    orphan: float
    retention: float
    environment: Mapping[str, str | Secret] = field(default_factory=lambda: MappingProxyType({}))
    schema: str | None = None
    instructions: str = ""
    records: bytes = b""


@dataclass(frozen=True, slots=True)
class Started:
    """The answer to a launch. `new` is False if the attempt existed already, and the runner has joined it."""

    new: bool


@dataclass(frozen=True, slots=True)
class Output:
    """Bytes that codex wrote. `offset` is their first byte's position in the host's file of that stream."""

    stream: Stream
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """codex has ended, and all of its output has been yielded."""

    exit: ProcessExit


@dataclass(frozen=True, slots=True)
class Lost:
    """The supervisor is gone without codex's exit, and all output that was written has been yielded."""

    message: str


Piece = Output | Ended | Lost


@dataclass(frozen=True, slots=True)
class Install:
    """A codex found on a host. `version` is its own text, such as `0.169.0`; `features` its feature flags.

    `runs` is the folder of the host's run directories, "" if it is not known. `absent` are credential places in the
    user's home (`~/.config/gh`) that do not exist. `at_home`: the home is the job's folder. `outside` lists programs
    that run outside of the sandbox and that the agent may overwrite.

    `bwrap` is the folder of codex's own bubblewrap, if that in PATH is too old for codex's sandbox. `old_bwrap` is the
    path of such an old one, if codex has none of its own.
    """

    path: str
    version: str
    features: frozenset[str]
    runs: str = ""
    at_home: bool = False
    absent: frozenset[str] = frozenset()
    outside: Outside = field(default_factory=Outside)
    bwrap: str = ""
    old_bwrap: str = ""


@dataclass(frozen=True, slots=True)
class Completed:
    """A finished command. `exit_code` is None if it ran out of time; `seconds` is its duration.

    After `Transport.execute`, `output` is stdout and stderr together. After `Transport.ask`, it is the script's answer
    alone; `complaint` is then its stderr, and what the host printed before the script began.
    """

    exit_code: int | None
    output: bytes
    seconds: float
    complaint: bytes = b""

    @property
    def last_words(self) -> str:
        """The text for people if a script failed: the end of its complaint, or of its answer if there is none."""
        said = self.complaint.strip() or self.output.strip()
        return end_of(said.decode("utf-8", "replace"), 500)
