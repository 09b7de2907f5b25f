"""Sets the action's outputs from what the run left, however it ended."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from commands import set_output

LONGEST_MESSAGE = 64 * 1024  # bytes


def main() -> None:
    folder = Path(os.environ["FOLDER"])
    exit_code = _read(folder / "exit-code")
    run_dir = next(iter(sorted(path.parent for path in folder.glob("runs/*/events.jsonl"))), None)
    run: dict[str, Any] = json.loads(_read(run_dir / "run.json") or "{}") if run_dir else {}
    # A runner that was killed leaves no verdict: that is a failure, and its exit code is nobody's to know.
    set_output("result", run.get("result") or "failed")
    set_output("exit-code", str(run["exit_code"]) if run.get("exit_code") is not None else exit_code)
    set_output("final-message", _shortened(run.get("reply") or "", folder / "final-message.md"))
    set_output("run-dir", str(run_dir or ""))
    set_output("junit", str(run_dir / "junit.xml") if run_dir and (run_dir / "junit.xml").is_file() else "")
    set_output("thread-id", run.get("thread_id") or "")
    set_output("usage", json.dumps(run["usage"]) if run.get("usage") else "")
    delivery = run.get("delivery") or {}
    set_output("delivery", str(delivery.get("state") or ""))
    set_output("pull-request", str(delivery.get("link") or ""))
    # Two jobs of a workflow, and a second attempt, must not ask for the same artifact.
    set_output("artifact", re.sub(r"[^\w.-]", "-", f"codex-runner-{run_dir.name}") if run_dir else "")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _shortened(message: str, whole: Path) -> str:
    """Return the message, or its beginning and the path of the whole."""
    data = message.encode("utf-8", "replace")
    if len(data) <= LONGEST_MESSAGE:
        return data.decode()
    whole.write_bytes(data)
    told = f"\n\n[The whole message, {len(data)} bytes: {whole}]"
    return data[: LONGEST_MESSAGE - len(told.encode())].decode("utf-8", "ignore") + told


main()
