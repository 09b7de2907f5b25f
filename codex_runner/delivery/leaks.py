"""Secrets in a run's change. git compresses: neither its pack nor its patch shows what a binary file holds.

The search reads each object of the change as it is: files, symlinks, names in folders, and objects of Git LFS.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from codex_runner.delivery.pack_store import LFS
from codex_runner.delivery.remote import Remote
from codex_runner.delivery.repository import open_repository
from codex_runner.redaction.leak_search import search

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from codex_runner.domain.delivery import ChangeSet
    from codex_runner.redaction.redactor import Redactor


async def secrets_in(change: ChangeSet, redactor: Redactor, environ: Mapping[str, str], runs: Path) -> set[str]:
    """Return the names of the secrets in a change. `runs` is the folder of this machine's run directories.

    Raises DeliveryError if the pack is damaged.
    """
    async with open_repository(Remote(str(change.pack)), environ, runs, like=change.base) as repository:
        await repository.index(change)
        plain = repository.folder.parent / "plain"
        plain.mkdir()
        with (plain / "objects").open("wb") as file:
            await repository.write(file.fileno(), "cat-file", "--batch-all-objects", "--batch", "--buffer")
        found = await asyncio.to_thread(search, plain, redactor)
        if change.lfs:
            found += await asyncio.to_thread(search, change.pack.parent / LFS, redactor)
        return {find.secret for find in found}
