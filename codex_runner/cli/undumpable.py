"""Keeps the runner's memory and environment from other programs of the same user."""

from __future__ import annotations

import ctypes
import sys

_PR_SET_DUMPABLE = 4


def become_undumpable() -> bool:
    """Let nobody but root read this process's memory, environment and open files, and leave no core file of it.

    Return whether it worked; only Linux can. What this process starts is as readable as ever.
    """
    if sys.platform != "linux":
        return False

    return bool(ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
