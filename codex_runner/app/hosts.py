"""The transport to the host that a job names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.host import host_name_problem
from codex_runner.domain.job import Limits
from codex_runner.domain.secret_names import PROXIES, without_secrets
from codex_runner.transports.local import LocalTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from codex_runner.domain.claim import Claim
    from codex_runner.domain.host import Host
    from codex_runner.domain.transport_port import Transport
    from codex_runner.transports.ahead import AskedAhead


def transport_for(  # noqa: PLR0913 - each a thing in which its callers differ
    host: Host,
    environ: Mapping[str, str],
    *,
    reconnect: float = Limits().reconnect,
    ssh_config: Path | None = None,
    tell: Callable[[str, str], None] = lambda _code, _message: None,
    at_once: bool = False,
    hidden: Collection[str] = (),
    given: Collection[str] = (),
    claim: Claim | None = None,
    ahead: AskedAhead | None = None,
) -> Transport:
    """Return the transport that reaches a host: this machine, or any alias of OpenSSH's configuration.

    `tell` gets each warning about the connection: a code and a sentence. `at_once`: it starts to connect now. What it
    starts gets `environ` without the variables from which the runner reads a secret: those of the table, and `hidden`.
    Those `given` go to the host's ssh all the same. A runner has a `claim` on its run, and may have asked this
    machine `ahead`.
    """
    if host.is_here:
        around = without_secrets(environ, hidden, PROXIES)  # codex connects through the proxies
        return LocalTransport(around, claim, ahead=ahead)
    if wrong := host_name_problem(host):  # it may stand on a command line, or in a run's records
        raise ConfigurationError(f"{host!r}: {wrong}.")
    from codex_runner.transports.carriers.ssh.connection import SshCarrier
    from codex_runner.transports.remote.transport import RemoteTransport

    options = ("-F", str(ssh_config)) if ssh_config else ()
    environ = without_secrets(environ, hidden, given)
    carrier = SshCarrier(host, environ, options, given)
    transport = RemoteTransport(carrier, reconnect=reconnect, tell=tell, claim=claim)
    if at_once:
        transport.begin()
    return transport
