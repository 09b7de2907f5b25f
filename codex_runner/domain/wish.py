"""The wish that a run end (`codex-runner cancel`), as its host keeps it for whoever follows the run, now or later."""

from __future__ import annotations

WISH = "cancelled"
"""The name of the file in the run's directory on its host, and the host's word for it."""


class RunCancelledError(Exception):
    """Somebody has cancelled the run. No HostError: nothing may be tried again, and nothing more be started."""
