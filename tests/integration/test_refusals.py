"""What codex refuses the agent without an event of its own: a warning in every report, or the end of the run."""

import pytest

from codex_runner.demo.model_wire import add_file, call, message, patch, shell
from codex_runner.demo.scenarios import script

pytestmark = pytest.mark.needs_codex

TOKEN = "at-0123456789abcdef0123456789abcdef"
ESCALATION = {"cmd": "id", "yield_time_ms": 2000, "sandbox_permissions": "require_escalated", "justification": "please"}
NO_COMMAND = """
[rules]
prefix_rules = [{ pattern = [{ token = "id" }], decision = "forbidden", justification = "not here" }]
"""
HOOK = """
[hooks]
managed_dir = "/"
[[hooks.{event}]]
[[hooks.{event}.hooks]]
type = "command"
command = "echo not today >&2; exit 2"
"""


@pytest.fixture
def governed(project, service):
    """Makes the job's codex belong to a workspace with this policy."""

    def configure(policy, **job):
        setup = service.with_access_token(TOKEN)
        service.accept({TOKEN})
        service.require(policy)
        project.environ |= {f"CODEX_RUNNER_CODEX__ENV__{name}": value for name, value in setup.environment.items()}
        project.codex["config"] = setup.config
        project.configure(**job)
        return project

    return configure


def told(run, done, code):
    """The one warning of this code, which is in each report."""
    (message,) = [warning["message"] for warning in run.run_json["warnings"] if warning["code"] == code]
    assert f"::warning title=codex-runner%3A {code}::" in done.stderr
    for report in ("summary.md", "report.html"):
        assert code in (run.path / report).read_text()
    return message


def test_an_escalation(project, service):
    service.scenario("escalate", script(*[call("exec_command", ESCALATION)] * 3, message("I may not")))
    project.configure(prompt="SCN:escalate", sandbox="workspace-write")
    done = project.run("--log-format", "github")
    run = project.check_reports(done, 0)
    assert told(run, done, "escalation-refused").startswith("approval policy is Never; reject command")
    assert [event["code"] for event in run.of_kind("diagnostic")] == ["escalation-refused"] * 3


def test_a_patch_outside(project):
    project.configure(prompt="SCN:patch_outside", sandbox="workspace-write")
    done = project.run("--log-format", "github")
    run = project.check_reports(done, 0)
    assert "writing outside of the project" in told(run, done, "patch-refused")


def test_a_command_that_a_rule_forbids(governed, service):
    service.scenario("id", script(shell("id"), message("I may not")))
    project = governed(NO_COMMAND, prompt="SCN:id")
    done = project.run("--log-format", "github")
    run = project.check_reports(done, 0)
    assert "not here" in told(run, done, "policy-forbids")


@pytest.mark.one_case
@pytest.mark.parametrize("folder", ["/no/such/folder", "/etc/passwd"])
def test_a_command_whose_folder_is_missing_is_no_matter_of_policy(project, service, folder):
    service.scenario("astray", script(call("exec_command", {"cmd": "pwd", "workdir": folder}), message("not there")))
    project.configure(prompt="SCN:astray", sandbox="workspace-write")
    done = project.run("--log-format", "github")
    run = project.check_reports(done, 0)
    assert "Failed to create unified exec process: No" in told(run, done, "command-not-started")
    assert "policy-forbids" not in run.warnings


def test_a_command_that_a_hook_stops(governed, service):
    service.scenario("id", script(shell("id"), message("I may not")))
    project = governed(HOOK.format(event="PreToolUse"), prompt="SCN:id")
    done = project.run("--log-format", "github")
    run = project.check_reports(done, 0)
    assert "Command blocked by PreToolUse hook: not today" in told(run, done, "hook-blocked")


@pytest.mark.parametrize("expect_message", [True, False])
def test_a_prompt_that_a_hook_stops(governed, service, expect_message):
    project = governed(HOOK.format(event="UserPromptSubmit"), expect_message=expect_message)
    run = project.check_reports(project.run(), 3)
    project.check_nothing_is_left()
    assert run.run_json["failure"] == "refused"
    assert "without a word, a step or a token" in run.run_json["reason"]
    assert service.responses == []


def test_a_sandbox_that_the_workspace_takes_away(governed):
    project = governed('allowed_sandbox_modes = ["read-only"]', sandbox="workspace-write")
    done = project.run("--log-format", "github")
    run = project.check_reports(done, 0)
    assert "is disallowed by requirements; falling back" in told(run, done, "policy-downgraded")


def test_a_job_that_the_workspace_forbids(governed):
    project = governed('allowed_sandbox_modes = ["read-only"]', sandbox="danger-full-access")
    run = project.check_reports(project.run(), 3)
    assert run.run_json["failure"] == "startup"
    assert "requirements do not allow" in run.run_json["reason"]


@pytest.fixture
def no_namespaces(project):
    """A codex on a machine that lets nobody make namespaces, as many containers are."""
    fake = project.scratch / "codex-in-a-container"
    fake.write_text(
        "#!/bin/sh\n"
        'case $1 in exec) ;; *) exec {0} "$@" ;; esac\n'
        'exec unshare -Ur sh -c \'echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"\' sh {0} "$@"\n'.format(
            project.codex["path"]
        )
    )
    fake.chmod(0o755)
    project.codex["path"] = str(fake)
    return project


def test_a_sandbox_that_does_not_start(no_namespaces, service):
    service.scenario("work", script(shell("id"), patch(add_file("a.txt", "a")), shell("pwd"), message("I did my best")))
    no_namespaces.configure(prompt="SCN:work", sandbox="workspace-write")
    done = no_namespaces.run("--log-format", "github")
    run = no_namespaces.check_reports(done, 3)
    no_namespaces.check_nothing_is_left()
    assert run.run_json["failure"] == "refused"
    assert "its sandbox did not start, and no command of the agent ran (2 tried)" in run.run_json["reason"]
    assert told(run, done, "sandbox-failed").startswith("bwrap: Creating new namespace failed")


def test_an_agent_that_needs_no_command_needs_no_sandbox(no_namespaces):
    no_namespaces.configure()
    no_namespaces.check_reports(no_namespaces.run(), 0)


def test_hooks_that_nobody_reviewed(project):
    hook = {"PreToolUse": [{"hooks": [{"type": "command", "command": "exit 2"}]}]}
    project.configure(codex={"config": {**project.codex["config"], "hooks": hook}})
    run = project.check_reports(project.run(), 3)
    assert "codex.config.hooks" in run.run_json["reason"]
