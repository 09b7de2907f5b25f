"""What runs beside the agent, and could hand a secret on: the look at codex before, and the checks after."""

import shlex

import pytest
from support import child

pytestmark = pytest.mark.needs_codex

REPLY = f"printf '%s\\n' {shlex.join([child.THREAD, child.STARTED, child.MESSAGE, child.COMPLETED])}\n"
CREDENTIAL = {"source": "env", "kind": "access_token", "variable": "OF_THE_PIPELINE"}


@pytest.fixture
def talkative(project):
    """A project whose codex prints its token when it is asked whether it is logged in."""
    project.environ["OF_THE_PIPELINE"] = project.key
    project.fake_codex(REPLY)
    fake = project.scratch / "fake-codex"
    fake.write_text(fake.read_text().replace("esac", "'login status') echo $CODEX_ACCESS_TOKEN; exit $SAYS;; esac"))
    return project


@pytest.mark.parametrize(("says", "code"), [(0, 0), (1, 4)])
def test_a_token_that_the_preflight_quotes(talkative, says, code):
    path = str(talkative.scratch / "fake-codex")
    talkative.configure(codex={"path": path, "env": {"SAYS": str(says)}}, credential=CREDENTIAL)
    run = talkative.check_reports(talkative.run(), code)
    assert "***CODEX_ACCESS_TOKEN***" in run.guard("credential-preflight")["message"]
    talkative.check_nothing_is_left()


def test_a_check_gets_no_secret_of_the_configuration(talkative):
    path = str(talkative.scratch / "fake-codex")
    talkative.environ |= {"WEBHOOK": "https://127.0.0.1:9/secret-way", "HARMLESS": "1"}
    talkative.configure(
        codex={"path": path, "env": {"SAYS": "0"}},
        credential=CREDENTIAL,
        checks=[{"name": "env", "run": "env | cut -d= -f1 | sort"}],
    )
    config = talkative.cwd / "codex-runner.toml"
    config.write_text(f'{config.read_text()}\n[[notify]]\nname = "chat"\nformat = "slack"\nurl_variable = "WEBHOOK"\n')
    run = talkative.check_reports(talkative.run(), 0)
    names = run.run_json["checks"][0]["output"].split()
    assert {"PATH", "HOME", "HARMLESS"} <= set(names)
    assert not {"OF_THE_PIPELINE", "WEBHOOK", "CODEX_ACCESS_TOKEN"} & set(names)
    assert not [name for name in names if name.startswith("CODEX_RUNNER_")]
