"""Azure Pipelines, as far as the runner knows it."""

from __future__ import annotations

from codex_runner.ci_systems.system import CiSystem


class Azure(CiSystem):
    """It reads `##vso[...]` in logs. No part of its pipelines is judged."""

    name = "azure"
    title = "Azure Pipelines"
    markers = ("TF_BUILD",)
