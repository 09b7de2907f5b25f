"""A run's claim (a lease) on this machine: the folder that host/claim.sh writes, and how a runner here renews it."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from codex_runner.domain.claim import ClaimTakenError, Holder
from codex_runner.domain.errors import HostError
from codex_runner.transports.directory import read_plain, write_in_place
from codex_runner.transports.processes import birth, uptime
from codex_runner.transports.request import new_nonce

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from codex_runner.domain.claim import Claim

_BEAT = 20
_WORK = 200


class ClaimFolder:
    """`runs/<run-id>/claims/`. `held` says that this runner has had the claim."""

    def __init__(self, path: Path, claim: Claim) -> None:
        """Read nothing yet."""
        self._path, self.claim = path, claim
        self.held = False

    def keep(self, *, last: bool = False) -> None:
        """Renew the claim. Raises ClaimTakenError if another runner holds it.

        With `last`, raises it also if another runner has judged the run and discarded it.
        """
        number = self._number()
        if number == 0:
            if self.held and last and (judge := self._discarding_claim()):
                raise ClaimTakenError(Holder.of(judge, number=None, age=None, idle=None))
            return
        words = _read(self._path / str(number)).split()
        beat = self._path / f"{number}.beat"
        if words[:1] == [self.claim.word]:
            with contextlib.suppress(OSError):  # the folder was removed, or a full disk kept the file from being made
                write_in_place(beat, f"{_uptime():<{_BEAT}}\n")
            return
        since = int(words[3]) if len(words) > 3 and words[3].isdigit() else None
        renewed = _read(beat).strip()
        idle = int(renewed) if renewed.isdigit() else since
        now = _uptime()
        raise ClaimTakenError(
            Holder.of(
                words[0] if words else "",
                number=number,
                age=None if since is None else float(now - since),
                idle=None if idle is None else float(now - idle),
            )
        )

    @contextlib.contextmanager
    def work(self) -> Iterator[Callable[[int], None]]:
        """Register a command that runs under the claim, then renew the claim. Raises ClaimTakenError.

        A runner that takes the claim later ends the command. Yields a function that takes the pid of the leader of
        the command's process group.
        """
        if not self._path.is_dir():  # nothing has been claimed yet
            yield lambda _: None
            return
        work = _Work(self._path / f"work.{new_nonce()}")
        try:
            self.keep()
            yield work.name
        finally:
            work.end()

    def _discarding_claim(self) -> str | None:
        """Return the claim under which another runner judged and discarded the run, from the run's tombstone."""
        words = _read(self._path.parents[2] / "discarded" / self.claim.run_id).split()
        judge = words[3] if len(words) > 3 else ""
        return judge if judge != self.claim.word and judge.startswith(f"{self.claim.run_id}/") else None

    def _number(self) -> int:
        try:
            return max((int(name) for name in os.listdir(self._path) if name.isdigit()), default=0)  # noqa: PTH208
        except FileNotFoundError:
            return 0


class _Work:
    """A command that runs under a claim, registered for the next holder to end: see host/claim.sh."""

    def __init__(self, path: Path) -> None:
        """Register this process, which is about to start the command. Raises HostError if that fails."""
        self._path, self._room = path, path.with_name("work.room")
        try:
            try:
                self._tell(os.getpid())
            except OSError:  # the disk is full: use the file that was allocated for this case
                self.end()
                self._path = self._room
                self._tell(os.getpid())
        except OSError as error:
            raise HostError(f"this machine's disk: cannot write {path}: {error.strerror}.") from None

    def name(self, pid: int) -> None:
        """Register the leader of the command's process group."""
        with contextlib.suppress(OSError):
            self._tell(pid, pid)

    def end(self) -> None:
        """Remove the registration: the command has ended."""
        with contextlib.suppress(OSError):
            if self._path == self._room:
                self._tell()
            else:
                self._path.unlink()

    def _tell(self, *pids: int) -> None:
        text = " ".join(f"{pid} {birth(pid) or '-'}" for pid in pids)
        write_in_place(self._path, f"{text:<{_WORK}}\n")


def _read(path: Path) -> str:
    try:
        return read_plain(path)
    except OSError:
        return ""


def _uptime() -> int:
    """Return the seconds since the boot, as host/claim.sh reads them."""
    since = uptime()
    return int(time.time()) if since is None else since
