"""The registered systems, in the order in which they are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codex_runner.ci_systems.azure import Azure
from codex_runner.ci_systems.buildkite import Buildkite
from codex_runner.ci_systems.cron import Cron
from codex_runner.ci_systems.forgejo import Forgejo
from codex_runner.ci_systems.github import GitHub
from codex_runner.ci_systems.gitlab import GitLab
from codex_runner.ci_systems.jenkins import Jenkins
from codex_runner.ci_systems.systemd import Systemd
from codex_runner.ci_systems.teamcity import TeamCity

if TYPE_CHECKING:
    from codex_runner.ci_systems.system import CiSystem

# Systems that judge their pipelines come first: a variable of another system must not keep a pipeline from judgement.
# Forgejo comes before GitHub, since it sets GitHub's variables too.
SYSTEMS: Final[tuple[CiSystem, ...]] = (
    Forgejo(),
    GitHub(),
    GitLab(),
    Jenkins(),
    Azure(),
    Buildkite(),
    TeamCity(),
    Cron(),
    Systemd(),
)
