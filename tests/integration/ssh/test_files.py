"""Files brought over the connection: whole and proven, or left out with a reason."""

import random

import pytest
from support.proxy import Fault, Proxy

pytestmark = pytest.mark.needs_sshd


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    (root / "out").mkdir(parents=True)
    (root / "out" / "a.txt").write_text("a\n")
    (root / "secret").write_text("outside of what is asked for")
    return root


def test_lists_nothing_of_what_runs_keep(server, on, runs, tmp_path):
    for folder in (runs / "one" / "home", tmp_path / "runs" / "one"):
        folder.mkdir(parents=True)
        (folder / "rollout.jsonl").touch()
    for below in (["."], ["state", "runs"]):
        listing = on(server(), lambda transport, below=below: transport.list_files(str(tmp_path), below))
        assert [path for path in listing.files if path.endswith(".jsonl")] == ["runs/one/rollout.jsonl"]


def test_goes_on_at_the_byte_where_the_line_dropped(project, server, on, tmp_path):
    data = random.Random(1).randbytes(3_000_000)
    (project / "large").write_bytes(data)
    sshd = server()
    faults = [Fault("cut", 1_000_000), Fault("truncate", 1_500_000), Fault("cut", 100_000)]
    with Proxy(sshd.port, faults) as proxy:
        got = on(
            sshd,
            lambda transport: transport.fetch_files(
                str(project), ["out/a.txt", "large", "secret"], tmp_path / "into", limit=1 << 30, total=1 << 30
            ),
            config=sshd.client_config(tmp_path / "config", proxy.port),
        )
        assert proxy.connections >= 4
    assert got.files == ("out/a.txt", "large", "secret")
    assert (tmp_path / "into" / "large").read_bytes() == data
    assert got.received == len(data) + 2 + len("outside of what is asked for")
