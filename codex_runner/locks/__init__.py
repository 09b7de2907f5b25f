"""Locks of concurrency groups on one machine: the kernel releases a lock as soon as its holder is dead."""

from __future__ import annotations

from codex_runner.locks.group import Held, Taken, acquire
from codex_runner.locks.holder import LockHolder

__all__ = ["Held", "LockHolder", "Taken", "acquire"]
