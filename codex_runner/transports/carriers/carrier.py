"""The port of a carrier: how a command begins on a host, and what its failure means.

A carrier may be ssh, `docker exec`, or anything else that connects the three streams of a process here with those of a
command there. The remote transport sees dropped connections; only the carrier knows how its client words them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_SHOWN = 300  # characters: a shell that takes the script for commands quotes all of it


class DroppedError(Exception):
    """The connection broke, or could not be made. Trying again may help. The message is for people.

    `heard` is the time of the last byte from the host, by the monotonic clock; None if unknown. `vain` counts the
    connections in a row that were made and brought no byte.
    """

    heard: float | None = None
    vain: int = 0


class UnansweredError(DroppedError):
    """The host's shell ended by itself, without an answer: perhaps it does not run commands."""


class RefusedError(UnreachableError):
    """The host rejects this client (a wrong key, an unknown host key, an unknown name). Do not try again."""


@dataclass(frozen=True, slots=True)
class Remedies:
    """What a user can do about a host whose shell does not work: sentences in the imperative.

    `unanswered`: the shell ends before it answers. `silent`: the shell takes the script and does not run it.
    `streams`: the shell joins stdout and stderr, or sends one elsewhere.
    """

    unanswered: str
    silent: str
    streams: str


class Carrier(Protocol):
    """The way to one host. No method changes anything there, except by the command that the caller gives.

    A command that has begun is a process on this machine. Its stdin, stdout and stderr are the command's, byte for
    byte, without a terminal. When the command ends, the process ends. When the process ends, the command reads EOF.
    """

    @property
    def host(self) -> str:
        """The host's name, as the user wrote it: for messages."""
        ...

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment of the processes on this machine. It holds no secret of the runner's own."""
        ...

    @property
    def remedies(self) -> Remedies:
        """What a user can do about a host whose shell does not work, in this carrier's words."""
        ...

    def begin(self) -> None:
        """Start to connect, and return at once. Idempotent. Raises nothing: `arguments` reports failures."""
        ...

    async def arguments(self, command: str) -> Sequence[str]:
        """Return the program and arguments that run `command`, a line for the host's shell, over a ready connection.

        Every user of this machine can read arguments: `command` must hold no secret. Connects first if necessary.
        Raises DroppedError if trying again may help, RefusedError or ConfigurationError if it will not.
        """
        ...

    def failure(self, exit_code: int | None, complaint: bytes) -> DroppedError:
        """Return the error for a process that ended before its command answered.

        `exit_code` is negative for a signal, None if the process has not ended yet. `complaint` is its stderr. Returns
        UnansweredError if the connection held and the command ended by itself.
        """
        ...

    async def close(self) -> None:
        """Close the connection, and remove its files from this machine. Idempotent. The last call."""
        ...


def ended(exit_code: int | None, complaint: bytes, broken: Collection[int] = ()) -> DroppedError:
    """Return the error for a process that ended early. The exit codes `broken` mean a broken connection."""
    said = last_line(complaint)
    if exit_code is None or exit_code < 0 or exit_code in broken:
        return DroppedError(said or "the connection ended before the answer")
    ended_by_itself = f"its shell ended with exit code {exit_code} before it read the request"
    return UnansweredError(ended_by_itself + (said and f": {said}"))


def last_line(complaint: bytes) -> str:
    """Return the last line that is not blank, without its full stop: a client prints its reason last."""
    lines = [line.strip() for line in complaint.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1].rstrip(".")[:_SHOWN] if lines else ""
