import os
import shutil
from pathlib import Path

import pytest

from codex_runner.transports.local import LocalTransport

SHELLS = {"dash": ["dash"], "bash": ["bash"], "busybox": ["busybox"]}


@pytest.fixture(params=[*SHELLS])
def host(request, tmp_path_factory):
    """This machine, through each shell that is here."""
    shell = shutil.which(request.param)
    if shell is None:
        pytest.skip(f"{request.param} is not installed")
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "bin").mkdir()
    (folder / "bin" / "sh").symlink_to(shell)
    environ = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder / "state"),
        "RUNNER_TRACKING_ID": "tracked",
        "VAULT_TOKEN": "host-vault-token",
        "HOST_SECRET": "host-secret",
    }
    return LocalTransport(environ)


@pytest.fixture
def supervisor_pid(host):
    def find(run_id, attempt=1):
        words = Path(host._root, run_id, "attempts", str(attempt), "pid").read_text().split()
        return int(words[2])

    return find
