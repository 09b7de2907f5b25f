"""Configuration: a TOML file, the environment and `--set` in, the domain's jobs out.

`load` reads and checks everything at once; `resolve_job` completes one job. Only `load` imports pydantic.

| To change | Edit |
|---|---|
| a key | the field of the domain's dataclass that it sets: its type, and `domain.key` for what is special about it |
| what a value may be | `values`, by its form |
| what holds for a table as a whole | `schema`, and `credentials` for keys that belong together |
| where values come from | `layers` |
| a message | `problems` |
| a key that another one replaces | `retired`; `upgrade` renames it in a file |
| the schema for editors | `json_schema` |
| what `config check` finds beside what `load` refuses | `examine`; the places of keys are in `positions` |
| what `config show` says of a value's source | `origins` |
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
