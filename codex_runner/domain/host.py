"""What runs where: a launch for a host, and what comes back from it."""

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
"""How many bytes of a command's output are kept at most. transports/host/head.sh has the same number."""

# What OpenSSH itself refuses from 9.6 on: older ones hand a name to the shell of a ProxyCommand or a `Match exec`.
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
    """Say why `name` cannot be given to ssh as a host's name; None where it can."""
    if _HOST_NAME.fullmatch(name) and name.isprintable():
        return None
    return "a host's name has no spaces, none of '`\"$\\;&<>|(){} and does not begin with '-'"


@dataclass(frozen=True, slots=True)
class Launch:
    """All that a host needs to start one attempt.

    `command` is codex's argv, its first element the binary's absolute path; it never holds a secret. The environment
    travels on stdin. `config` becomes `home/config.toml`, `schema` (if any) `home/output-schema.json`, `instructions`
    (if any) `home/AGENTS.md`, `prompt` becomes codex's stdin. Seconds throughout: after `timeout` the supervisor ends
    codex by itself; after `orphan` seconds without a ping, too. What finished runs left on the host goes with this one,
    `retention` seconds after somebody last touched it. `records` is what a runner elsewhere must know of the run so
    far, as lines of events.jsonl.
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
    """The answer to a launch. `new` is False where the attempt was already there and has been joined."""

    new: bool


@dataclass(frozen=True, slots=True)
class Output:
    """Bytes that codex wrote. `offset` is where they begin in the host's file of that stream."""

    stream: Stream
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """codex is gone, and all it wrote has been handed over."""

    exit: ProcessExit


@dataclass(frozen=True, slots=True)
class Lost:
    """The supervisor is gone without saying how codex ended, and all that was written has been handed over."""

    message: str


Piece = Output | Ended | Lost


@dataclass(frozen=True, slots=True)
class Install:
    """A codex found on a host. `version` is its own word, such as `0.169.0`; `features` its feature flags.

    `runs` is the folder of the host's run directories, empty where it is not known. `absent` are places in the user's
    home (`~/.config/gh`) that were looked for and are not there; `at_home`: the home is the job's folder. `outside` is
    what runs outside of the sandbox where the agent may write.
    """

    path: str
    version: str
    features: frozenset[str]
    runs: str = ""
    at_home: bool = False
    absent: frozenset[str] = frozenset()
    outside: Outside = field(default_factory=Outside)


@dataclass(frozen=True, slots=True)
class Completed:
    """A finished command. `exit_code` is None if it ran out of time.

    `output` is what it printed: stdout and stderr together, or of a script that was asked (`Transport.ask`) its answer
    alone. `complaint` is then the rest: what its stderr got, and what the host printed before the script began.
    """

    exit_code: int | None
    output: bytes
    seconds: float
    complaint: bytes = b""

    @property
    def last_words(self) -> str:
        """Return what people should read if a script failed: the end of its complaint, else of its answer."""
        said = self.complaint.strip() or self.output.strip()
        return end_of(said.decode("utf-8", "replace"), 500)
