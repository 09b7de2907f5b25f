"""The first moment of a run: refuse what can be refused, make the folder, ask the host.

Nothing in here needs an event loop, the engine or the reports: a caller may load these while the host answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.app.ahead import look_ahead
from codex_runner.app.audience import require_usable
from codex_runner.app.folders import check_state_folder, made
from codex_runner.app.job_checks import detector, reply_schema
from codex_runner.domain.folder import RunFolder
from codex_runner.domain.run import new_run_id

if TYPE_CHECKING:
    from pathlib import Path

    from codex_runner.app.invocation import Invocation
    from codex_runner.app.way import Way
    from codex_runner.domain.job import Job
    from codex_runner.engine.stopping import Stopping


def begin(job: Job, output_dir: Path, invocation: Invocation, stopping: Stopping) -> tuple[RunFolder, Way]:
    """Return a new folder below `output_dir`, and the way to the host. The caller gives both to `run`, which ends them.

    Raises ConfigurationError for what can be refused before anything is made, and Stopped if the run is to end before
    that. Once the folder is made, it gets its reports, however the run ends.
    """
    reply_schema(job, invocation.environ)
    detector(job)
    if job.host.is_here:
        check_state_folder(invocation.environ)
    require_usable(invocation.notify, invocation.environ)
    stopping.raise_if_asked()
    folder = RunFolder(made(output_dir) / new_run_id(job.name))
    ahead = look_ahead(job, folder.path.parent, invocation)
    from codex_runner.app.way import Way

    return folder, Way(job, folder.run_id, invocation, ahead)
