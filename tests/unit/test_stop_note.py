"""Why an agent is ended: the word that the supervisor reads is there whole, or not at all, and the first one stays."""

import shutil
import subprocess

import pytest

from codex_runner.transports.request import script

# The host's own script up to what calls; then a printf that looks around before it writes.
_ASIDE = """
printf() {
	[ ! -e stop ] || [ -s stop ] || echo "the reason is there, and empty" >seen
	[ -n "$inside" ] || { inside=1; note_stop terminated; }
	command printf "$@"
}
nonce=0a inside=1
note_stop cancelled
inside=''
note_stop timeout
"""


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
@pytest.mark.parametrize("links", [True, False])
def test_a_reason_is_never_there_in_part(tmp_path, shell, links):
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "stop.room").write_text(" " * 1024 + "\n")
    functions = script().rpartition("\ncase ")[0]
    aside = _ASIDE if links else "\nln() { return 1; }\n" + _ASIDE
    shells = [found, "sh"] if shell == "busybox" else [found]
    done = subprocess.run(
        [*shells, "-c", functions + aside],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "seen").exists(), (tmp_path / "seen").read_text()
    assert (tmp_path / "stop").read_text().split() == ["cancelled"]
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"stop", "stop.room"}
