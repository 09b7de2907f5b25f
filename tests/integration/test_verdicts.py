"""Every way in which the model service can fail the real codex, and everything that can contradict a completed turn."""

import os
import signal

import pytest
from support.runs import JOB

from codex_runner.demo.model_wire import CutStream, call, message, refusal, reply, shell
from codex_runner.demo.scenarios import script
from codex_runner.domain.failure import Failure

pytestmark = pytest.mark.needs_codex

# What the service does, and what the run comes to. The words are codex's own.
ROWS = [
    ("error_400", Failure.BAD_REQUEST, "a malformed request"),
    ("error_401", Failure.CREDENTIAL, "401 Unauthorized"),
    ("error_403", Failure.CREDENTIAL, "403 Forbidden"),
    ("error_404", Failure.UNKNOWN_MODEL, "The model does not exist"),
    ("error_429", Failure.RATE_LIMIT, "429 Too Many Requests"),
    ("error_500", Failure.CAPACITY, "high demand"),
    ("error_503", Failure.CAPACITY, "at capacity"),
    ("usage_limit", Failure.QUOTA, "usage limit"),
    ("quota", Failure.QUOTA, "Quota exceeded"),
    ("failed_quota", Failure.QUOTA, "Quota exceeded"),
    ("failed_rate", Failure.RATE_LIMIT, "Rate limit reached"),
    ("failed_context", Failure.CONTEXT_FULL, "ran out of room"),
    ("cut", Failure.NETWORK, "stream disconnected"),
    ("cut_after_command", Failure.NETWORK, "stream disconnected"),
    ("silent", Failure.NETWORK, "idle timeout"),
    ("refusal", Failure.NO_REPLY, "without a final message"),
    ("empty", Failure.NO_REPLY, "without a final message"),
]


def judged(project, failure, words):
    """The job's run, which has failed in this way and says so in each report."""
    run = project.check_reports(project.run(), failure.exit_code)
    project.check_nothing_is_left()
    assert run.run_json["failure"] == failure
    assert words in run.run_json["reason"]
    assert run.cases["agent"] in {"failure", "error"}
    return run


@pytest.mark.parametrize(("scenario", "failure", "words"), ROWS)
def test_what_the_service_does(project, scenario, failure, words):
    provider = project.codex["config"]["model_providers"]["scripted"]
    provider["stream_idle_timeout_ms"] = 1500
    project.configure(prompt=f"SCN:{scenario}", sandbox="workspace-write")
    judged(project, failure, words)


def test_a_service_that_is_gone(project, service):
    service.close()
    judged(project, Failure.NETWORK, "error sending request")


def test_a_service_that_goes_in_the_middle(project, service):
    def goes(step, _request):
        if step:
            service.closing.set()
            service._server.socket.close()
            service._server.break_connections()
        return reply(shell("echo working"))

    service.scenario("goes", goes)
    project.configure(prompt="SCN:goes")
    judged(project, Failure.NETWORK, "error sending request")


def test_a_service_that_says_nothing_for_too_long(project):
    project.configure(prompt="SCN:silent", stall_timeout="2s")
    judged(project, Failure.STALLED, "silent for 2s")


def test_words_that_nobody_knows_are_kept_and_are_no_success(project, service):
    project.fake_codex(
        """echo '{"type":"thread.started","thread_id":"t"}'; echo '{"type":"turn.started"}'
echo '{"type":"turn.failed","error":{"message":"the flux is not aligned"}}'; exit 1"""
    )
    said = "codex: an error that codex-runner cannot classify: the flux is not aligned"
    run = judged(project, Failure.UNKNOWN, said)
    assert run.run_json["attempts"][0]["ending"]["message"] == said


# --- a turn that was completed, and what contradicts it --------------------------------------------------------------


def contradicted(project, code, words):
    """The job's run: codex completed its turn, and the reason names what stands against that."""
    run = project.check_reports(project.run(), code)
    project.check_nothing_is_left()
    assert run.run_json["reason"].startswith("the agent completed its turn, but ")
    assert words in run.run_json["reason"]
    assert run.run_json["attempts"][-1]["ending"]["failure"] is None
    return run


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ({"run": "echo no; exit 3"}, "the check 'it' exited with 3"),
        ({"run": "sleep 30", "timeout": "1s"}, "the check 'it' ran out of time"),
        ({"run": "kill -KILL $$"}, "the check 'it' exited with"),
        ({"run": "no-such-command"}, "the check 'it' exited with 127"),
    ],
)
def test_a_check_disagrees(project, check, words):
    project.configure(
        checks=[{"name": "first", "run": "true"}, {"name": "it", **check}, {"name": "last", "run": "true"}]
    )
    run = contradicted(project, 1, words)
    assert (run.cases["agent"], run.cases["first"], run.cases["it"], run.cases["last"]) == (None, None, "failure", None)


@pytest.mark.parametrize(
    ("rules", "code", "words"),
    [
        ({"allowed_paths": ["docs/**"]}, 12, "hello.txt was added, which is outside allowed_paths (docs/**)"),
        ({"forbidden_paths": ["*.txt"]}, 12, "hello.txt was added, which forbidden_paths names (*.txt)"),
        ({"max_changed_lines": 1}, 1, "2 lines changed, and max_changed_lines allows 1"),
        ({"must_change": ["docs/**"]}, 1, "Nothing changed under docs/**"),
    ],
)
def test_a_path_rule_disagrees(project, rules, code, words):
    project.configure(prompt="SCN:patch_add", sandbox="workspace-write", checks=[{"name": "c", "run": "true"}], **rules)
    project.git_init()
    run = contradicted(project, code, words)
    assert (run.cases["agent"], run.cases["path rules"]) == (None, "failure")


def test_rules_that_hold(project):
    rules = {"allowed_paths": ["*.txt"], "must_change": True, "max_changed_lines": 2}
    project.configure(prompt="SCN:patch_add", sandbox="workspace-write", **rules)
    project.git_init()
    run = project.check_reports(project.run(), 0)
    assert run.cases["path rules"] is None


def test_the_limit_of_tokens_disagrees(project):
    project.configure(prompt="SCN:tokens:1000", budget={"tokens": 1000})
    judged(project, Failure.BUDGET, "budget.tokens is exceeded")


def test_the_process_ends_without_a_final_event(project):
    """Killed by somebody else, in the middle of its turn."""
    project.configure(prompt="SCN:long_command:60", sandbox="workspace-write")
    running = project.start("run", JOB)
    running.until_command("sleep 60")
    (pid,) = [int(path.read_text().split()[0]) for path in project.runs_folder.glob("*/attempts/1/codex.pid")]
    os.kill(pid, signal.SIGKILL)
    run = project.check_reports(running.wait(), 1)
    project.check_nothing_is_left(grace=5)
    assert run.run_json["failure"] == "incomplete"
    assert "codex ended with signal 9 and without a final event" in run.run_json["reason"]


def test_the_process_fails_after_its_final_event(project):
    """What codex printed and how its process ended are two witnesses."""
    codex = project.codex["path"]
    wrapper = project.scratch / "codex-that-fails-late"
    wrapper.write_text(f'#!/bin/sh\n{codex} "$@"\ncode=$?\n[ "$1" = exec ] && exit 101\nexit $code\n')
    wrapper.chmod(0o755)
    project.configure(codex={"path": str(wrapper)})
    judged(project, Failure.CRASHED, "codex completed its turn, and then ended with exit code 101")


@pytest.mark.one_case
@pytest.mark.parametrize("text", [" \n ", "\u200b\u2060\ufeff", "\U000e0041\u180e"])
def test_a_final_message_that_shows_nothing(project, service, text):
    service.scenario("space", script(message(text)))
    project.configure(prompt="SCN:space")
    judged(project, Failure.NO_REPLY, "without a final message: the last one has only spaces")


@pytest.mark.parametrize("end", [(), (refusal("I cannot help with that."),)])
@pytest.mark.parametrize("expected", [True, False])
def test_a_word_on_the_way_is_no_final_message(project, service, end, expected):
    """codex shows a refusal to nobody: what the agent said before its last command is not what it came to."""
    service.scenario("on_the_way", script((message("I will look"), shell("id")), end))
    project.configure(prompt="SCN:on_the_way", expect_message=expected)
    if expected:
        judged(project, Failure.NO_REPLY, "without a final message")
    else:
        project.check_reports(project.run(), 0)


@pytest.mark.one_case("last")
@pytest.mark.parametrize("end", [(), (refusal("I cannot help with that."),)])
def test_a_message_from_before_a_retry_is_stale(project, service, end):
    """The connection breaks behind the message; of what the retried stream brings, codex says nothing."""
    service.scenario(
        "stale", lambda _step, request: reply(*end) if request.asked else CutStream((message("partial..."),))
    )
    project.configure(prompt="SCN:stale")
    run = judged(project, Failure.NO_REPLY, "after the last one, codex reported an error (Reconnecting... 1/1")
    assert b"partial..." in run.codex
    assert run.run_json["reply"] is None


def test_a_message_that_the_retry_repeats_is_the_reply(project, service):
    said = (message("partial..."),)
    service.scenario("again", lambda _step, request: reply(*said) if request.asked else CutStream(said))
    project.configure(prompt="SCN:again")
    run = project.check_reports(project.run(), 0)
    assert run.run_json["reply"] == "partial..."


def test_a_stale_message_is_not_held_against_the_schema(project, service):
    """Nor is it what a pipeline gets as the final message, though the job asks for none."""
    said = (message('{"answer": 42}'),)
    service.scenario("stale", lambda _step, request: reply() if request.asked else CutStream(said))
    (project.cwd / "schema.json").write_text('{"type": "object", "required": ["answer"]}')
    project.configure(prompt="SCN:stale", expect_message=False, output_schema="schema.json")
    run = contradicted(project, 1, "its reply does not fit the schema")
    assert run.run_json["reply"] is None


def test_a_command_that_still_runs_when_the_turn_ends_is_named(project):
    project.configure(prompt="SCN:background:60", sandbox="workspace-write")
    run = project.check_reports(project.run(), 0)
    project.check_nothing_is_left()
    assert "sleep 60" in run.warnings["still-running"]
    assert "still-running" in (run.path / "summary.md").read_text()


ESCALATE = {"cmd": "id", "sandbox_permissions": "require_escalated", "justification": "please"}


@pytest.mark.parametrize("end", [(), (refusal("I cannot help with that."),)])
@pytest.mark.parametrize("asked", [call("exec_command", ESCALATE), call("no_such_tool", {})])
def test_a_message_from_before_work_that_codex_hides_is_stale(project, service, asked, end):
    """codex refuses the call without an event, asks the model again, and prints nothing of what it does not say."""
    service.scenario("unseen", script((message("partial..."), asked), end))
    project.configure(prompt="SCN:unseen")
    run = judged(project, Failure.NO_REPLY, "after the last one, the model went on and said nothing more")
    assert run.run_json["reply"] is None
    assert len(run.of_kind("reply.missing")) == 1


def test_a_codex_that_lingers_is_asked_for_its_record_too(project, service):
    service.scenario("unseen", script((message("partial..."), call("no_such_tool", {})), ()))
    wrapper = project.scratch / "lingering"
    wrapper.write_text(
        f"#!/bin/sh\n'{project.codex['path']}' \"$@\"\ncode=$?\n[ $1 != exec ] || sleep 300\nexit $code\n"
    )
    wrapper.chmod(0o755)
    project.configure(prompt="SCN:unseen", exit_grace="1s", codex={"path": str(wrapper)})
    run = judged(project, Failure.NO_REPLY, "after the last one, the model went on and said nothing more")
    assert "lingered" in run.warnings


@pytest.mark.parametrize("asked", [call("exec_command", ESCALATE), call("no_such_tool", {})])
def test_a_message_after_such_work_is_the_reply(project, service, asked):
    service.scenario("unseen", script((message("partial..."), asked), message("final")))
    project.configure(prompt="SCN:unseen")
    run = project.check_reports(project.run(), 0)
    assert run.run_json["reply"] == "final"
