import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")

LOOK = """
import ctypes, os, subprocess, sys
from codex_runner.cli.undumpable import become_undumpable
if len(sys.argv) > 1:
    assert become_undumpable()
dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
child = subprocess.run([sys.executable, "-c", "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"],
    capture_output=True, text=True, check=True).stdout.strip()
print(dumpable, child)
"""


@pytest.mark.parametrize(("arguments", "said"), [([], "1 1"), (["now"], "0 1")])
def test_the_process_and_not_its_children(arguments, said):
    done = subprocess.run([sys.executable, "-c", LOOK, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == said
