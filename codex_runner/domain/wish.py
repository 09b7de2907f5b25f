"""The wish that a run end: of a signal, or of `codex-runner cancel`, which the run's host keeps for its followers."""

from __future__ import annotations

WISH = "cancelled"
"""The name of the file in the run's directory on its host, and the host's word for it."""


class RunCancelledError(Exception):
    """Somebody has cancelled the run. No HostError: nothing may be tried again, and nothing more be started."""


class Stopped(Exception):  # noqa: N818 - no error: it unwinds
    """The run is to end now: what was going on for it has been given up."""
