"""The run directory as this machine sees it: one class that names every file and reads what the supervisor wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codex_runner.domain.run import ProcessExit, StopReason, Sweep
from codex_runner.transports.processes import birth, here

if TYPE_CHECKING:
    from collections.abc import Mapping

_HOLDER_WORDS = 5


def state_folder(environ: Mapping[str, str]) -> Path:
    """Where this user's state lies: `$XDG_STATE_HOME/codex-runner`."""
    state = environ.get("XDG_STATE_HOME") or f"{environ['HOME']}/.local/state"
    return Path(state) / "codex-runner"


def runs_root(environ: Mapping[str, str]) -> Path:
    """Where this user's run directories lie: `$XDG_STATE_HOME/codex-runner/runs`."""
    return state_folder(environ) / "runs"


@dataclass(frozen=True, slots=True)
class AttemptDirectory:
    """`runs/<run-id>/attempts/<n>/`, which the supervisor made and writes."""

    path: Path

    @property
    def lease(self) -> Path:
        """The run's counter, which only a live runner advances."""
        return self.path.parent.parent / "lease"

    def exit(self) -> ProcessExit | None:
        """How codex ended, once the supervisor has written it."""
        try:
            text = (self.path / "exit").read_text(encoding="ascii")
        except FileNotFoundError:
            return None
        return parse_exit(text)

    def lost(self) -> str | None:
        """Say why nobody will ever write `exit`, or None while the supervisor is alive."""
        try:
            words = (self.path / "pid").read_text(encoding="ascii").split()
        except FileNotFoundError:
            return "the run directory was removed, and the supervisor ends the agent"
        if len(words) != _HOLDER_WORDS:
            return "the supervisor's pid file is damaged"
        machine, started, pid, born, node = words
        this_machine, this_boot, this_node = here()
        if machine != this_machine or (started != this_boot and node != this_node):
            return f"the run is on another host, {node}, which shares this home directory"
        if started != this_boot:
            return "the host was rebooted"
        return None if birth(int(pid)) == born else "the supervisor was killed"


def parse_exit(text: str) -> ProcessExit:
    """Read the `exit` file: a key and a value a line. What was written on a full disk has blanks behind it."""
    values = dict(line.split(" ", 1) for line in text.splitlines() if line.strip())
    return ProcessExit(
        code=_number(values["code"]),
        signal=_number(values["signal"]),
        stopped=StopReason(values["stopped"]),
        stdout_size=int(values["bytes"]),
        stdout_cksum=int(values["cksum"]),
        stderr_size=int(values["stderr_bytes"]),
        swept=Sweep(values["swept"]),
        killed=int(values["killed"]),
    )


def _number(text: str) -> int | None:
    return None if text == "-" else int(text)
