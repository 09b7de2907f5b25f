"""Configuration: a TOML file, the environment and `--set` in, the domain's jobs out.

`load` reads and checks everything at once; `resolve_job` makes one job complete. pydantic is imported by `load` alone
and nothing of it comes out.
"""

from __future__ import annotations

from codex_runner.config.loading import load
from codex_runner.config.resolve import PromptSource, files_of, resolve_codex, resolve_job, variables_of
from codex_runner.config.settings import FILE_NAME, Config, HostSettings, JobSettings, NotifySettings

__all__ = [
    "FILE_NAME",
    "Config",
    "HostSettings",
    "JobSettings",
    "NotifySettings",
    "PromptSource",
    "files_of",
    "load",
    "resolve_codex",
    "resolve_job",
    "variables_of",
]
