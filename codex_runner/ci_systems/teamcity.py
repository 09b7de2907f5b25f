"""TeamCity, as far as the runner knows it."""

from __future__ import annotations

from codex_runner.ci_systems.system import CiSystem


class TeamCity(CiSystem):
    """It reads `##teamcity[...]` in logs. No part of its pipelines is judged."""

    name = "teamcity"
    title = "TeamCity"
    markers = ("TEAMCITY_VERSION",)
