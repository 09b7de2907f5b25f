"""The gate of a job on another host: it works there, where the agent would work."""

import pytest
from support.far import FarProject

pytestmark = [pytest.mark.needs_codex, pytest.mark.needs_sshd]


@pytest.fixture
def far(codex, codex_home, service, tmp_path):
    (tmp_path / "scratch").mkdir()
    made = FarProject(tmp_path / "scratch", codex_home, codex, service)
    yield made
    made.close()


def test_the_gate_works_where_the_agent_would(far):
    gate = {"unless_changed": ["README"], "command": 'test "$PWD $HOME" = "$(cat here)"'}
    (far.workspace / "here").write_text(f"{far.workspace} {far.account}\n")
    (far.workspace / ".git" / "info" / "exclude").write_text("/here\n")  # or the tree has uncommitted changes
    far.configure(gate=gate)
    done = far.run()
    assert done.code == 0, done.stderr[-2000:]
    far.environ.pop("CODEX_ACCESS_TOKEN")  # a run that goes on would need it
    done = far.run()
    document = far.last.run_json
    assert (done.code, document["result"]) == (0, "skipped"), done.stderr[-2000:]
    assert "nothing under `README` has changed" in document["reason"]
    far.configure(gate={"command": "setsid sleep 4712 & exit 78"})
    far.environ.pop("CODEX_ACCESS_TOKEN")
    assert (far.run().code, far.last.run_json["result"]) == (0, "skipped")
    assert "sleep" in far.last.warnings["left-behind"]
    far.check_nothing_is_left()
