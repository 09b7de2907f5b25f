"""For how many ticks the supervisor's ticker sleeps at once. Each sleep is a process."""

import shutil
import subprocess

import pytest

from codex_runner.transports.request import whole_script

FUNCTIONS, _, _ = whole_script().rpartition("\ncase ${1-} in\n")
NAPS = """
span=0
while [ "$naps" -gt 0 ]; do
	pace
	ticks=$((ticks + span)) naps=$((naps - 1))
	echo "$span"
done
"""


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox", "mksh", "zsh"])
@pytest.mark.parametrize(
    ("values", "spans"),
    [
        ("", [1, 2, 3, 4, 4, 4]),
        ("orphan=3", [1, 1, 1, 1, 1, 1]),
        ("orphan=17", [1, 2, 2, 2, 2, 2]),
        ("timeout=9", [1, 2, 3, 3, 1, 1]),
        ("tick=0.1", [1, 1, 1, 1, 1, 1]),
        ("reaper=plain", [1, 1, 1, 1, 1, 1]),
    ],
)
def test_it_sleeps_longer_unless_something_is_near(tmp_path, shell, values, spans):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    command = [shell, *(["sh"] if shell == "busybox" else ["--emulate", "sh"] if shell == "zsh" else [])]
    script = f"{FUNCTIONS}\nreaper=reaper tick=1 orphan=600 timeout=1800 ticks=0 naps=6\n{values}\n{NAPS}"
    done = subprocess.run([*command, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [int(span) for span in done.stdout.split()] == spans
