"""Probes a host in one command: what it has, and what it lacks for running agents."""

from __future__ import annotations

import time
from dataclasses import field
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import RunnerError
from codex_runner.shell.script import shell_script
from codex_runner.text.durations import format_duration
from codex_runner.text.excerpts import end_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.transports.remote.transport import RemoteTransport

# Seconds. On a slow connection, a second or two of difference is delay and not clock skew.
_CLOCK_TOLERANCE = 2.0


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The probe's findings about one host. `seconds` is the time to connect and ask.

    `error` is empty if the host can be reached. `codex` is an absolute path; `codex_in_login_shell` says that only a
    login shell finds it. `disk` is the free space in bytes, on the disk of the run directories. `skew` is how far the
    host's clock is ahead, in seconds; 0 if the connection's delay explains it. `survives_logout` is False if the host
    kills the processes of users who log out.
    """

    alias: str
    reachable: bool = False
    seconds: float = 0.0
    error: str = ""
    remedy: str = ""
    system: str = ""
    shell: str = ""
    codex: str | None = None
    codex_version: str | None = None
    codex_in_login_shell: bool = False
    git: str | None = None
    disk: int | None = None
    skew: float = 0.0
    sure_sweep: bool = False
    survives_logout: bool = True
    advice: tuple[str, ...] = field(default=())


async def probe(transport: RemoteTransport, *, codex: str | None = None) -> HostFacts:
    """Probe one host, and close its transport. Raises nothing for a broken host: the facts hold the error.

    `codex` is the path that the configuration gives.
    """
    carrier = transport.carrier
    alias = carrier.host
    began, asked = time.monotonic(), time.time()
    try:
        done = await transport.ask(
            shell_script("codex_runner.transports.remote", "probe.sh"), arguments=(codex or "",), timeout=30
        )
    except RunnerError as error:
        return HostFacts(alias, seconds=time.monotonic() - began, error=error.message, remedy=error.remedy)
    finally:
        await transport.close()
    if not done.output.startswith(b"now "):
        said = end_of(done.last_words, 200) or "nothing"
        return HostFacts(
            alias,
            seconds=time.monotonic() - began,
            error=f"the host {alias} answers, but its shell did not run the probe: {said}",
            remedy=carrier.remedies.unanswered,
        )
    pairs = (line.partition(" ") for line in done.output.decode("utf-8", "replace").split("\n"))
    return _facts(alias, {key: value for key, _, value in pairs}, time.monotonic() - began, asked)


def _facts(alias: str, said: Mapping[str, str], seconds: float, asked: float) -> HostFacts:
    found = said.get("codex") or said.get("login-codex")
    in_login_shell = "login-codex" in said
    skew = 0.0
    if said.get("now", "").isdigit():
        ahead = int(said["now"]) - asked
        skew = ahead - seconds if ahead > seconds + _CLOCK_TOLERANCE else min(0.0, ahead + _CLOCK_TOLERANCE)
    disk = int(said["disk"]) * 1024 if said.get("disk", "").isdigit() else None
    survives = said.get("logout") != "killed"
    return HostFacts(
        alias,
        reachable=True,
        seconds=seconds,
        system=said.get("system", ""),
        shell=said.get("shell", ""),
        codex=found,
        codex_version=said.get("version") or None,
        codex_in_login_shell=in_login_shell,
        git=said.get("git"),
        disk=disk,
        skew=skew,
        sure_sweep=said.get("sweep") == "sure",
        survives_logout=survives,
        advice=tuple(_advice(alias, found, skew, in_login_shell=in_login_shell, survives=survives)),
    )


def _advice(alias: str, codex: str | None, skew: float, *, in_login_shell: bool, survives: bool) -> list[str]:
    advice = []
    if codex is None:
        advice.append("codex was not found: install it, or set its path as `codex` in [hosts." + alias + "].")
    elif in_login_shell:
        advice.append(f'only a login shell finds codex, and runs use none: set `codex = "{codex}"` in [hosts.{alias}].')
    if abs(skew) > _CLOCK_TOLERANCE:
        advice.append(
            f"its clock is {format_duration(abs(skew))} {'ahead' if skew > 0 else 'behind'}, and tokens may seem "
            "expired: synchronize it (NTP)."
        )
    if not survives:
        advice.append(
            "it kills the processes of users who log out (KillUserProcesses), and so the agent when the connection "
            "drops: set KillUserProcesses=no in logind.conf, or run codex under "
            "`systemd-run --user --scope` with `loginctl enable-linger`."
        )
    return advice
