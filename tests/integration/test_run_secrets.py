"""What runs beside the agent, and could hand a secret on: the look at codex before, and the checks after."""

import json
import secrets
import shlex

import pytest
from support import child, commands
from support.runs import JOB, KEY_NAME, tree

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
    assert not [name for name in names if name.startswith("CODEX_RUNNER_") and name != "CODEX_RUNNER_MARK"]


def test_codexs_own_record_is_kept_redacted_where_a_job_asks(project):
    project.configure(keep_rollout=True)
    run = project.check_reports(project.run("--prompt", f"SCN:hi The key is {project.key}."), 0)
    lines = (run.path / "artifacts/rollout.jsonl").read_bytes().splitlines()
    assert json.loads(lines[0])["type"] == "session_meta"
    assert {json.loads(line)["type"] for line in lines} >= {"event_msg", "response_item"}
    assert f"The key is ***{KEY_NAME}***.".encode() in b"".join(lines)
    assert [path.name for path, data in tree(run.path).items() if project.key.encode() in data] == []
    assert "artifacts/rollout.jsonl" in (run.path / "manifest.json").read_text()
    assert project.host_run() is None, "the record itself is gone"


def test_github_masks_every_secret_before_anything_is_said(project):
    """In a pipe, since a mask is never written into a file."""
    with (project.cwd / "codex-runner.toml").open("a") as file:
        file.write('[[notify]]\nname = "ops"\nurl_variable = "HOOK"\ntoken_variable = "HOOK_TOKEN"\n')
    secret = {"HOOK": "http://127.0.0.1:9/h00k", "HOOK_TOKEN": "h00k-token"}
    lines = {f"CODEX_RUNNER_JOBS__{JOB.upper()}__CODEX__ENV__LINES": "first-line\n  second-line"}
    proxy = {"HTTPS_PROXY": "http://me:pr0xy%2Fword@127.0.0.1:9"}
    github = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push"}
    done = commands.run("run", JOB, cwd=project.cwd, environ={**project.environ, **secret, **lines, **proxy, **github})
    assert done.code == 0, done.stderr
    said = done.stderr.splitlines()
    masks = [line.removeprefix("::add-mask::") for line in said if line.startswith("::add-mask::")]
    wanted = {project.key, *secret.values(), *lines.values(), "first-line", "second-line", "pr0xy%2Fword", "pr0xy/word"}
    assert set(masks) >= {each.replace("%", "%25").replace("\n", "%0A") for each in wanted}
    assert len(set(masks)) == len(masks)
    assert not any(line.startswith("::add-mask::") for line in said[len(masks) :]), "something was said before them"


def test_a_document_of_several_levels_is_a_secret_like_others(project):
    """Its braces stand in each report, and its field `place` in the prompt: neither is a leak."""
    document = {
        "type": "service_account",
        "keys": {"first": {"place": "production", "value": "S3cret-of-the-document"}},
    }
    project.configure(
        codex={"env": {"SERVICE": json.dumps(document, indent=4)}},
        prompt="SCN:hi production",
        checks=[{"name": "quotes", "run": "echo '    }'; echo S3cret-of-'the'-document; echo service_account"}],
    )
    run = project.check_reports(project.run(), 0)
    (check,) = run.run_json["checks"]
    assert check["output"] == "    }\n***SERVICE***\nservice_account\n"
    assert [path for path, data in tree(run.path).items() if b"S3cret-of-the-document" in data] == []


@pytest.mark.parametrize("value", ["\ufeff{}", "a" * 70000], ids=["byte order mark", "64 KiB"])
def test_a_setting_that_can_be_no_secret_is_refused_by_name(project, value, request):
    project.configure(codex={"env": {"SERVICE": value}})
    done = project.run()
    assert done.code == 3, done.stderr
    assert "codex.env.SERVICE" in done.stderr
    assert request.node.callspec.id in done.stderr
    assert value[:100] not in done.stderr


@pytest.fixture
def told(project):
    """A project whose `codex.config` has a secret."""
    project.secret = f"s3cret-{secrets.token_hex(10)}"
    project.codex["config"] |= {"shell_environment_policy": {"set": {"NPM_TOKEN": project.secret}}}
    return project


def test_a_setting_that_is_a_secret_is_in_no_record(told):
    """The agent's commands print it, and a dry run shows the settings."""
    told.configure(checks=[{"name": "prints", "run": f"echo {told.secret}"}], sandbox="danger-full-access")
    planned = told.command("run", JOB, "--dry-run")
    assert planned.code == 0, planned.stderr
    assert "***codex.config.shell_environment_policy.set.NPM_TOKEN***" in planned.stdout
    told.run()
    assert [path for path, data in tree(told.out).items() if told.secret.encode() in data] == []
    assert told.secret not in planned.stdout + planned.stderr
    assert told.secret.encode() not in told.said


@pytest.mark.parametrize("at_hand", [True, False])
def test_attach_demands_no_setting_of_codex(told, at_hand):
    """It may have come from the command line. Where it is gone, the run's reports say so."""
    told.configure(prompt="SCN:slow:2")
    running = told.start("run", JOB)
    running.until(told.host_run)
    running.kill()
    if not at_hand:
        del told.codex["config"]["shell_environment_policy"]
        told.configure(prompt="SCN:slow:2")
    (left,) = told.runs
    told.check_reports(told.command("attach", left.run_id), 0)
    assert ("by-shape" in left.warnings) == (not at_hand)
    (told.cwd / "codex-runner.toml").unlink()
    assert [path for path, data in tree(told.out).items() if told.secret.encode() in data] == []


def test_two_checks_whose_names_differ_by_secrets_alone(told):
    """Both are run, and both are told of: results go by the name."""
    told.codex["config"]["shell_environment_policy"]["set"]["OTHER_TOKEN"] = f"{told.secret}-2"
    checks = [{"name": told.secret, "run": "true"}, {"name": f"{told.secret} ", "run": "false"}]
    told.configure(checks=checks)
    done = told.run()
    assert done.code == 1
    names = [check["name"] for check in done.run.run_json["checks"]]
    mask = "***codex.config.shell_environment_policy.set.NPM_TOKEN***"
    assert names == [mask, f"{mask} "]


def test_attach_runs_no_command_whose_secret_is_masked(told):
    """`grep` for a mask finds nothing, and the check would hold."""
    (told.cwd / "leak").write_text(told.secret)
    told.configure(prompt="SCN:slow:2", checks=[{"name": "no leak", "run": f"! grep {told.secret} leak"}])
    running = told.start("run", JOB)
    running.until(told.host_run)
    running.kill()
    (left,) = told.runs
    done = told.command("attach", left.run_id)
    assert done.code == 1, done.stderr
    assert "Start the job again" in left.run_json["checks"][0]["output"]
