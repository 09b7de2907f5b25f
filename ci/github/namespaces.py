"""Lets codex make its sandbox on a runner whose system forbids it, where that changes nobody's machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTING = "kernel.apparmor_restrict_unprivileged_userns"
FILE = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")


def allow(environ: Mapping[str, str], file: Path = FILE) -> str:
    """Allow unprivileged user namespaces on a runner that GitHub hosts; return what to tell, empty for nothing.

    A machine of the user's own is not changed: the command is told. `file` is the setting, absent on most systems.
    """
    if environ.get("INPUT_HOST", "") not in {"", "local"}:
        return ""
    try:
        forbidden = file.read_text(encoding="ascii").strip() == "1"
    except OSError:
        return ""
    if not forbidden:
        return ""
    command = ["sudo", "-n", "sysctl", "-q", "-w", f"{SETTING}=0"]
    by_hand = " ".join(command).replace(" -n", "").replace(" -q", "")
    why = "AppArmor forbids the user namespaces that codex's sandbox is made of"
    if environ.get("RUNNER_ENVIRONMENT") != "github-hosted":
        return f"{why}. On a runner of your own this is yours to allow: {by_hand}"
    if shutil.which("sudo") is None or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        return f"{why}, and the action could not allow them. Run this in a step before it: {by_hand}"
    return f"{why}: the action has allowed them on this runner, which GitHub hosts ({SETTING} = 0)."
