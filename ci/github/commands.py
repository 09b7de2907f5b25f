"""How a step speaks to GitHub Actions: files for outputs and PATH, and commands in the log."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import NoReturn


def set_output(name: str, value: str) -> None:
    """Set an output of this step. No value can end its own block: the delimiter is random and not in it."""
    delimiter = f"end-{secrets.token_hex(16)}"
    while delimiter in value:  # pragma: no cover - 128 random bits
        delimiter = f"end-{secrets.token_hex(16)}"
    _append("GITHUB_OUTPUT", f"{name}<<{delimiter}\n{value}\n{delimiter}\n")


def add_path(folder: Path) -> None:
    """Have later steps find the programs of a folder."""
    _append("GITHUB_PATH", f"{folder}\n")


def notice(message: str) -> None:
    """Tell something in an annotation that is no error."""
    print(f"::notice title=codex-runner::{_escaped(message)}", flush=True)


def stop(message: str, code: int) -> NoReturn:
    """End the step with an annotation. The code is one of codex-runner's exit codes.

    It is left in the call's FOLDER, where the step that sets the outputs finds it.
    """
    print(f"::error title=codex-runner::{_escaped(message)}", flush=True)
    (Path(os.environ["FOLDER"]) / "exit-code").write_text(str(code), encoding="ascii")
    sys.exit(code)


def _escaped(message: str) -> str:
    return message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _append(variable: str, text: str) -> None:
    with Path(os.environ[variable]).open("a", encoding="utf-8", newline="\n") as file:
        file.write(text)
