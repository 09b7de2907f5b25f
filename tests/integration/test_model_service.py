"""The real codex against the scripted model service: each scenario gives the events that codex gives its users."""

import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import tomli_w
from support.runs import processes_with

from codex_runner.demo import model_wire as wire
from codex_runner.demo.model import ModelService
from codex_runner.demo.release_notes import FILE, LOG_COMMAND
from codex_runner.demo.scratch_folder import SUBJECTS, make_repository

pytestmark = pytest.mark.needs_codex

# What keeps a run short and local. The update_plan tool is off by default.
SETTINGS = {
    "check_for_update_on_startup": False,
    "analytics": {"enabled": False},
    "features": {"unbounded_connection_retries": False, "apps": False, "plugins": False, "shell_snapshot": False},
    "tools": {"update_plan": {"enabled": True}},
}


@dataclass
class Answered:
    code: int
    events: list
    stderr: str

    @property
    def lines(self):
        """Each event in a line; what differs from run to run (ids, order of stdout and stderr) is left out."""
        return [_line(event) for event in self.events[2:]]

    @property
    def failure(self):
        return next(event["error"]["message"] for event in self.events if event["type"] == "turn.failed")

    @property
    def output(self):
        done = [event["item"] for event in self.events if event["type"] == "item.completed"]
        return next(item["aggregated_output"] for item in done if item["type"] == "command_execution")


def _line(event):
    kind, item = event["type"], event.get("item", {})
    match item.get("type", kind):
        case "agent_message" | "reasoning" as name:
            line = f"{name}: {item['text']}"
        case "command_execution":
            line = f"{kind} command: {item['status']}, exit {item['exit_code']}"
        case "file_change":
            changes = ", ".join(f"{change['kind']} {Path(change['path']).name}" for change in item["changes"])
            line = f"{kind} files: {changes}, {item['status']}"
        case "todo_list":
            line = f"{kind} todo: {[todo['completed'] for todo in item['items']]}"
        case "web_search":
            line = f"{kind} search: {item['query']}"
        case "turn.completed":
            line = f"completed, {event['usage']['input_tokens']} in, {event['usage']['output_tokens']} out"
        case "error" if not item:
            line = "retry" if event["message"].startswith("Reconnecting... 1/1 (") else "error"
        case _:
            line = kind
    return line


class Codex:
    """Starts codex in a workspace and a home of its own."""

    def __init__(self, binary, home, workspace):
        self.binary, self.home, self.workspace = binary, home, workspace

    def start(self, setup, *arguments, sandbox="workspace-write"):
        (self.home / "config.toml").write_text(tomli_w.dumps({**SETTINGS, "sandbox_mode": sandbox, **setup.config}))
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "CODEX_HOME": str(self.home)}
        return subprocess.Popen(
            [self.binary, *arguments],
            cwd=self.workspace,
            env=environment | setup.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, setup, prompt, *arguments, sandbox="workspace-write"):
        child = self.start(setup, "exec", *arguments, "--json", "--skip-git-repo-check", "-", sandbox=sandbox)
        with child:
            try:
                stdout, stderr = child.communicate(prompt.encode(), timeout=50)
            except subprocess.TimeoutExpired:
                child.kill()
                raise
        return Answered(child.returncode, [json.loads(line) for line in stdout.splitlines()], stderr.decode())


@pytest.fixture
def run(codex, codex_home, tmp_path):
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    yield Codex(codex, codex_home, workspace)
    # One that a test kills leaves its commands behind, and here nobody sweeps.
    for pid in processes_with(str(workspace)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def service():
    with ModelService() as running:
        yield running


STARTED, COMPLETED = "item.started", "item.completed"
ONE_STEP = "completed, 100 in, 30 out"
TWO_STEPS = "completed, 200 in, 60 out"

SUCCEEDING = {
    "hi": ["agent_message: hello from the scripted model", ONE_STEP],
    "reasoning": ["reasoning: **Thinking** about it", "agent_message: done thinking", ONE_STEP],
    "command": [
        "agent_message: I will run a command",
        f"{STARTED} command: in_progress, exit None",
        f"{COMPLETED} command: completed, exit 0",
        "agent_message: command done",
        TWO_STEPS,
    ],
    "command_failing": [
        f"{STARTED} command: in_progress, exit None",
        f"{COMPLETED} command: failed, exit 3",
        "agent_message: the command failed",
        TWO_STEPS,
    ],
    "patch": [
        f"{STARTED} files: add hello.txt, in_progress",
        f"{COMPLETED} files: add hello.txt, completed",
        f"{STARTED} files: update hello.txt, in_progress",
        f"{COMPLETED} files: update hello.txt, completed",
        f"{STARTED} files: delete hello.txt, in_progress",
        f"{COMPLETED} files: delete hello.txt, completed",
        "agent_message: patches done",
        "completed, 400 in, 120 out",
    ],
    "patch_outside": ["agent_message: the patch was refused", TWO_STEPS],
    "todo": [
        f"{STARTED} todo: [False, False]",
        "item.updated todo: [True, False]",
        "item.updated todo: [True, True]",
        "agent_message: plan done",
        f"{COMPLETED} todo: [True, True]",
        "completed, 400 in, 120 out",
    ],
    "web_search": [f"{STARTED} search: weather", f"{COMPLETED} search: weather", "agent_message: searched", ONE_STEP],
    "json": ['agent_message: {"answer": 42, "ok": true}', ONE_STEP],
    "refusal": [ONE_STEP],
    "empty": [ONE_STEP],
    "tokens:12345": ["agent_message: that was expensive", "completed, 12345 in, 30 out"],
    "drip:30": [
        "agent_message: A slow answer that comes a few words at a time, but it does come to its end.",
        ONE_STEP,
    ],
    "flaky:1": ["retry", "agent_message: recovered", ONE_STEP],
    "resume": ["agent_message: first answer", ONE_STEP],
    "slow:1": [
        f"{STARTED} command: in_progress, exit None",
        f"{COMPLETED} command: completed, exit 0",
        "agent_message: slow work done",
        TWO_STEPS,
    ],
    "long_command:1": [
        f"{STARTED} command: in_progress, exit None",
        f"{COMPLETED} command: completed, exit 0",
        "agent_message: the long command is done",
        TWO_STEPS,
    ],
    # It never gets its item.completed: the turn ends while it runs, and codex ends it then.
    "background": [
        f"{STARTED} command: in_progress, exit None",
        "agent_message: did not wait for the command",
        TWO_STEPS,
    ],
}


@pytest.mark.parametrize("scenario", SUCCEEDING)
def test_a_turn_that_completes(run, either_codex, service, scenario):
    run.binary = either_codex
    answered = run.run(service.with_provider_key("any"), f"SCN:{scenario}")
    assert [event["type"] for event in answered.events[:2]] == ["thread.started", "turn.started"]
    assert answered.lines == SUCCEEDING[scenario]
    assert answered.code == 0


RETRIED = ["retry", "error", "turn.failed"]
AT_ONCE = ["error", "turn.failed"]
DEMAND = "We\N{RIGHT SINGLE QUOTATION MARK}re currently experiencing high demand"
CUT = "stream disconnected before completion: "

FAILING = {
    "error_400": (AT_ONCE, '"message": "a malformed request"'),
    "error_401": (RETRIED, "unexpected status 401 Unauthorized: Incorrect API key provided"),
    "error_403": (RETRIED, "unexpected status 403 Forbidden: not for this account"),
    "error_404": (AT_ONCE, "The model does not exist"),
    "error_429:0": (RETRIED, "exceeded retry limit, last status: 429 Too Many Requests"),
    "error_500": (RETRIED, DEMAND),
    "error_503": (AT_ONCE, "Selected model is at capacity. Please try a different model."),
    "usage_limit": (AT_ONCE, "You\N{RIGHT SINGLE QUOTATION MARK}ve hit your usage limit. Try again at "),
    "quota": (AT_ONCE, "Quota exceeded. Check your plan and billing details."),
    "failed": (RETRIED, f"{CUT}the response failed"),
    "failed_context": (AT_ONCE, "Codex ran out of room in the model's context window."),
    "failed_quota": (AT_ONCE, "Quota exceeded. Check your plan and billing details."),
    "failed_rate": (RETRIED, "rate limit exceeded: Rate limit reached."),
    "cut": (
        ["agent_message: partial", "retry", "agent_message: partial", "error", "turn.failed"],
        CUT,
    ),
    "cut_after_command": (
        [f"{STARTED} command: in_progress, exit None", f"{COMPLETED} command: completed, exit 0", *RETRIED],
        CUT,
    ),
    "silent:20": (RETRIED, f"{CUT}idle timeout waiting for SSE"),
}

RETRIED_BY_SOME = {"error_404"}  # codex 0.163 tries an unknown model again, 0.169 does not


@pytest.mark.parametrize("scenario", FAILING)
def test_a_turn_that_fails(run, either_codex, service, scenario):
    run.binary = either_codex
    answered = run.run(service.with_provider_key("any", stream_idle_timeout_ms=400), f"SCN:{scenario}")
    lines, message = FAILING[scenario]
    if scenario in RETRIED_BY_SOME:
        assert answered.lines in (AT_ONCE, RETRIED)
    else:
        assert answered.lines == lines
    assert message in answered.failure
    assert answered.code == 1


def test_a_patch_of_a_model_without_the_patch_tool(run, service):
    setup = service.with_provider_key("any")
    answered = run.run(setup, "SCN:patch_add", "--model", "a-model-that-codex-does-not-know")
    assert "apply_patch" not in service.responses[0].tools
    assert f"{COMPLETED} files: add hello.txt, completed" in answered.lines
    assert (run.workspace / "hello.txt").read_text() == "hello\nworld\n"


def test_release_notes_are_drafted_from_the_real_log(run, service):
    make_repository(run.workspace)
    answered = run.run(service.with_provider_key("any"), "SCN:release_notes")
    assert answered.lines == [
        f"agent_message: I will read the log and draft {FILE} from it.",
        f"{STARTED} command: in_progress, exit None",
        f"{COMPLETED} command: completed, exit 0",
        f"{STARTED} files: add {FILE}, in_progress",
        f"{COMPLETED} files: add {FILE}, completed",
        f"agent_message: {FILE} is drafted from {len(SUBJECTS)} commits; nothing else was changed.",
        "completed, 300 in, 90 out",
    ]
    log = subprocess.run(LOG_COMMAND.split(), cwd=run.workspace, capture_output=True, text=True, check=True).stdout
    text = (run.workspace / FILE).read_text()
    for line in log.splitlines():
        commit, subject = line.split(" ", 1)
        assert f"- {subject} ({commit})\n" in text
    status = subprocess.run(["git", "status", "--short"], cwd=run.workspace, capture_output=True, text=True, check=True)
    assert status.stdout == f"?? {FILE}\n"


def test_release_notes_replace_older_ones(run, service):
    make_repository(run.workspace)
    (run.workspace / FILE).write_text("old notes\n")
    run.run(service.with_provider_key("any"), "SCN:release_notes")
    assert (run.workspace / FILE).read_text().startswith("# Release notes\n\n## Added\n")


def test_big_output_arrives_in_one_line(run, service):
    answered = run.run(service.with_provider_key("any"), "SCN:big_output")
    assert 900_000 < len(answered.output) <= 1_100_000


def test_many_items(run, service):
    answered = run.run(service.with_provider_key("any"), "SCN:many_items:500")
    assert answered.lines == [*(f"agent_message: item {number}" for number in range(500)), ONE_STEP]


def test_the_environment_shows_what_a_careless_setup_leaks(run, service):
    answered = run.run(service.with_provider_key("the-key", env_key="MY_VALUE"), "SCN:environment")
    assert "MY_VALUE=the-key" in answered.output.splitlines()


def test_snooping_finds_what_lies_about(run, service):
    (run.home / "auth.json").write_text('{"OPENAI_API_KEY": "lies-about"}')
    answered = run.run(service.with_provider_key("the-key", env_key="MY_VALUE"), "SCN:snoop")
    assert "lies-about" in answered.output
    assert "MY_VALUE=the-key" in answered.output


def test_a_detached_process_outlives_an_unsandboxed_codex(run, service):
    seconds = 100_000 + os.getpid()  # tells this sleep from every other
    answered = run.run(service.with_provider_key("any"), f"SCN:detached:{seconds}", sandbox="danger-full-access")
    assert answered.lines[-1] == TWO_STEPS
    found = subprocess.run(["pgrep", "-xf", f"sleep {seconds}"], capture_output=True, text=True, check=False)
    pids = [int(pid) for pid in found.stdout.split()]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert len(pids) == 1


def test_a_resumed_thread_gets_another_answer(run, service):
    setup = service.with_provider_key("any")
    first = run.run(setup, "SCN:resume")
    second = run.run(setup, "and now?", "resume", first.events[0]["thread_id"])
    assert second.lines == ["agent_message: answer 2, to: and now?", TWO_STEPS]


def test_a_killed_thread_goes_on_where_it_was(run, service):
    setup = service.with_provider_key("any")
    with run.start(setup, "exec", "--json", "--skip-git-repo-check", "SCN:slow:2") as child:
        child.stdin.close()
        thread = json.loads(child.stdout.readline())["thread_id"]
        deadline = time.monotonic() + 120
        while len(service.responses) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)  # in the second command
        child.kill()
    resumed = run.run(setup, "go on", "resume", thread)
    assert resumed.lines[-2] == "agent_message: slow work done"
    assert service.responses[-1].follow_ups == ("go on",)


def test_an_access_token_reaches_every_endpoint(run, service):
    service.accept({"at-good"})
    answered = run.run(service.with_access_token("at-good"), "SCN:hi")
    assert answered.lines == SUCCEEDING["hi"]
    assert answered.stderr.strip() in ("", "Reading additional input from stdin...")
    assert {request.bearer for request in service.requests} == {"at-good"}
    asked = {request.path.rpartition("/")[2] for request in service.requests}
    assert asked >= {"whoami", "bundle", "responses"}


def test_an_api_key_reaches_the_model(run, service):
    service.accept({"sk-good"})
    assert run.run(service.with_api_key("sk-good"), "SCN:hi").code == 0
    assert run.run(service.with_api_key("sk-other"), "SCN:hi").code == 1
    assert {request.bearer for request in service.responses} == {"sk-good", "sk-other"}


def test_a_refused_access_token_is_dropped_and_the_service_notices(run, service):
    service.accept({"at-good"})
    answered = run.run(service.with_access_token("at-bad"), "SCN:hi")
    assert {request.bearer for request in service.responses} == {None}
    assert "401 Unauthorized" in answered.failure


def test_a_token_revoked_in_mid_run_fails_the_turn(run, service):
    def play(step, _request):
        service.revoke("at-good")
        return wire.reply(wire.shell("echo working"))

    service.accept({"at-good"})
    service.scenario("revoke", play)
    answered = run.run(service.with_access_token("at-good"), "SCN:revoke")
    assert answered.output == "working\n"
    assert "401 Unauthorized" in answered.failure


@pytest.mark.parametrize(("status", "code"), [(None, 0), (401, 1), (500, 1)])
def test_login_status_asks_who_the_token_belongs_to(run, service, status, code):
    service.break_endpoint("whoami", status)
    with run.start(service.with_access_token("at-good"), "login", "status") as child:
        child.communicate(timeout=120)
    assert child.returncode == code


def test_a_broken_policy_bundle_fails_closed(run, service):
    service.break_endpoint("bundle", 404)
    answered = run.run(service.with_access_token("at-good"), "SCN:hi")
    assert (answered.code, answered.events, service.responses) == (1, [], [])
    assert "cloud config bundle" in answered.stderr
