"""The claim on a run, a lease on its host: one runner at a time follows, checks, collects and judges the run."""

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
    """A runner's process: its machine's name and id, boot id, pid, and start time as the system gives it."""

    node: str
    machine: str
    boot: str
    pid: int
    born: str

    @classmethod
    def of(cls, node: str, machine: str, boot: str, pid: int, born: str) -> Process:
        """Return a Process whose texts have only characters that a claim's word may have."""
        return cls(_plain(node), _plain(machine), _plain(boot), pid, _plain(born))


@dataclass(frozen=True, slots=True)
class Claim:
    """A runner's lease on a run, renewed every `renewal` seconds.

    After `expiry` seconds without a renewal, by the host's clock, another runner may take the run over.
    """

    run_id: str
    process: Process
    renewal: float = RENEWAL
    expiry: float = EXPIRY
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def word(self) -> str:
        """The claim as hosts store it: one word, which stays the same while the runner lives."""
        who = self.process
        seconds = f"{max(1, round(self.expiry))}"
        return "/".join((self.run_id, self.token, seconds, who.node, who.machine, who.boot, str(who.pid), who.born))


@dataclass(frozen=True, slots=True)
class Holder:
    """The runner that holds a run's claim, as its host reports it; None for what the host does not report.

    `number` counts the claims of the run. `age` is the seconds since this one was acquired, `idle` since its renewal.
    """

    number: int | None = None
    process: Process | None = None
    age: float | None = None
    idle: float | None = None

    @classmethod
    def of(cls, word: str, *, number: int | None, age: float | None, idle: float | None) -> Holder:
        """Read a claim's word. `process` is None if the word is damaged."""
        words = word.split("/")
        process = None
        if len(words) == _WORDS and words[6].isdigit():
            process = Process(words[3], words[4], words[5], int(words[6]), words[7])
        return cls(number, process, age, idle)

    def __str__(self) -> str:
        """Return the holder as part of a sentence."""
        who = "another runner" if self.process is None else f"the runner {self.process.pid} on {self.process.node}"
        since = "" if self.age is None else f" for {format_duration(self.age)}"
        renewed = "" if self.idle is None else f", renewed {format_duration(self.idle)} ago"
        return f"{who}{since}{renewed}"


class ClaimTakenError(Exception):
    """Another runner holds the run's claim. Not a HostError: this runner must not retry, nor start anything more."""

    def __init__(self, holder: Holder) -> None:
        """Keep the holder of the claim."""
        super().__init__(str(holder))
        self.holder = holder


def _plain(text: str) -> str:
    return _ODD.sub("-", text) or "-"
