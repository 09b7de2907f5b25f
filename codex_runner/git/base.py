"""The commit that a run begins with, and the files in it, as git on the host has them. Changes nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import FolderGoneError, HostError
from codex_runner.git.diff_reader import pairs, text
from codex_runner.git.guard import guard_script
from codex_runner.shell.script import shell_script
from codex_runner.text.excerpts import end_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.domain.host import Completed
    from codex_runner.domain.transport_port import Transport

_PAGE: Final = 768 * 1024  # bytes: below what an answer may have (Transport.ask)
_MOST: Final = 128 * _PAGE  # some 900,000 files
_PATIENCE: Final = 60.0  # seconds for one page
_END: Final = b"end\0"
_ENTRY = re.compile(rb"(\d{6} \w+ [0-9a-f]{40,64})\t(.+)", re.DOTALL)


class UnknownBaseError(HostError):
    """The commit that the run would begin with, or its list of files, cannot be read."""

    default_remedy = "Let the job work in a git repository with a commit."


@dataclass(frozen=True, slots=True)
class Base:
    """The commit at HEAD, and the repository around it.

    `prefix` is the path of the job's folder in the repository, "" for its top. `repository` tells it from others: the
    address of its remote `origin`, which may hold a password, or else its folder.
    """

    commit: str
    prefix: str
    repository: str


async def base_of(transport: Transport, cwd: str) -> Base:
    """Return the base of a run in `cwd`. Raises UnknownBaseError if there is no repository, or no commit."""
    try:
        done = await transport.ask(_script(), cwd=cwd, timeout=_PATIENCE, arguments=("commit",))
    except FolderGoneError as error:
        raise UnknownBaseError(error.message) from None
    said = {key: text(value) for key, value in pairs(done.output)} if done.output.endswith(b"\0") else {}
    commit = said.get(b"commit", "")
    if done.exit_code or not re.fullmatch(r"[0-9a-f]{40,64}", commit):
        why = _complaint(done) or "HEAD names no commit"
        raise UnknownBaseError(f"git tells no commit to begin with in {cwd}: {why}.")
    return Base(commit, said[b"prefix"].rstrip("/"), said[b"origin"] or said[b"top"])


async def files_of(transport: Transport, cwd: str, commit: str, below: Sequence[str]) -> dict[str, str]:
    """Return the files of a commit, with submodules: path to mode, type and id. `below` are paths; none means all.

    Bytes outside UTF-8 are surrogates. Raises UnknownBaseError if git cannot read the whole list.
    """
    listed = bytearray()
    while True:
        place = (commit, str(len(listed)), str(_PAGE))
        done = await transport.ask(_script(), cwd=cwd, timeout=_PATIENCE, arguments=("files", *place, *below))
        listed += done.output
        if len(done.output) < _PAGE or len(listed) > _MOST:
            break
    if not (listed == _END or listed.endswith(b"\0" + _END)):
        why = _complaint(done) or "the list is too long, or torn"
        raise UnknownBaseError(f"git cannot list the files of the commit {commit[:12]}: {why}.")
    found = [_ENTRY.fullmatch(entry) for entry in bytes(listed).split(b"\0")[:-2]]
    if not all(found):
        raise UnknownBaseError(f"git's list of the files of the commit {commit[:12]} cannot be read.")
    return {text(entry[2]): text(entry[1]) for entry in found if entry is not None}


def _complaint(done: Completed) -> str:
    """Return git's own words. Never the answer: it holds the remote's address, in which CI systems put a token."""
    return end_of(done.complaint.decode("utf-8", "replace").strip(), 500)


def _script() -> str:
    return f"{guard_script()}\n{shell_script('codex_runner.git', 'base.sh')}"
