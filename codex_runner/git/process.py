"""git as a process of its own on the runner's machine."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.shell.child import end_group, start_child

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PIECE = 1 << 16
_COMPLAINT = 1 << 18  # bytes of stderr that are kept: a server may print any amount through git


@dataclass(frozen=True, slots=True)
class Finished:
    """How git ended. `output` is its stdout, empty if that went to a file; `complaint` the beginning of its stderr."""

    code: int
    output: bytes
    complaint: bytes


async def run_git(  # noqa: PLR0913 - what a process is started with
    folder: str,
    arguments: Sequence[str],
    environ: Mapping[str, str],
    *,
    stdin: bytes = b"",
    stdout: int | None = None,
    pass_fds: Sequence[int] = (),
) -> Finished:
    """Run git in `folder`, with this environment alone. Raises FileNotFoundError if there is no git.

    If the caller is cancelled, git and all that it has started are killed.
    """
    process = await start_child(
        "git",
        "-C",
        folder,
        *arguments,
        env=environ,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE if stdout is None else stdout,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=pass_fds,
        start_new_session=True,  # a terminal's Ctrl-C must reach only the runner, which then ends git
    )
    try:
        _, output, complaint = await asyncio.gather(
            _feed(process.stdin, stdin), _read(process.stdout, None), _read(process.stderr, _COMPLAINT)
        )
        code = await process.wait()
    except asyncio.CancelledError:
        await end_group(process)  # git may have started a fetch
        raise
    return Finished(code, output, complaint)


async def _feed(stream: asyncio.StreamWriter | None, data: bytes) -> None:
    if stream is None:
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # git need not read all of it
        stream.write(data)
        await stream.drain()
    stream.close()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        await stream.wait_closed()


async def _read(stream: asyncio.StreamReader | None, limit: int | None) -> bytes:
    """Read to the end. Keep at most `limit` bytes, so that git can always go on."""
    kept = bytearray()
    while stream is not None and (data := await stream.read(_PIECE)):
        if limit is None or len(kept) < limit:
            kept += data
    return bytes(kept[:limit])
