import os
import random

import pytest
from integration.conftest import codex, codex_home, service
from support.sshd import Sshd

__all__ = ["codex", "codex_home", "service"]

SHELLS = ("dash", "bash", "busybox")
_BASE = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1 << 32))


@pytest.fixture(scope="session")
def sshd(tmp_path_factory, worker_id):
    """A server of this worker's own."""
    folder = tmp_path_factory.mktemp("chaos")
    with Sshd(folder / "sshd", environment={"XDG_STATE_HOME": str(folder / "state")}) as server:
        server.state = folder / "state"
        yield server


@pytest.fixture
def seed(request):
    """Printed, so that a failure can be run again: `CHAOS_SEED=N pytest tests/chaos -k ...`."""
    print(f"CHAOS_SEED={_BASE}")
    return f"{_BASE} {request.node.name}"
