"""The templates of what `codex-runner init` writes: files of `starters`, with lines of a kind and values to fill in."""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Mapping


def template(name: str) -> str:
    """Return a file of `starters` as it stands. `name` is its path there."""
    return (resources.files("codex_runner.cli") / "starters" / name).read_text(encoding="utf-8")


def filled(name: str, kinds: Container[str], values: Mapping[str, str]) -> str:
    """Return a template with each `@NAME@` replaced. A line that begins with `?kind ` stays if `kinds` has the kind."""
    lines = []
    for line in template(name).splitlines():
        if line.startswith("?"):
            kind, _, line = line.removeprefix("?").partition(" ")  # noqa: PLW2901 - the rest of it
            if kind not in kinds:
                continue
        lines.append(re.sub(r"@([A-Z_]+)@", lambda match: values[match[1]], line).rstrip())
    return "\n".join(lines) + "\n"
