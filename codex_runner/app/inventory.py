"""The hosts that OpenSSH knows: their configuration, and what a probe finds there."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.host import host_name_problem
from codex_runner.domain.secret_names import without_secrets
from codex_runner.transports.carriers.ssh.aliases import aliases, resolved
from codex_runner.transports.remote.probe import probe as ask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from codex_runner.app.invocation import Invocation

# Enough to be quick, few enough for a jump host's MaxStartups (10 by default).
_AT_ONCE = 8

# ssh resolves an alias in a process of its own, which reads the whole configuration. Beyond this many, show only names.
_RESOLVED = 100


async def inventory(
    names: Sequence[str] | None, invocation: Invocation, tell: Callable[[str, str], None], *, probe: bool
) -> list[dict[str, Any]]:
    """Return these aliases, or all; with `probe`, connect to each. `tell` gets a sentence and a remedy."""
    file, environ = invocation.ssh_config, invocation.environ
    options = ("-F", str(file)) if file else ()
    for name in names or ():
        if wrong := host_name_problem(name):
            raise ConfigurationError(f"{name!r}: {wrong}.")
    turn = asyncio.Semaphore(_AT_ONCE)
    wanted = list(names or aliases(file))
    shown = set(wanted if names or probe else wanted[:_RESOLVED])
    if len(wanted) > 1:  # a configuration that ssh refuses is refused for all of them
        await resolved(wanted[0], without_secrets(environ, invocation.secret_names), options)
    if len(shown) < len(wanted):
        tell(
            f"{len(wanted)} aliases: the addresses of the last {len(wanted) - len(shown)} are not shown",
            "Name the aliases that you need: `codex-runner hosts ALIAS...`.",
        )

    async def one(alias: str) -> dict[str, Any]:
        async with turn:
            given = invocation.given_to(alias)
            visible = without_secrets(environ, invocation.secret_names, given)
            said = await resolved(alias, visible, options) if alias in shown else {}
            via = said.get("proxyjump", said.get("proxycommand", ""))
            document: dict[str, Any] = {
                "alias": alias,
                "hostname": said.get("hostname", ""),
                "user": said.get("user", ""),
                "port": said.get("port", ""),
                "via": "" if via == "none" else via,
            }
            if probe:
                from codex_runner.transports.carriers.ssh.connection import SshCarrier
                from codex_runner.transports.remote.transport import RemoteTransport

                codex = invocation.hosts[alias].codex if alias in invocation.hosts else None
                transport = RemoteTransport(SshCarrier(alias, visible, options, given), reconnect=0.0)
                document |= asdict(await ask(transport, codex=codex))
            return document

    # All to their ends: one that is cancelled while its ssh starts may never end.
    found = await asyncio.gather(*map(one, wanted), return_exceptions=True)
    for each in found:
        if isinstance(each, BaseException):
            raise each
    return [each for each in found if not isinstance(each, BaseException)]
