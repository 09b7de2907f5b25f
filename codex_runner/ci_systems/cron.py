"""cron: it starts runs on this machine, and sets no variable by which they could know it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from codex_runner.ci_systems.starter import Starter
from codex_runner.ci_systems.system import CiSystem

if TYPE_CHECKING:
    from codex_runner.ci_systems.starter import StarterRequest


class Cron(CiSystem):
    """Facts of the crontab."""

    name = "cron"
    title = "cron"
    has_starter = True
    on_this_machine = True
    secret_id_step = "Keep AppRole's secret id in a file of mode 0600, and name it in `vault.auth.secret_id_file`."  # noqa: S105 - advice

    def starter(self, request: StarterRequest) -> Starter:
        """See CiSystem.starter."""
        file, place = f"codex-{request.job}.crontab", request.place
        words = {"FOLDER": place.folder, "CONFIG": request.config_file, "STATE": place.state}
        values = {"PATH": place.path, **{key: _quoted(word) for key, word in words.items()}}
        values["INPUT"] = f"sh {_quoted(request.input_script)} && " if request.input_script else ""
        values["CONTEXT_OPTION"] = f" --context {_quoted(request.context)}" if request.context else ""
        text = request.fill("crontab", values)
        install = f"mkdir -p {shlex.quote(place.state)}; (crontab -l 2>/dev/null; cat {file}) | crontab -"
        return Starter({file: text}, (f"Install it: {install}",))

    def variable_step(self, variable: str) -> str:
        """See CiSystem.variable_step."""
        return f'cron does not pass {variable} on. Keep it in a file of mode 0600, and set `source = "file"`.'


def _quoted(value: str) -> str:
    """Quote for the shell, and for cron, which reads a bare `%` as the end of the command."""
    return shlex.quote(value).replace("%", r"\%")
