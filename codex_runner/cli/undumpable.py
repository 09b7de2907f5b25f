"""Keeps the runner's memory and environment from other programs of the same user."""

from __future__ import annotations

import ctypes
import sys

_PR_SET_DUMPABLE = 4


def become_undumpable() -> bool:
    """Let only root read this process's memory, environment and open files, and leave no core file.

    Returns False if that failed, as it does outside of Linux. Child processes stay readable.
    """
    if sys.platform != "linux":
        return False

    return bool(ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
