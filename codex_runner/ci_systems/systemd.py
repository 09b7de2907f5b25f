"""systemd: its timers start runs on this machine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from codex_runner.ci_systems.starter import Starter
from codex_runner.ci_systems.system import CiSystem

if TYPE_CHECKING:
    from codex_runner.ci_systems.starter import StarterRequest

_PLAIN = re.compile(r"[\w@%+=:,./$-]+", re.ASCII)


class Systemd(CiSystem):
    """Facts of units. A unit's environment says nothing that decides about a run."""

    name = "systemd"
    title = "systemd"
    has_starter = True
    on_this_machine = True
    secret_id_step = "Write AppRole's secret id into /etc/codex-runner/vault-secret-id, mode 0600."  # noqa: S105 - a path
    starter_has_login = True

    def starter(self, request: StarterRequest) -> Starter:
        """See CiSystem.starter."""
        unit, place = f"codex-runner-{request.job}", request.place
        approle = request.source == "vault" and request.auth_method == "approle"
        service = request.fill(
            "codex-runner.service",
            {
                "CONFIG": _word(request.config_file, command=True),
                "CONTEXT_OPTION": f"--context {_word(request.context, command=True)} " if request.context else "",
                "INPUT_SCRIPT": _word(request.input_script, command=True),
                "FOLDER": place.folder.replace("%", "%%"),
                "PATH": _word(f"PATH={place.path}"),
                "RUNNER": _word(place.runner, command=True),
                "SECRET_ID": '--set "vault.auth.secret_id_file=${CREDENTIALS_DIRECTORY}/vault-secret-id"'
                if approle
                else "",
                "WRITABLE": _word(place.folder),
            },
        )
        steps = (
            f"The service runs as {place.user}, who must be able to write {place.folder}.",
            f"sudo install -m 644 {unit}.service {unit}.timer /etc/systemd/system/ && sudo systemctl daemon-reload",
            f"sudo systemctl start {unit}.service; journalctl -u {unit}.service    # try it now",
            f"sudo systemctl enable --now {unit}.timer",
        )
        return Starter({f"{unit}.service": service, f"{unit}.timer": request.fill("codex-runner.timer", {})}, steps)

    def variable_step(self, variable: str) -> str:
        """See CiSystem.variable_step."""
        return f"Write the line {variable}=... into /etc/codex-runner/environment, mode 0600."


def _word(value: str, *, command: bool = False) -> str:
    """Quote one word of a unit's line. In a command line `$` begins a variable; everywhere `%` begins a specifier."""
    value = value.replace("%", "%%")
    if command:
        value = value.replace("$", "$$")
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
