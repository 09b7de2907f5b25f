"""Cancellation of a run: by a signal, or by `codex-runner cancel`, which leaves a file on the run's host."""

from __future__ import annotations

CANCELLED = "cancelled"
"""The name of the cancel file in the run's directory on its host, and the host's word for it."""


class RunCancelledError(Exception):
    """`codex-runner cancel` cancelled the run. Not a HostError: the runner must not retry, nor start anything more."""


class Stopped(Exception):  # noqa: N818 - no error: it unwinds
    """The run is to end now, and the work for it was cancelled."""
