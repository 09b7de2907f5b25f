"""While an agent works, its credential is in codex's environment, and nowhere else that can be looked at."""

from contextlib import suppress
from pathlib import Path

import pytest
from support.runs import processes_with, tree

pytestmark = pytest.mark.needs_codex


def test_no_command_line_and_no_file_holds_the_secret(project):
    project.configure(prompt="SCN:long_command:2", sandbox="workspace-write")
    running = project.start("run", "docs")
    running.until_command("sleep 2")
    key = project.key.encode()
    assert processes_with(project.key), "codex has it in its environment: the search would find it"
    lines = list(_command_lines())
    assert any(b"codex-runner" in line for line in lines)
    assert [line for line in lines if key in line] == []
    assert [path for path, data in (tree(project.state) | tree(project.scratch)).items() if key in data] == []
    assert running.wait().code == 0


def _command_lines():
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            yield (process / "cmdline").read_bytes()
