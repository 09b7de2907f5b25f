"""`codex-runner hosts`: the hosts that OpenSSH knows, and whether they can run agents."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codex_runner.cli.operators import optional_config
from codex_runner.cli.options import ConfigOption  # noqa: TC001 - typer reads annotations
from codex_runner.cli.speech import print_json, tell
from codex_runner.cli.table import show_table
from codex_runner.domain.errors import ConfigurationError, ExitCode
from codex_runner.domain.host import host_name_problem
from codex_runner.domain.secret_names import without_secrets
from codex_runner.transports.ssh_config import aliases, resolved
from codex_runner.wiring.setting import Setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codex_runner.config import Config

# Enough to be quick, few enough for a jump host's MaxStartups (10 by default).
_AT_ONCE = 8

# ssh says what an alias comes to, a process each, which reads all of the configuration. Of more than these, only names.
_RESOLVED = 100


def hosts(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[ALIAS]...", help="Only these; by default all.", show_default=False)
    ] = None,
    probe: Annotated[bool, typer.Option("--probe", help="Connect to each, and look at what it has.")] = False,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """List the aliases of the OpenSSH configuration: each can be a job's `host`.

    With --probe, exit code 6 where one of them cannot be reached.
    """
    loaded = optional_config(config, None)
    documents = asyncio.run(_look(names, loaded, probe=probe))
    if as_json:
        print_json({"hosts": documents})
    elif probe:
        _show_probed(documents)
    else:
        show_table(
            ("ALIAS", "ADDRESS", "USER", "PORT", "VIA"),
            [[each[key] for key in ("alias", "hostname", "user", "port", "via")] for each in documents],
            os.environ,
        )
    if probe and not all(each["reachable"] for each in documents):
        raise typer.Exit(ExitCode.HOST)


async def _look(names: Sequence[str] | None, loaded: Config | None, *, probe: bool) -> list[dict[str, Any]]:
    """Look at these aliases, or at all. A project is not needed, so its configuration need not be."""
    setting = Setting.of(loaded, os.environ, None)
    file = setting.ssh_config
    options = ("-F", str(file)) if file else ()
    for name in names or ():
        if wrong := host_name_problem(name):
            raise ConfigurationError(f"{name!r}: {wrong}.")
    turn = asyncio.Semaphore(_AT_ONCE)
    wanted = list(names or aliases(file))
    shown = set(wanted if names or probe else wanted[:_RESOLVED])
    if len(wanted) > 1:  # a configuration that ssh refuses is refused for all of them
        await resolved(wanted[0], without_secrets(os.environ, setting.secret_names), options)
    if len(shown) < len(wanted):
        tell(
            f"{len(wanted)} aliases: what the last {len(wanted) - len(shown)} come to is not shown",
            "Name those that matter: `codex-runner hosts ALIAS...`.",
        )

    async def one(alias: str) -> dict[str, Any]:
        async with turn:
            given = setting.given_to(alias)
            environ = without_secrets(os.environ, setting.secret_names, given)
            said = await resolved(alias, environ, options) if alias in shown else {}
            via = said.get("proxyjump", said.get("proxycommand", ""))
            document: dict[str, Any] = {
                "alias": alias,
                "hostname": said.get("hostname", ""),
                "user": said.get("user", ""),
                "port": said.get("port", ""),
                "via": "" if via == "none" else via,
            }
            if probe:
                from codex_runner.transports.ssh_probe import probe as ask

                codex = setting.hosts[alias].codex if alias in setting.hosts else None
                document |= asdict(await ask(alias, environ, codex=codex, ssh_options=options, given=given))
            return document

    # All to their ends: one that is cancelled while its ssh starts may never end.
    found = await asyncio.gather(*map(one, wanted), return_exceptions=True)
    for each in found:
        if isinstance(each, BaseException):
            raise each
    return [each for each in found if not isinstance(each, BaseException)]


def _show_probed(documents: Sequence[dict[str, Any]]) -> None:
    rows = [
        [
            each["alias"],
            "ok" if each["reachable"] else "failed",
            f"{each['seconds']:.1f} s",
            each["system"],
            Path(each["shell"]).name,
            each["codex_version"] or "-",
            each["codex"] or "-",
            each["git"] or "-",
            f"{each['disk'] / 1e9:.1f} GB" if each["disk"] is not None else "-",
        ]
        for each in documents
    ]
    show_table(("ALIAS", "REACHED", "IN", "SYSTEM", "SHELL", "CODEX", "PATH", "GIT", "FREE"), rows, os.environ)
    for each in documents:
        if each["error"]:
            tell(f"{each['alias']}: {each['error']}", each["remedy"])
        for line in each["advice"]:
            tell(f"{each['alias']}: {line}")
