"""A job's own command on this machine (a check), run by a keeper that ends every process it leaves.

See host/keeper.sh.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import IO, TYPE_CHECKING

from codex_runner.shell.child import leave, start_child
from codex_runner.transports.request import command_here, environment_lines, new_nonce

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from codex_runner.domain.secret import Secret

# Seconds. The keeper's own sweep takes about twenty rounds at most.
_SWEEP = 15.0
_KILLED = 128  # a shell's exit code is 128 plus the signal's number


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
    """Run `sh -c text sh arguments...`, and end every process that it leaves. Returns its exit code.

    Returns None if it has not ended after `timeout` seconds. `name` gets the keeper's pid. `environ` is its
    environment; `added` is added to that over a pipe. If this is cancelled, or the runner is killed, the keeper ends
    the command at once. The output is a file: a process that keeps it open does not block the runner.
    """
    mark = new_nonce()
    process = await start_child(
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
            with contextlib.suppress(OSError):  # the keeper has ended: its exit code says why
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
    """Let the keeper end the command and its remaining processes. Kill the keeper if it takes too long."""
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
    process = await start_child(
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
