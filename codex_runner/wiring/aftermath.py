"""What comes after a run's reports: telling others, metrics, spans. It never changes what the run came to."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.notice import NoticeFormat, NotifyTarget
from codex_runner.engine.secret_reading import SecretReader
from codex_runner.notify.message import ci_link
from codex_runner.reports.metrics import write_metrics
from codex_runner.reports.otel import export_spans, wants_spans
from codex_runner.sinks.jsonl import read_records

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from codex_runner.config import NotifySettings
    from codex_runner.domain.folder import RunFolder
    from codex_runner.domain.state import RunState
    from codex_runner.engine.redact import Redactor

# A runner that was told to end has little time left.
_HURRIED = 3.0


def targets_of(settings: Sequence[NotifySettings], environ: Mapping[str, str]) -> tuple[list[NotifyTarget], list[str]]:
    """Find each target's address and keys; return the targets, and a sentence for each that cannot be told."""
    targets, sentences = [], []
    for one in settings:
        try:
            target = _target(one, SecretReader(environ, refusal=ConfigurationError))
        except ConfigurationError as error:
            sentences.append(f"{one.name}: {error.message}")
            continue
        if target is None:
            sentences.append(f"{one.name}: its address is not to be had from {one.url_variable or one.url_file}.")
        else:
            targets.append(target)
    return targets, sentences


def require_usable(settings: Sequence[NotifySettings], environ: Mapping[str, str]) -> None:
    """Raise ConfigurationError if an address, a key or a token is there and cannot be one; before anything is spent."""
    for one in settings:
        try:
            _target(one, SecretReader(environ, refusal=ConfigurationError))
        except ConfigurationError as error:
            raise ConfigurationError(f"notify {one.name!r}: {error.message}", remedy=error.remedy) from None


def _target(one: NotifySettings, reader: SecretReader) -> NotifyTarget | None:
    """Return the target; None if its address is not there."""
    names = {what: f"{one.name} {what}" for what in ("url", "key", "token")}
    if one.url_variable is not None:
        url = reader.find(one.url_variable, mask=names["url"], word=False)
    elif one.url_file is not None and os.access(one.url_file, os.R_OK):
        url = reader.file(one.url_file, names["url"], "its address", word=False)
    else:
        url = None
    key = reader.find(one.key_variable, mask=names["key"], word=False) if one.key_variable else None
    token = reader.find(one.token_variable, mask=names["token"]) if one.token_variable else None
    if url is None:
        return None
    return NotifyTarget(
        one.name, url, NoticeFormat(one.format), one.on, one.jobs, key, token, one.ca_file, **one.limits
    )


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
    link = ci_link(environ)
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
