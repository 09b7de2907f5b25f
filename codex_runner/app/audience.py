"""The targets of a run's notifications, with addresses and keys read from variables and files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.notice import NoticeFormat, NotifyTarget
from codex_runner.engine.secret_reading import SecretReader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codex_runner.config import NotifySettings


def targets_of(settings: Sequence[NotifySettings], environ: Mapping[str, str]) -> tuple[list[NotifyTarget], list[str]]:
    """Read each target's address and keys. Return the targets, and a sentence for each whose address is missing."""
    targets, sentences = [], []
    for one in settings:
        try:
            target = _target(one, SecretReader(environ, refusal=ConfigurationError))
        except ConfigurationError as error:
            sentences.append(f"{one.name}: {error.message}")
            continue
        if target is None:
            gap = (
                f"the variable {one.url_variable} is not set"
                if one.url_variable is not None
                else f"the file {one.url_file} does not exist, or this user cannot read it"
            )
            sentences.append(f"{one.name}: its address is missing: {gap}.")
        else:
            targets.append(target)
    return targets, sentences


def require_usable(settings: Sequence[NotifySettings], environ: Mapping[str, str]) -> None:
    """Raise ConfigurationError if an address, a key or a token is set and invalid, before anything is spent."""
    for one in settings:
        try:
            _target(one, SecretReader(environ, refusal=ConfigurationError))
        except ConfigurationError as error:
            raise ConfigurationError(f"notify {one.name!r}: {error.message}", remedy=error.remedy) from None


def _target(one: NotifySettings, reader: SecretReader) -> NotifyTarget | None:
    """Return the target. Returns None if its address is missing."""
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
    said: dict[str, Any] = {"attempts": one.attempts, "timeout": one.timeout, "deadline": one.deadline}
    limits = {name: limit for name, limit in said.items() if limit is not None}
    return NotifyTarget(one.name, url, NoticeFormat(one.format), one.on, one.jobs, key, token, one.ca_file, **limits)
