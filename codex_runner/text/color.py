"""Whether a program's output has colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def wants_color(environ: Mapping[str, str], *, is_tty: bool) -> bool:
    """Whether to use colours: NO_COLOR forbids (no-color.org), FORCE_COLOR asks, else a terminal that has them."""
    if environ.get("NO_COLOR"):
        return False
    if forced := environ.get("FORCE_COLOR", ""):
        return forced not in {"0", "false"}
    return is_tty and environ.get("TERM") != "dumb"
