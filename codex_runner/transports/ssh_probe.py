"""What a host has and lacks for running agents, asked in one command."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from codex_runner.domain.errors import RunnerError
from codex_runner.text.durations import format_duration
from codex_runner.text.excerpts import end_of
from codex_runner.transports.ssh import SshTransport

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

# The answer may come late on a slow line: a second or two of difference says nothing about clocks.
_CLOCK_TOLERANCE = 2.0

# A fact a line: a word, and what it is. $1 is the path of codex that the configuration gives, if any.
_PROBE = r"""
echo() { printf '%s\n' "$*"; } # some shells' own reads backslashes
echo "now $(date +%s)"
echo "system $(uname -sm)"
echo "shell ${SHELL:-unknown}"
command -v git >/dev/null && echo "git $(git --version | sed 's/^git version //')"
{ command -v perl || command -v python3; } >/dev/null && echo "sweep sure"
state=${XDG_STATE_HOME:-$HOME/.local/state}
while [ ! -d "$state" ]; do state=$(dirname "$state"); done
echo "disk $(df -Pk "$state" | awk 'NR == 2 { print $4 }')"
version() { "$1" --version 2>/dev/null </dev/null | sed -n 's/^codex-cli //p' | head -n 1; }
found=${1:-$(command -v codex)}
if [ -n "$found" ] && [ -x "$found" ]; then echo "codex $found"; echo "version $(version "$found")"; fi
if [ -z "$1" ] && [ -z "$found" ]; then
	# nvm, homebrew and others put it into the PATH of login shells, or only of interactive ones.
	for flags in -l -i; do
		found=$("$SHELL" $flags -c 'command -v codex || which codex' 2>/dev/null </dev/null | grep '^/' | tail -n 1)
		[ -n "$found" ] && [ -x "$found" ] || continue
		PATH=$(dirname "$found"):$PATH
		echo "login-codex $found"; echo "version $(version "$found")"
		break
	done
fi
[ -d /run/systemd/system ] || { echo "logout survives"; exit 0; }
kill=$(busctl get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager \
	KillUserProcesses 2>/dev/null)
[ -n "$kill" ] || kill=$(cat /etc/systemd/logind.conf /etc/systemd/logind.conf.d/*.conf 2>/dev/null |
	sed -n 's/^ *KillUserProcesses *= *//p' | tail -n 1)
case $kill in
*true | yes | on | 1) [ "$(id -u)" = 0 ] && echo "logout survives" || echo "logout killed" ;;
*) echo "logout survives" ;;
esac
"""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What was found out about one alias. `seconds` is the time to connect and ask.

    `error` is empty where the host can be reached. `codex` is an absolute path; `codex_in_login_shell` says that only a
    login shell finds it. `disk` is free space in bytes, where run directories lie; `skew` how far the host's clock is
    ahead, in seconds, 0 where it is within what a connection's delay explains. `survives_logout` is False where the
    host ends the work of users who are not logged in.
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


async def probe(
    alias: str,
    environ: Mapping[str, str],
    *,
    codex: str | None = None,
    ssh_options: Sequence[str] = (),
    given: Collection[str] = (),
) -> HostFacts:
    """Ask one host. Never raises for what is wrong with the host: that is in the answer."""
    transport = SshTransport(alias, environ, reconnect=0.0, ssh_options=ssh_options, given=given)
    began, asked = time.monotonic(), time.time()
    try:
        done = await transport.ask(_PROBE, arguments=(codex or "",), timeout=30)
    except RunnerError as error:
        return HostFacts(alias, seconds=time.monotonic() - began, error=error.message, remedy=error.remedy)
    finally:
        await transport.close()
    if not done.output.startswith(b"now "):
        said = end_of(done.last_words, 200) or "nothing"
        return HostFacts(
            alias,
            seconds=time.monotonic() - began,
            error=f"the host {alias} answers, but its shell could not be asked: {said}",
            remedy="The account's login shell must run commands, and the host needs a POSIX `sh` in its PATH.",
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
        advice.append("codex is not there: install it, or set its path as `codex` in [hosts." + alias + "].")
    elif in_login_shell:
        advice.append(
            f'only a login shell finds codex: set `codex = "{codex}"` in [hosts.{alias}], since runs have none.'
        )
    if abs(skew) > _CLOCK_TOLERANCE:
        advice.append(
            f"its clock is {format_duration(abs(skew))} {'ahead' if skew > 0 else 'behind'}: tokens may seem expired."
        )
    if not survives:
        advice.append(
            "it ends what users leave behind when they log out (KillUserProcesses), and so the agent when the "
            "connection drops: set KillUserProcesses=no in logind.conf, or run codex under "
            "`systemd-run --user --scope` with `loginctl enable-linger`."
        )
    return advice
