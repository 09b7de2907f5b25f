"""What the command line loads, and when: start-up is time that every pipeline pays."""

import subprocess
import sys

import pytest

HEAVY = ("pydantic", "pydantic_settings", "httpx", "hvac", "requests", "junit_xml", "tenacity", "tomli_w")


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_help_and_version_load_nothing_heavy(arguments):
    program = (
        "import sys\n"
        f"sys.argv = ['codex-runner', *{arguments!r}]\n"
        "from codex_runner.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        f"print('loaded', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded []"
