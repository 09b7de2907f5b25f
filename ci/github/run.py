"""Becomes `codex-runner run`, in this very process, and notes its exit code where a later step finds it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from codex_runner.cli.main import main as codex_runner


def arguments(environ: dict[str, str]) -> list[str]:
    """Return the command line that the action's inputs come to."""
    folder = Path(environ["FOLDER"])
    given = ["run", "--json", "--log-format", "github", "--output-dir", str(folder / "runs")]
    if config := environ["INPUT_CONFIG"]:
        given += ["--config", config]
    if host := environ["INPUT_HOST"]:
        given += ["--host", host]
    settings = {
        "vault.address": environ["INPUT_VAULT_ADDRESS"],
        "vault.auth.method": "jwt" if environ["INPUT_VAULT_ROLE"] else "",
        "vault.auth.role": environ["INPUT_VAULT_ROLE"],
        "vault.auth.audience": environ["INPUT_VAULT_AUDIENCE"],
        "codex.path": environ["INPUT_CODEX_PATH"],
        "ssh_config": str(folder / "ssh" / "config") if (folder / "ssh" / "config").is_file() else "",
    }
    for key, value in settings.items():
        if value:
            given += ["--set", f"{key}={json.dumps(value, ensure_ascii=False)}"]  # quoted, as a string of TOML's
    given += [line for line in environ["INPUT_ARGUMENTS"].splitlines() if line]
    return [*given, "--", environ["INPUT_JOB"]]


def main() -> None:
    folder = Path(os.environ["FOLDER"])
    sys.argv = ["codex-runner", *arguments(dict(os.environ))]
    code = 0
    try:
        codex_runner()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    finally:
        (folder / "exit-code").write_text(str(code), encoding="ascii")


if __name__ == "__main__":
    main()
