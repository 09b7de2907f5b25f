"""Every way in which codex can end by itself, and what the run makes of it."""

import json
import shlex

import pytest
from support import child
from support.runs import KEY_NAME

pytestmark = pytest.mark.needs_codex


def says(*lines):
    return "".join(f"printf '%s\\n' {shlex.quote(line)}\n" for line in lines)


def failed(message):
    return json.dumps({"type": "turn.failed", "error": {"message": message}})


BEGIN = says(child.THREAD, child.STARTED)
END = says(child.MESSAGE, child.COMPLETED)
REPLY = BEGIN + END
NO_TEXT = '{"type":"item.completed","item":{"id":"item_9","type":"agent_message","text":["done"]}}'
UNCOUNTED = '{"type":"turn.completed","usage":{"input_tokens":"many","output_tokens":30}}'


@pytest.mark.parametrize("scenario", ["flaky:1", "command_failing", "patch_outside"])
def test_what_is_no_failure_of_the_run(project, either_codex, scenario):
    project.codex["path"] = str(either_codex)
    project.configure(prompt=f"SCN:{scenario}", sandbox="workspace-write")
    run = project.check_reports(project.run(), 0)
    project.check_nothing_is_left()
    assert run.codex == project.witness.printed(run.run_id)
    assert run.of_kind("unparsed") == run.of_kind("other") == []


def test_a_job_that_asks_for_no_message(project):
    project.configure(prompt="SCN:empty", expect_message=False)
    project.check_reports(project.run(), 0)


def test_a_key_that_is_not_accepted(project, service):
    service.accept({"another"})
    run = project.check_reports(project.run(), 4)
    assert run.run_json["failure"] == "credential"
    project.check_nothing_is_left()


def test_a_key_that_is_not_given(project):
    (name,) = [name for name in project.environ if name.startswith("CODEX_RUNNER_CODEX__ENV__")]
    del project.environ[name]
    run = project.check_reports(project.run(), 4)
    assert "SCRIPTED_MODEL_KEY" in run.run_json["reason"]


@pytest.mark.parametrize(
    ("config", "word"), [({"no_such_key": 1}, "no_such_key"), ({"model_reasoning_effort": 7}, "invalid type")]
)
def test_a_configuration_that_codex_refuses(project, either_codex, config, word):
    project.codex["path"] = str(either_codex)
    project.configure(codex={"config": {**project.codex["config"], **config}})
    run = project.check_reports(project.run(), 3)
    project.check_nothing_is_left()
    assert run.run_json["failure"] == "startup"
    assert word in run.run_json["reason"]


def test_the_commands_environment_has_no_secret(project):
    project.environ |= {"VAULT_TOKEN": "hvs.not-for-the-agent", "SOME_PASSWORD": "not-for-the-agent-either"}
    project.configure(prompt="SCN:snoop", sandbox="workspace-write")
    run = project.check_reports(project.run(), 0)
    project.check_nothing_is_left()
    assert b"not-for-the-agent" not in run.codex
    assert b"***SCRIPTED_MODEL_KEY***" not in run.codex, "the agent has seen the key, though nobody else will"


@pytest.mark.parametrize(
    ("body", "code", "failure", "words"),
    [
        (f"{BEGIN}printf '%s' '{{\"type\":\"item.comp'", 1, "incomplete", "without a final event"),
        (BEGIN, 1, "incomplete", "exit code 0"),
        (f"{BEGIN}kill -KILL $$", 1, "incomplete", "signal 9"),
        (f"{REPLY}exit 101", 1, "crashed", "exit code 101"),
        (f"{REPLY}kill -SEGV $$", 1, "crashed", "signal 11"),
        ("", 1, "incomplete", "exit code 0"),
        ("exit 2", 3, "startup", "exit code 2"),
        ("echo 'error: unexpected argument' >&2; exit 2", 3, "startup", "unexpected argument"),
        (BEGIN + says(failed("strange")), 1, "unknown", "strange"),
        (BEGIN + says(failed("strange")) + "exit 1", 1, "unknown", "strange"),
        (REPLY, 0, None, "completed"),
        # What is known by its name keeps its meaning, whatever its shape.
        (REPLY + says('{"type":"turn.failed"}'), 1, "unknown", '{"type": "turn.failed"}'),
        (BEGIN + says('{"type":"turn.failed","error":"text"}') + END, 1, "unknown", "text"),
        (BEGIN + says('{"type":"turn.failed","error":null}') + END, 1, "unknown", "null"),
        (REPLY + says('{"type":"turn.failed","error":{"mess'), 1, "unknown", "mess"),
        (BEGIN + says(child.MESSAGE, NO_TEXT, child.COMPLETED), 1, "no-reply", "a message that cannot be read"),
        (BEGIN + says(child.MESSAGE, '{"type":"x"}', child.COMPLETED), 1, "no-reply", "does not know (x)"),
        (BEGIN + says(child.MESSAGE, "noise", child.COMPLETED), 1, "no-reply", "a line that is no event"),
        (BEGIN + says(child.MESSAGE, child.COMMAND, child.COMPLETED), 1, "no-reply", "the command 'sleep 600' began"),
        (BEGIN + says(child.MESSAGE, UNCOUNTED), 11, "budget", "without saying how many tokens"),
    ],
)
def test_what_codex_does(project, body, code, failure, words):
    project.fake_codex(body)
    run = project.check_reports(project.run(), code)
    project.check_nothing_is_left()
    assert run.run_json["failure"] == failure
    assert words in run.run_json["reason"]
    assert run.codex == project.witness.printed(run.run_id)


def test_strange_output_is_kept(project):
    printed = project.scratch / "printed"
    lines = [
        child.THREAD.encode(),
        child.STARTED.encode(),
        b"",
        b"not json at all",
        b'{"type":"from.the.future","x":[1,2]}',
        b'{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"\xff\xfe"}}',
        b'{"type":"error","message":"' + b"x" * 5_000_000 + b'"}',
        b"\x1b[31m::error::fake\r",
        child.MESSAGE.encode(),
        child.COMPLETED.encode(),
    ]
    printed.write_bytes(b"\n".join(lines) + b"\n")
    project.fake_codex(f"cat {shlex.quote(str(printed))}")
    run = project.check_reports(project.run(), 0)
    assert run.codex == printed.read_bytes()
    assert [event["kind"] for event in run.from_codex] == [
        "thread.started", "turn.started", "unparsed", "other", "item.completed", "error", "unparsed",
        "item.completed", "turn.completed",
    ]  # fmt: skip
    assert run.run_json["reply"] == "done"


@pytest.mark.one_case
@pytest.mark.parametrize("kind", ["agent_message", "command_execution", "mcp_tool_call"])
def test_a_line_that_is_too_long_to_be_read(project, kind):
    """Beyond 8 MiB it is kept whole and told; where it may be a reply, there is none."""
    printed, text = project.scratch / "printed", b"x" * (9 << 20)
    begin = b'{"type":"item.completed","item":{"id":"item_7","type":"%b","text":"' % kind.encode()
    line = begin + text + project.key.encode() + text + b'"}}'
    lines = [child.THREAD.encode(), child.STARTED.encode(), line, child.MESSAGE.encode(), child.COMPLETED.encode()]
    printed.write_bytes(b"\n".join(lines) + b"\n")
    project.fake_codex(f"cat {shlex.quote(str(printed))}")
    run = project.check_reports(project.run(), 1 if kind == "agent_message" else 0)
    size = f"{len(line):,} bytes"
    assert (size in run.run_json["reason"]) == (kind == "agent_message")
    (warning,) = [each for each in run.run_json["warnings"] if each["code"] == "truncated"]
    assert size in warning["message"]
    (event,) = run.of_kind("unparsed")
    assert (event["reason"], event["size"]) == ("truncated", len(line))
    assert run.codex == printed.read_bytes().replace(project.key.encode(), f"***{KEY_NAME}***".encode())
    printed.unlink()
    project.check_nothing_is_left()


def test_many_lines_that_are_no_events(project):
    noise = "".join(f"line {number}\n" for number in range(100_000)).encode()
    printed = project.scratch / "printed"
    printed.write_bytes(f"{child.THREAD}\n{child.STARTED}\n".encode() + noise + f"{child.MESSAGE}\n".encode())
    project.fake_codex(f"cat {shlex.quote(str(printed))}; {says(child.COMPLETED)}")
    run = project.check_reports(project.run(), 0)
    (event,) = run.of_kind("unparsed")
    assert (event["count"], event["size"]) == (100_000, len(noise) - 100_000)
    assert "100,000 lines" in next(w["message"] for w in run.run_json["warnings"] if w["code"] == "no-event")
    assert run.codex.startswith(printed.read_bytes())
    for name in ("events.jsonl", "report.html"):
        assert (run.path / name).stat().st_size < 100_000


def test_a_secret_that_codex_prints_is_masked(project):
    event = """printf '{"type":"error","message":"%s"}\\n' "$SCRIPTED_MODEL_KEY"\n"""
    project.fake_codex(f'{BEGIN}{event}echo "Error: $SCRIPTED_MODEL_KEY" | tee /dev/stderr\n{END}')
    run = project.check_reports(project.run("--log-format", "json"), 0)
    project.check_nothing_is_left()
    assert run.codex.count(b"***SCRIPTED_MODEL_KEY***") == 2
    assert b"***SCRIPTED_MODEL_KEY***" in (run.path / "stderr.log").read_bytes()


def test_tokens_that_nobody_counted_matter_to_a_budget_alone(project):
    project.fake_codex(BEGIN + says(child.MESSAGE, UNCOUNTED), budget={"turns": 5})
    run = project.check_reports(project.run(), 0)
    assert "usage-unknown" in run.warnings


@pytest.mark.parametrize("trap", ["", "trap '' INT TERM\n"])
def test_a_codex_that_lingers_has_done_its_work(project, trap):
    project.fake_codex(f"{trap}{REPLY}sleep 300 & wait", exit_grace="1s")
    run = project.check_reports(project.run(), 0)
    project.check_nothing_is_left()
    assert "lingered" in run.warnings
    assert run.run_json["attempts"][0]["exit"]["stopped"] == "lingered"


def test_a_turn_that_failed_and_lingers_has_failed(project):
    project.fake_codex(f"{BEGIN}{says(failed('Quota exceeded.'))}sleep 300", exit_grace="1s")
    run = project.check_reports(project.run(), 8)
    project.check_nothing_is_left()
    assert "lingered" in run.warnings


def test_events_reach_the_log_at_once(project):
    """From codex's write to the sink: well below a second, the bound of a machine that is busy."""
    stamp = """date +'{"type":"stamp","at":%s.%N}'"""
    project.fake_codex(f"{BEGIN}for n in 1 2 3 4 5 6 7 8; do {stamp}; sleep 0.2; done\n{END}")
    run = project.check_reports(project.run(), 0)
    stamps = [record for record in run.records if record["event"].get("type") == "stamp"]
    delays = sorted(record["time"] - record["event"]["data"]["at"] for record in stamps)
    assert len(delays) == 8
    assert delays[4] < 0.25
    print(f"from codex to the log: median {delays[4] * 1000:.0f} ms, worst {delays[-1] * 1000:.0f} ms")
