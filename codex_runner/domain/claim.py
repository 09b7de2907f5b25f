"""The claim on a run: one runner at a time follows it, runs its checks, collects and judges."""

from __future__ import annotations

import re
import secrets
from dataclasses import field

from codex_runner.dataclass import dataclass
from codex_runner.text.durations import format_duration

RENEWAL = 5.0
EXPIRY = 60.0

TAKEN_OVER = "taken-over"
"""The code of the warning that ends the log of a runner whose run another has taken over."""

_WORDS = 8
_ODD = re.compile(r"[^A-Za-z0-9._:@+=-]")


@dataclass(frozen=True, slots=True)
class Process:
    """A runner's process: its machine's name and id, its boot, its pid, and when it began, as the system tells it."""

    node: str
    machine: str
    boot: str
    pid: int
    born: str

    @classmethod
    def of(cls, node: str, machine: str, boot: str, pid: int, born: str) -> Process:
        """Name a process in words that hosts can keep."""
        return cls(_plain(node), _plain(machine), _plain(boot), pid, _plain(born))


@dataclass(frozen=True, slots=True)
class Claim:
    """What a runner claims a run with. It renews it every `renewal` seconds.

    After `expiry` seconds without that, by the host's clock, another runner may take the run over.
    """

    run_id: str
    process: Process
    renewal: float = RENEWAL
    expiry: float = EXPIRY
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def word(self) -> str:
        """The claim as hosts keep it: one word, the same for as long as the runner lives."""
        who = self.process
        seconds = f"{max(1, round(self.expiry))}"
        return "/".join((self.run_id, self.token, seconds, who.node, who.machine, who.boot, str(who.pid), who.born))


@dataclass(frozen=True, slots=True)
class Holder:
    """The runner that has a run's claim, as the host tells it; None for what it does not tell.

    `number` counts the claims of the run. `age` and `idle` are the seconds since it was taken and since it was renewed.
    """

    number: int | None = None
    process: Process | None = None
    age: float | None = None
    idle: float | None = None

    @classmethod
    def of(cls, word: str, *, number: int | None, age: float | None, idle: float | None) -> Holder:
        """Read a claim's word. One that is damaged names no process."""
        words = word.split("/")
        process = None
        if len(words) == _WORDS and words[6].isdigit():
            process = Process(words[3], words[4], words[5], int(words[6]), words[7])
        return cls(number, process, age, idle)

    def __str__(self) -> str:
        """Say it in a message."""
        who = "another runner" if self.process is None else f"the runner {self.process.pid} on {self.process.node}"
        since = "" if self.age is None else f" for {format_duration(self.age)}"
        renewed = "" if self.idle is None else f", renewed {format_duration(self.idle)} ago"
        return f"{who}{since}{renewed}"


class ClaimTakenError(Exception):
    """Another runner has the run's claim. No HostError: nothing may be tried again, and nothing more be started."""

    def __init__(self, holder: Holder) -> None:
        """Keep who it is."""
        super().__init__(str(holder))
        self.holder = holder


def _plain(text: str) -> str:
    return _ODD.sub("-", text) or "-"
