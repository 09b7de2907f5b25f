"""The upgrade of a configuration file: read, renamed, written atomically."""

from __future__ import annotations

import codecs
import stat
from typing import TYPE_CHECKING

from codex_runner.config.loading import read_file
from codex_runner.config.problems import WrongKeysError
from codex_runner.config.retired import RETIRED
from codex_runner.config.upgrade import upgraded
from codex_runner.domain.errors import ConfigurationError
from codex_runner.reports.atomic_write import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from codex_runner.config.retired import Retired
    from codex_runner.config.upgrade import Renamed


def upgrade_file(
    file: Path, start: Path, retired: Sequence[Retired] = RETIRED, *, dry_run: bool = False
) -> tuple[Renamed, ...]:
    """Rename the retired keys of a file, and return them. Idempotent. With `dry_run`, writes nothing.

    Raises ConfigurationError if the file cannot be read, is no TOML, or cannot be written.
    """
    place = start / file
    if problems := read_file(place, start).problems:
        raise WrongKeysError(problems)
    data = place.read_bytes()
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    text, renamed = upgraded(data.removeprefix(mark).decode(), str(file), retired)
    if renamed and not dry_run:
        target = place.resolve()  # a link stays one
        try:
            write_whole(target, mark + text.encode(), mode=stat.S_IMODE(target.stat().st_mode))
        except OSError as error:
            raise ConfigurationError(
                f"{file} cannot be written: {error.strerror or error}.", remedy="Make it and its folder writable."
            ) from None
    return renamed
