"""The list of commands: whichever is asked for is there, and only that one is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer.testing

import codex_runner.cli
from codex_runner.cli.main import command_line

ALL = [*sorted(info.callback.__name__ for info in command_line().registered_commands), "config", "token", "vault"]


def shown(*arguments: str, wanted: str | None = None) -> str:
    result = typer.testing.CliRunner().invoke(command_line(wanted), list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("name", ALL)
def test_a_command_alone_has_the_help_that_it_has_among_all(name):
    assert shown(name, "--help", wanted=name) == shown(name, "--help")


def test_what_is_no_command_is_looked_for_among_all():
    result = typer.testing.CliRunner().invoke(command_line("runn"), ["runn"])
    assert result.exit_code == 2
    assert "'run'" in result.output


def test_a_command_loads_no_other():
    program = (
        "import sys; sys.argv = ['codex-runner', 'cancel', '--help']\n"
        "from codex_runner.cli.main import main\n"
        "try: main()\n"
        "finally: sys.stderr.write(' '.join(m for m in sys.modules if m.startswith('codex_runner.cli.')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    others = {path.stem for path in Path(codex_runner.cli.__file__).parent.glob("*.py")} & {*ALL} - {"cancel"}
    assert "codex_runner.cli.cancel" in done.stderr.split()
    assert not others & {name.rpartition(".")[2] for name in done.stderr.split()}


@pytest.mark.parametrize(("arguments", "code", "says"), [(["--version"], 0, "codex-runner "), (["runn"], 2, "")])
def test_the_program_ends_when_all_is_written(arguments, code, says):
    text = (
        "import atexit, sys; sys.argv = ['codex-runner', *sys.argv[1:]]\n"
        "from codex_runner.cli.main import program\n"
        "atexit.register(print, 'the interpreter is taken apart')\n"
        "program()"
    )
    done = subprocess.run([sys.executable, "-c", text, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stdout.startswith(says)
    assert "apart" not in done.stdout
    assert bool(done.stderr) == bool(code)


@pytest.mark.parametrize(("ending", "code"), [("256", 70), ("-1", 70), ("255", 255), ("None", 0)])
def test_no_end_of_a_command_becomes_another_one(ending, code):
    text = (
        "import sys; sys.argv = ['codex-runner']\n"
        "from codex_runner.cli import main\n"
        "def command():\n"
        "    sys.stderr.write('half a line')\n"
        f"    raise SystemExit({ending})\n"
        "main.command_line = lambda _: command\n"
        "main.program()"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "half a line")


def test_the_module_is_the_program():
    done = subprocess.run(
        [sys.executable, "-m", "codex_runner", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("codex-runner ")


def test_windows_is_told_of_wsl():
    program = "import sys; from codex_runner.cli.main import main; sys.platform = 'win32'; main()"
    done = subprocess.run([sys.executable, "-c", program, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert "WSL" in done.stderr
