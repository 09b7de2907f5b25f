"""CI systems: one file a system, which has every fact that the runner knows about that system.

`Pipeline(environ)` answers for the system whose job this process is; `SYSTEMS` lists them all. To add a system, write a
file with a subclass of `CiSystem`, and add its line to `systems.py`.
"""

from __future__ import annotations

from codex_runner.ci_systems.pipeline import Pipeline
from codex_runner.ci_systems.system import CiSystem
from codex_runner.ci_systems.systems import SYSTEMS

__all__ = ["SYSTEMS", "CiSystem", "Pipeline"]
