"""Buildkite, as far as the runner knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.ci_systems.system import CiSystem

if TYPE_CHECKING:
    from collections.abc import Mapping


class Buildkite(CiSystem):
    """No part of its pipelines is judged."""

    name = "buildkite"
    title = "Buildkite"
    markers = ("BUILDKITE",)

    def link(self, environ: Mapping[str, str]) -> str:
        """See CiSystem.link."""
        return environ.get("BUILDKITE_BUILD_URL", "")
