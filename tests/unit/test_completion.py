"""Completion of jobs, hosts and run ids in bash, zsh and fish: by the shells' own way of asking, and silent."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import commands

RUN = "20260102T030405Z-docs-0a1b2c3d"
FILE = """\
version = 1
ssh_config = "ssh"
output_dir = "out"
[jobs.docs]
prompt = "x"
[jobs.deploy]
prompt = "x"
[jobs.other]
prompt = "x"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "codex-runner.toml").write_text(FILE)
    (tmp_path / "ssh").write_text("Host devbox other-*\n")
    (tmp_path / "out" / RUN).mkdir(parents=True)
    (tmp_path / "out" / RUN / "events.jsonl").touch()
    (tmp_path / "out" / "notes").mkdir()
    return tmp_path


def asked(folder, line, shell="bash"):
    """Ask as typer's script for the shell does. Returns the words."""
    environ = {"HOME": str(folder), "_CODEX_RUNNER_COMPLETE": f"complete_{shell}"}
    if shell == "bash":
        environ |= {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    else:
        environ |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    said = commands.run(cwd=folder, environ=environ)
    assert (said.code, said.stderr) == (0, "")
    return said.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("run d", ["docs", "deploy"]),
        ("run -c other.toml d", []),
        ("config show o", ["other"]),
        ("doctor do", ["docs"]),
        ("run docs --host ", ["local", "devbox"]),
        ("hosts dev", ["devbox"]),
        ("logs ", ["last", RUN]),
        ("attach 2026", [RUN]),
        ("cancel -o elsewhere ", ["last"]),
        ("runs --job dep", ["deploy"]),
        ("conf", ["config"]),
    ],
)
def test_what_completes(folder, line, words):
    assert asked(folder, f"codex-runner {line}") == words


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_the_same(folder, shell):
    assert "docs" in " ".join(asked(folder, "codex-runner run do", shell))
    assert RUN in " ".join(asked(folder, "codex-runner logs 2", shell))


@pytest.mark.parametrize("text", [None, "version = [", "jobs = 3\noutput_dir = 7\nssh_config = 'nowhere'", "\x00"])
def test_a_broken_file_is_silent(folder, text):
    file = folder / "codex-runner.toml"
    file.unlink() if text is None else file.write_text(text)
    for line in ("run ", "logs ", "run x --host "):
        assert set(asked(folder, f"codex-runner {line}")) <= {"local", "last", *asked(folder, "codex-runner hosts ")}


def test_it_checks_nothing_and_loads_no_checker(folder):
    text = (
        "import sys\n"
        "from codex_runner.cli.main import main\n"
        "try: main()\n"
        "finally: sys.stderr.write(' '.join(sys.modules))"
    )
    environ = {"COMP_WORDS": "codex-runner run d", "COMP_CWORD": "2", "_CODEX_RUNNER_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.argv = ['codex-runner']\n{text}"],
        cwd=folder, env=environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = set(done.stderr.split())
    assert "codex_runner.cli.run" in loaded
    # Typer brings pydantic itself; the schema is what would check the file with it.
    ours = {"codex_runner.config.schema", "codex_runner.cli.token", "codex_runner.app.run"}
    assert not loaded & {"hvac", "httpx", "jsonschema", *ours}


@pytest.mark.parametrize(
    ("shell", "script"),
    [
        (
            "bash",
            """. ./script; COMP_WORDS=(codex-runner run dep); COMP_CWORD=2; f=$(complete -p codex-runner); f=${f#*-F }
            "${f%% *}" codex-runner; echo "${COMPREPLY[@]}\"""",
        ),
        ("fish", "source ./script; complete -C 'codex-runner run dep'"),
    ],
)
def test_the_shells_own_scripts_complete(folder, shell, script):
    if (found := shutil.which(shell)) is None:
        pytest.skip(f"{shell} is not installed")
    environ = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(folder), "TERM": "dumb"}
    shown = commands.run(cwd=folder, environ={**environ, "_CODEX_RUNNER_COMPLETE": f"source_{shell}"})
    (folder / "script").write_text(shown.stdout)
    done = subprocess.run([found, "-c", script], cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["deploy"], done.stderr
