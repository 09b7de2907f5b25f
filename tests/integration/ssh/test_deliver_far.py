"""A job on a host over SSH delivers: its changes come to the runner's machine, which alone talks to the forge."""

import pytest
from support.forge import APP, small_forge
from support.nightly import Nightly
from support.runs import tree

from codex_runner.demo.model_wire import add_file, message, patch, shell
from codex_runner.demo.scenarios import script

pytestmark = pytest.mark.needs_codex


@pytest.fixture
def nightly(far, tmp_path):
    with small_forge(tmp_path) as forge:
        yield Nightly(far, forge)


def check_token_stays_here(far):
    for path, data in tree(far.state).items():
        assert APP.encode() not in data, path


def test_one_branch_and_one_pull_request(far, nightly):
    assert nightly.run()["state"] == "delivered"
    nightly.check_one()
    check_token_stays_here(far)
    far.check_nothing_is_left()
    nightly.renew()
    far.go_elsewhere()
    assert nightly.run()["state"] == "unchanged"
    nightly.check_one()


def test_another_machine_attaches_and_delivers(far, nightly, service):
    steps = (shell("touch began; sleep 3"), patch(add_file("hello.txt", "hello\nworld")), message("done"))
    service.scenario("later", script(*steps))
    nightly.configure(prompt="SCN:later", sandbox="danger-full-access")
    running = far.start("run", "docs")
    running.until((far.workspace / "began").exists)
    running.kill()
    run = far.runs[0].run_id
    far.go_elsewhere()
    done = far.command("attach", run, "--host", far.sshd.alias)
    assert done.code == 0, done.stderr[-3000:]
    assert far.last.run_json["delivery"]["state"] == "delivered"
    nightly.check_one()
    check_token_stays_here(far)
