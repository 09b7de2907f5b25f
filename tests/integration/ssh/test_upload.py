"""A file brought into a run's directory: whole and proven, from where it stood, whatever the line does."""

import random
import shutil
import subprocess

import pytest
from support.proxy import Fault, Proxy

from codex_runner.domain.errors import HostError
from codex_runner.domain.run import new_run_id

pytestmark = pytest.mark.needs_sshd


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(random.Random(1).randbytes(3_000_000))
    return path


def check(runs, run_id, place, data):
    assert place == str(runs.resolve() / run_id / "upload")
    assert (runs / run_id / "upload").read_bytes() == data
    assert [path.name for path in (runs / run_id).iterdir()] == ["upload"]
    assert (runs / run_id / "upload").stat().st_mode & 0o077 == 0


def test_it_goes_on_at_the_byte_where_the_line_dropped(server, on, runs, file, tmp_path):
    """What has arrived is not sent again, but for some 2 MB that a cut line had in its buffers."""
    file.write_bytes(random.Random(2).randbytes(12_000_000))
    sshd = server()
    run_id = new_run_id("test")
    faults = [Fault("truncate", 11_000_000, up=True), Fault("cut", 60_000, up=True)]
    with Proxy(sshd.port, faults) as proxy:
        config = sshd.client_config(tmp_path / "config", proxy.port)
        place = on(sshd, lambda transport: transport.upload(file, run_id), config=config)
        assert proxy.connections == 3
    assert proxy.sent < 19_000_000, "without it, 23 MB"
    check(runs, run_id, place, file.read_bytes())


def test_what_an_earlier_runner_left_there_and_is_wrong_is_sent_anew(server, on, runs, file):
    run_id = new_run_id("test")
    size = file.stat().st_size
    checksum = subprocess.run(["cksum", file], capture_output=True, text=True, check=True).stdout.split()[0]
    (runs / run_id).mkdir(parents=True)
    (runs / run_id / f".upload.{checksum}.{size}.0a1b").write_bytes(b"x" * 1000)
    check(runs, run_id, on(server(), lambda transport: transport.upload(file, run_id)), file.read_bytes())


def test_a_disk_that_is_full(server, on, runs, file, tmp_path):
    runs.mkdir(parents=True)
    mounted = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(runs)]
    if subprocess.run(mounted, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    run_id = new_run_id("test")
    try:
        with pytest.raises(HostError, match="no room"):
            on(server(), lambda transport: transport.upload(file, run_id))
        assert shutil.disk_usage(runs).free == 1024 * 1024, "what has come of it fills the disk"
    finally:
        subprocess.run(["umount", "-l", str(runs)], check=True)
