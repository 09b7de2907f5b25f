"""The thread as codex itself records it, in its home: where its tokens stand before the turn is over."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from codex_runner.codex.events import read_usage

if TYPE_CHECKING:
    from codex_runner.domain.ports import Transport
    from codex_runner.domain.run import Usage

# The quotes are those of the record itself: within a text they would have backslashes before them.
_LAST_COUNT = r"""
cd "${XDG_STATE_HOME:-$HOME/.local/state}/codex-runner/runs/$1/home/sessions" 2>/dev/null || exit 0
find . -name "rollout-*-$2.jsonl" -exec grep -h '"type":"token_count"' {} + | tail -n 1
"""
_THREAD = re.compile(r"[0-9A-Za-z-]+")


async def last_usage(transport: Transport, run_id: str, thread_id: str, *, timeout: float) -> Usage | None:
    """Return what the thread has come to by codex's last count; None where there is none (yet). May raise HostError."""
    if not _THREAD.fullmatch(thread_id):
        return None
    done = await transport.execute(_LAST_COUNT, arguments=(run_id, thread_id), timeout=timeout)
    try:
        return read_usage(json.loads(done.output)["payload"]["info"]["total_token_usage"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
