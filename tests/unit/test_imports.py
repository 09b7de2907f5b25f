"""What the command line loads, and when: every pipeline pays for the start. pyproject.toml lists the heavy modules."""

import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

RULES = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
HEAVY = RULES["flake8-tidy-imports"]["banned-module-level-imports"]


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_help_and_version_load_nothing_heavy(arguments):
    """`--help` imports the modules of all commands, and so whatever these import at their top."""
    heavy = [name for name in HEAVY if name != "rich"]  # typer draws its help with it
    program = (
        "import sys\n"
        f"sys.argv = ['codex-runner', *{arguments!r}]\n"
        "from codex_runner.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        f"print('loaded', [name for name in {heavy!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded []"


@pytest.mark.parametrize("name", [name for name in HEAVY if name.startswith("codex_runner.")])
def test_the_list_names_rooms_that_exist(name):
    assert find_spec(name) is not None
