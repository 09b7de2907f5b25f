"""What follows a run's reports: notifications, metrics, spans. It never changes the verdict."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from codex_runner.ci_systems import Pipeline
from codex_runner.reports.metrics import write_metrics
from codex_runner.reports.otel import export_spans, wants_spans
from codex_runner.reports.summary import append_step_summary, summary
from codex_runner.sinks.jsonl import read_records

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codex_runner.app.invocation import Invocation
    from codex_runner.domain.folder import RunFolder
    from codex_runner.domain.notice import NotifyTarget
    from codex_runner.domain.state import RunState
    from codex_runner.redaction.redactor import Redactor

# A runner that was told to end has little time left.
_HURRIED = 3.0


async def after(  # noqa: PLR0913 - who, of what, with what care
    state: RunState,
    folder: RunFolder,
    redactor: Redactor,
    invocation: Invocation,
    *,
    audience: tuple[Sequence[NotifyTarget], Sequence[str]],
    is_told: bool,
) -> None:
    """Notify, write metrics and send spans. A failure becomes a warning and does not change the verdict.

    `audience` is what `targets_of` returned before the run. `is_told`: an earlier runner has sent the notifications.
    """
    targets, unknown = audience
    if not is_told:
        _append_step_summary(state, invocation.environ, redactor)
    failed = await tell_others(
        state, folder, redactor, () if is_told else targets, invocation.metrics, invocation.environ
    )
    for sentence in (*unknown, *failed):
        invocation.complain(sentence)


async def tell_others(  # noqa: PLR0913, PLR0917 - who, of what, with what care
    state: RunState,
    folder: RunFolder,
    redactor: Redactor,
    targets: Sequence[NotifyTarget],
    metrics: Path | None,
    environ: Mapping[str, str],
) -> list[str]:
    """Notify, write metrics, send spans; return a sentence for each that failed."""
    sentences: list[str] = []
    link = Pipeline(environ).link()
    if targets:
        from codex_runner.notify.send import notify

        stopped = state.attempt is not None and state.attempt.stop is not None
        sentences += await notify(
            state, targets, redact=redactor.text, link=link, deadline=_HURRIED if stopped else None
        )
    if metrics is not None:
        try:
            write_metrics(state, metrics)
        except OSError as error:
            sentences.append(f"metrics.folder = {metrics}: {error.strerror}.")
    if wants_spans(environ):
        sentences += await asyncio.to_thread(export_spans, state, read_records(folder.events), environ, link=link)
    return sentences


def _append_step_summary(state: RunState, environ: Mapping[str, str], redactor: Redactor) -> None:
    """Append the summary to the CI system's own. A file that cannot be written does not change the verdict."""
    path = Pipeline(environ).summary_file()
    if not path:
        return
    text = summary(state)
    if redactor.names_in(text.encode(errors="replace")) - set(state.facts.get("plain", ())):
        text = redactor.text(text)
    with contextlib.suppress(OSError):
        append_step_summary(Path(path), text)
