"""The names that a shell completes. Reads only the keys that are needed, without any check."""

from __future__ import annotations

import tomllib
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from codex_runner.app.folders import LAST
from codex_runner.app.history import run_folders
from codex_runner.config.layers import PREFIX
from codex_runner.config.loading import find
from codex_runner.config.paths import below
from codex_runner.config.settings import OUTPUT_DIR
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.host import LOCAL_HOST
from codex_runner.transports.carriers.ssh.aliases import aliases

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_MOST: Final = 100  # runs; more help nobody on a terminal


def jobs(config: Path | None, start: Path) -> list[str]:
    """Return the names of the jobs. Raises an error of any kind if the file cannot be read."""
    return list(_read(config, start)[1].get("jobs", {}))


def hosts(config: Path | None, start: Path) -> list[str]:
    """Return this machine's name, and the aliases of OpenSSH's configuration."""
    try:
        file, values = _read(config, start)
        given = values.get("ssh_config")
        ssh_config = below(file.parent, given) if given else None
    except (ConfigurationError, OSError, ValueError):  # a host needs no configuration
        ssh_config = None
    return [LOCAL_HOST, *aliases(ssh_config)]


def runs(config: Path | None, output: Path | None, start: Path, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield `last`, and the ids of the newest runs."""
    if output is None:
        file, values = _read(config, start)
        named = environ.get(f"{PREFIX}OUTPUT_DIR") or values.get("output_dir") or OUTPUT_DIR
        output = below(file.parent, named)
    yield LAST
    for folder in islice(run_folders(start / output), _MOST):
        yield folder.run_id


def _read(config: Path | None, start: Path) -> tuple[Path, dict[str, Any]]:
    file = find(start) if config is None else start / config
    return file, tomllib.loads(file.read_bytes().decode("utf-8-sig"))
