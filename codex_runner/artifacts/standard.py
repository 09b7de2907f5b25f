"""The artifacts of every run: the changes, the agent's reply and its record. The job's globs do not matter."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

from codex_runner.artifacts.collector import FOLDER, put
from codex_runner.domain.event import ArtifactKept
from codex_runner.domain.folder import PATCH

if TYPE_CHECKING:
    from collections.abc import Callable

    from codex_runner.domain.folder import RunFolder
    from codex_runner.domain.state import RunState

MESSAGE = "last-message.md"
REPLY = "reply.json"
ROLLOUT = "rollout.jsonl"


def standard_artifacts(  # noqa: PLR0913 - the sources of the files
    state: RunState,
    folder: RunFolder,
    patch: bytes | None,
    redact: Callable[[bytes], bytes],
    *,
    rollout: bytes = b"",
    structured: bool = False,
) -> list[ArtifactKept]:
    """Write changes.patch, last-message.md, rollout.jsonl and, if `structured`, reply.json. Returns those written.

    Empty contents and a missing reply leave no file. reply.json is written only if the job has an output schema and the
    reply is JSON. Everything is redacted. If the job's own artifacts have such a name already, the new file gets the
    prefix `run-`. Idempotent. Raises OSError if the folder cannot be written.
    """
    reply = (state.reply or "").encode(errors="replace")
    files = {PATCH: patch or b"", MESSAGE: _ended(reply)}
    if structured and _is_json(reply):
        files[REPLY] = _ended(reply)
    contents = {name: redact(data) for name, data in files.items() if data.strip()}
    if rollout:  # redact line by line, so that each line stays JSON
        contents[ROLLOUT] = b"\n".join(map(redact, rollout.split(b"\n")))
    if not contents:
        return []
    folder.artifacts.mkdir(parents=True, exist_ok=True)
    into = os.open(folder.artifacts, FOLDER)
    try:
        return [_keep(into, state, f"{folder.artifacts.name}/", name, data) for name, data in contents.items()]
    finally:
        os.close(into)


def _keep(into: int, state: RunState, prefix: str, name: str, data: bytes) -> ArtifactKept:
    digest = hashlib.sha256(data).hexdigest()
    there = state.artifacts.get(prefix + name)
    if there is not None and there.sha256 != digest:
        name = f"run-{name}"
    put(into, (name,), data)
    return ArtifactKept(prefix + name, len(data), digest)


def _ended(text: bytes) -> bytes:
    return text if not text or text.endswith(b"\n") else text + b"\n"


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
