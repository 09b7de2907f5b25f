"""`codex-runner hosts`: the hosts that OpenSSH knows, and whether they can run agents."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codex_runner.app.inventory import inventory
from codex_runner.app.invocation import Invocation
from codex_runner.cli.completion import host_names
from codex_runner.cli.operators import optional_config
from codex_runner.cli.options import ConfigOption  # noqa: TC001 - typer reads annotations
from codex_runner.cli.speech import print_json, tell
from codex_runner.cli.table import show_table
from codex_runner.domain.exit_code import ExitCode
from codex_runner.text.counts import format_size
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence


def hosts(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ALIAS]...",
            help="Only these aliases. Default: all.",
            show_default=False,
            autocompletion=host_names,
        ),
    ] = None,
    probe: Annotated[bool, typer.Option("--probe", help="Connect to each host, and list what it has.")] = False,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """List the aliases of the OpenSSH configuration. Each can be a job's `host`.

    With --probe, exits with 6 if one of them cannot be reached.
    """
    # No project is needed, so a configuration is optional.
    invocation = Invocation.of(optional_config(config, None), os.environ, None)
    documents = asyncio.run(inventory(names, invocation, tell, probe=probe))
    if as_json:
        print_json({"hosts": documents})
    elif probe:
        _show_probed(documents)
    else:
        if not documents:
            tell("the OpenSSH configuration names no alias", "Add a `Host` to ~/.ssh/config, or set `ssh_config`.")
        show_table(
            ("ALIAS", "ADDRESS", "USER", "PORT", "VIA"),
            [[each[key] for key in ("alias", "hostname", "user", "port", "via")] for each in documents],
            os.environ,
        )
    if probe and not all(each["reachable"] for each in documents):
        raise typer.Exit(ExitCode.HOST)


def _show_probed(documents: Sequence[dict[str, Any]]) -> None:
    rows = [
        [
            each["alias"],
            "ok" if each["reachable"] else "failed",
            format_duration(each["seconds"]),
            each["system"],
            Path(each["shell"]).name,
            each["codex_version"] or "-",
            each["codex"] or "-",
            each["git"] or "-",
            format_size(each["disk"]) if each["disk"] is not None else "-",
        ]
        for each in documents
    ]
    show_table(("ALIAS", "REACHED", "IN", "SYSTEM", "SHELL", "CODEX", "PATH", "GIT", "FREE"), rows, os.environ)
    for each in documents:
        if each["error"]:
            tell(f"{each['alias']}: {each['error']}", each["remedy"])
        for line in each["advice"]:
            tell(f"{each['alias']}: {line}")
