"""What comes after a run's reports: telling others, metrics, spans. It never changes what the run came to."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from codex_runner.domain.notice import NoticeFormat, NotifyTarget
from codex_runner.domain.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codex_runner.config import NotifySettings
    from codex_runner.domain.folder import RunFolder
    from codex_runner.domain.state import RunState
    from codex_runner.engine.redact import Redactor

# A runner that was told to end has little time left.
_HURRIED = 3.0


def targets_of(settings: Sequence[NotifySettings], environ: Mapping[str, str]) -> tuple[list[NotifyTarget], list[str]]:
    """Find each target's address and keys; return the targets, and a sentence for each whose address is missing."""
    targets, missing = [], []
    for one in settings:
        url = _value(one.url_variable, one.url_file, environ)
        if not url:
            missing.append(f"{one.name}: its address is not to be had from {one.url_variable or one.url_file}.")
            continue
        key, token = _value(one.key_variable, None, environ), _value(one.token_variable, None, environ)
        targets.append(
            NotifyTarget(
                one.name,
                Secret(f"{one.name} url", url),
                NoticeFormat(one.format),
                one.on,
                one.jobs,
                Secret(f"{one.name} key", key) if key else None,
                Secret(f"{one.name} token", token) if token else None,
                one.ca_file,
                **one.limits,
            )
        )
    return targets, missing


async def tell_others(  # noqa: PLR0913, PLR0917 - who, of what, with what care
    state: RunState,
    folder: RunFolder,
    redactor: Redactor,
    targets: Sequence[NotifyTarget],
    metrics: Path | None,
    environ: Mapping[str, str],
) -> list[str]:
    """Notify, write metrics, send spans; return a sentence for each that failed."""
    from codex_runner.notify.message import ci_link  # noqa: PLC0415 - only when a run has ended
    from codex_runner.reports.otel import export_spans, wants_spans  # noqa: PLC0415

    sentences: list[str] = []
    link = ci_link(environ)
    if targets:
        from codex_runner.notify.send import notify  # noqa: PLC0415 - brings httpx

        stopped = state.attempt is not None and state.attempt.stop is not None
        sentences += await notify(
            state, targets, redact=redactor.text, link=link, deadline=_HURRIED if stopped else None
        )
    if metrics is not None:
        from codex_runner.reports.metrics import write_metrics  # noqa: PLC0415

        try:
            write_metrics(state, metrics)
        except OSError as error:
            sentences.append(f"metrics.folder = {metrics}: {error.strerror}.")
    if wants_spans(environ):
        from codex_runner.sinks.jsonl import read_records  # noqa: PLC0415

        sentences += await asyncio.to_thread(export_spans, state, read_records(folder.events), environ, link=link)
    return sentences


def _value(variable: str | None, file: str | None, environ: Mapping[str, str]) -> str:
    if variable is not None:
        return environ.get(variable, "").strip()
    if file is None:
        return ""
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
