"""A command of a job's own on this machine, a check, below a keeper that ends what it leaves: see host/keeper.sh."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import IO, TYPE_CHECKING

from codex_runner.transports.processes import leave
from codex_runner.transports.request import command_here, environment_lines, new_nonce

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from codex_runner.domain.secret import Secret

# The keeper's own sweep takes some twenty rounds at the most.
_SWEEP = 15.0
_KILLED = 128  # a shell's way to say which signal


async def run_kept(  # noqa: PLR0913 - the parts of one command
    text: str,
    *,
    folder: str,
    timeout: float,
    arguments: Sequence[str],
    environ: Mapping[str, str],
    added: Mapping[str, str | Secret],
    output: IO[bytes],
    name: Callable[[int], None],
) -> int | None:
    """Run `sh -c text sh arguments...` to its end, and end all that it leaves; return its exit code, None if late.

    `name` gets the keeper's pid. `environ` is its environment, `added` what comes to that on a pipe. If this is
    cancelled, or the runner is killed, the keeper ends the command at once. The output is a file, so that nothing that
    keeps it open holds anybody up.
    """
    mark = new_nonce()
    process = await asyncio.create_subprocess_exec(
        *command_here("keep", "here", mark, "sh", "-c", "--", text, "sh", *arguments),
        cwd=folder,
        env=dict(environ),
        stdin=asyncio.subprocess.PIPE,
        stdout=output,
        stderr=output,
    )
    name(process.pid)
    ended = asyncio.ensure_future(process.wait())
    late = False
    try:
        stdin = process.stdin
        if stdin is not None:
            with contextlib.suppress(OSError):  # it has ended: its exit code tells
                stdin.write(environment_lines(added))
                await stdin.drain()
        late = not (await asyncio.wait({ended}, timeout=timeout))[0]
    finally:
        await _end(process, ended)
        if (process.returncode or 0) < 0:  # the keeper was killed, perhaps by the command
            await _end_orphans(mark, environ)
    code = process.returncode or 0
    return None if late else code if code >= 0 else _KILLED - code


async def _end(process: asyncio.subprocess.Process, ended: asyncio.Future[int]) -> None:
    """Let the keeper end the command and what is left of it; end the keeper if it does not do so in time."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait({ended}, timeout=_SWEEP)
    finally:
        if not ended.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            await process.wait()


async def _end_orphans(mark: str, environ: Mapping[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *command_here("orphans", mark),
        env=dict(environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        await process.wait()
    except BaseException:
        await leave(process)
        raise
