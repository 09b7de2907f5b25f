"""Prometheus's text format, version 0.0.4, for the textfile collector of node_exporter."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING

from codex_runner.text.clean import clean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PREFIX = "codex_runner"
READABLE = 0o644
"""The mode of a file: the collector is another user, and cron's umask is not always the usual one."""

_SAFE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)


def file_name(job: str) -> str:
    """Return a job's name as a part of a file's name: a hash of it if it could be another path."""
    return job if _SAFE_NAME.fullmatch(job) else sha256(job.encode(errors="replace")).hexdigest()


def text_of(samples: Mapping[str, Sequence[tuple[dict[str, str], float]]], helps: Mapping[str, str]) -> str:
    """Return samples, by metric their labels and value, as gauges with the `helps` of the metrics.

    Without timestamps, which the collector refuses.
    """
    lines = []
    for name, values in samples.items():
        if values:
            lines += [f"# HELP {name} {helps[name]}", f"# TYPE {name} gauge"]
            lines += [f"{name}{{{_labels(labels)}}} {_number(value)}" for labels, value in values]
    return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return clean(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if value == int(value):
        return str(int(value))
    return f"{value:.3f}" if value >= 1 else f"{value:.6f}"  # money may be a fraction of a cent
