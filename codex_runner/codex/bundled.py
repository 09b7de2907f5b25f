"""The codex that is installed beside codex-runner, as a Python package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codex_runner.domain.host import Host


def bundled_codex(host: Host) -> str | None:
    """Return the codex of the package `openai-codex-cli-bin` for this machine. Returns None if it is not installed."""
    package = find_spec("codex_cli_bin") if host.is_here else None
    if package is None or package.origin is None:
        return None
    binary = Path(package.origin).with_name("bin") / "codex"
    return str(binary) if binary.is_file() else None
