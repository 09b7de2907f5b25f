"""The carrier of this machine: a command is a child of the runner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.transports.carriers.carrier import Remedies, ended

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codex_runner.transports.carriers.carrier import DroppedError

_NO_SHELL = "Put a POSIX `sh` into the PATH."


class HereCarrier:
    """Implements Carrier for this machine."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """`environ` is the environment of the commands."""
        self.host, self.environ = "this machine", environ
        self.remedies = Remedies(unanswered=_NO_SHELL, silent=_NO_SHELL, streams=_NO_SHELL)

    def begin(self) -> None:
        """See Carrier.begin."""

    async def arguments(self, command: str) -> Sequence[str]:
        """See Carrier.arguments."""
        return ("sh", "-c", command)

    def failure(self, exit_code: int | None, complaint: bytes) -> DroppedError:
        """See Carrier.failure."""
        return ended(exit_code, complaint)

    async def close(self) -> None:
        """See Carrier.close."""
