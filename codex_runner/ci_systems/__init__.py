"""CI systems: one file a system, and in it every fact that the runner knows about that system.

`Pipeline(environ)` answers for the system whose job this process is; `SYSTEMS` lists them all. A system more is a file
with a class of `CiSystem`, and its line in `systems.py`.
"""

from __future__ import annotations

from codex_runner.ci_systems.pipeline import Pipeline
from codex_runner.ci_systems.system import CiSystem
from codex_runner.ci_systems.systems import SYSTEMS

__all__ = ["SYSTEMS", "CiSystem", "Pipeline"]
