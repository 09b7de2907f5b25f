"""The scripted model service over plain HTTP, without codex."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from codex_runner.demo import model_wire as wire
from codex_runner.demo.model import ModelService
from codex_runner.demo.release_notes import notes
from codex_runner.demo.scenarios import BUILT_IN, script
from codex_runner.demo.scratch_folder import SUBJECTS, make_repository
from codex_runner.domain.errors import ConfigurationError


@pytest.fixture
def service():
    with ModelService() as running:
        yield running


def user(text):
    return {"role": "user", "type": "message", "content": [{"type": "input_text", "text": text}]}


def result(text):
    return {"type": "function_call_output", "call_id": "call_1", "output": text}


@contextlib.contextmanager
def sent(service, method, path, body=None, bearer=None):
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    try:
        headers = {} if bearer is None else {"authorization": f"Bearer {bearer}"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        yield connection.getresponse()
    finally:
        connection.close()


def ask(service, *items, bearer=None, tools=("exec_command", "apply_patch")):
    """Return the status and, of a stream, its events; of an error, its error object."""
    body = {"input": list(items), "tools": [{"type": "function", "name": name} for name in tools]}
    with sent(service, "POST", "/v1/responses", body, bearer) as response:
        raw = response.read().decode()
        if response.status != 200:
            return response.status, json.loads(raw)["error"]
        return 200, events_of(raw)


def events_of(raw):
    events = []
    for block in raw.split("\n\n"):
        if block:
            name, data = block.split("\n")
            events.append(json.loads(data.removeprefix("data: ")))
            assert name == f"event: {events[-1]['type']}"
    return events


def texts(events):
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    return [part["text"] for item in done if item["type"] == "message" for part in item["content"]]


def test_a_marker_chooses_the_scenario_and_others_get_the_default(service):
    assert texts(ask(service, user("no marker"))[1]) == ["hello from the scripted model"]
    assert texts(ask(service, user("please SCN:json now"))[1]) == ['{"answer": 42, "ok": true}']
    assert [request.scenario for request in service.responses] == ["hi", "json"]


def test_the_default_may_have_an_argument():
    with ModelService("many_items:3") as service:
        assert texts(ask(service, user("go"))[1]) == ["item 0", "item 1", "item 2"]


def test_a_response_has_the_events_of_the_real_service(service):
    _, events = ask(service, user("SCN:hi"))
    kinds = [event["type"].removeprefix("response.") for event in events]
    delta = "output_text.delta"
    assert kinds == ["created", "output_item.added", delta, delta, "output_item.done", "completed"]
    assert "".join(event["delta"] for event in events if "delta" in event) == "hello from the scripted model"
    assert events[-1]["response"]["usage"] == {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 20},
        "output_tokens": 30,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 130,
    }


def test_the_step_counts_the_results_after_the_latest_marker(service):
    old = [user("SCN:slow:3"), result("a"), result("b")]
    ask(service, *old, user("SCN:slow:7"), result("c"), user("<environment_context>\n</environment_context>"))
    (request,) = service.responses
    assert (request.argument, request.step, request.outputs, request.follow_ups) == (7, 1, ("c",), ())


def test_a_later_prompt_without_a_marker_goes_on_with_the_scenario(service):
    ask(service, user("SCN:slow:3"), result("a"), user("<turn_aborted>\n</turn_aborted>"), user("go on"), result("b"))
    (request,) = service.responses
    assert (request.scenario, request.step, request.follow_ups) == ("slow", 2, ("go on",))
    _, events = ask(service, user("SCN:resume"), user("and then?"))
    assert texts(events) == ["answer 2, to: and then?"]


def test_flaky_works_after_its_failures(service):
    statuses = [ask(service, user("SCN:flaky:3"))[0] for _ in range(5)]
    assert statuses == [500, 500, 500, 200, 200]


def test_only_accepted_tokens_are_answered(service):
    service.accept({"at-one", "at-two"})
    assert ask(service, user("SCN:hi"))[0] == 401
    assert ask(service, user("SCN:hi"), bearer="at-wrong")[0] == 401
    assert ask(service, user("SCN:hi"), bearer="at-one")[0] == 200
    service.revoke("at-one")
    assert ask(service, user("SCN:hi"), bearer="at-one")[0] == 401
    assert ask(service, user("SCN:hi"), bearer="at-two")[0] == 200
    service.accept(None)
    assert ask(service, user("SCN:hi"))[0] == 200
    assert [r.bearer for r in service.requests] == [None, "at-wrong", "at-one", "at-one", "at-two", None]


def test_revoking_where_anything_is_accepted_is_told(service):
    with pytest.raises(ConfigurationError, match="accepts any token"):
        service.revoke("at-one")


def test_the_owner_of_a_token_is_told_to_whoever_has_it(service):
    service.accept({"at-one"})
    path = "/authapi/v1/user-auth-credential/whoami"
    with sent(service, "GET", path, bearer="at-two") as response:
        assert response.status == 401
    with sent(service, "GET", path, bearer="at-one") as response:
        assert json.load(response)["email"] == "ci@example.com"
    service.break_endpoint("whoami", 503)
    with sent(service, "GET", path, bearer="at-one") as response:
        assert response.status == 503
    service.break_endpoint("whoami", None)
    with sent(service, "GET", path, bearer="at-one") as response:
        assert response.status == 200


def test_an_unknown_scenario_is_refused_with_the_names_of_the_known_ones(service):
    status, error = ask(service, user("SCN:nonsense"))
    assert status == 400
    assert "'nonsense'" in error["message"]
    assert "release_notes" in error["message"]


def test_a_scenario_that_raises_is_seen_by_who_asked(service):
    service.scenario("broken", lambda _step, _request: 1 / 0)
    status, error = ask(service, user("SCN:broken"))
    assert status == 400
    assert "ZeroDivisionError" in error["message"]


def test_a_body_that_is_no_json_is_refused(service):
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    connection.request("POST", "/v1/responses", b"\x28\xb5\x2f\xfd", {"content-encoding": "zstd"})
    response = connection.getresponse()
    assert response.status == 415
    assert b"zstd" in response.read()
    connection.close()


def test_a_scenario_of_a_test_sees_the_outputs(service):
    def play(step, request):
        return wire.reply(wire.shell("ls") if step == 0 else wire.message(f"saw {request.outputs[-1]}"))

    service.scenario("look", play)
    assert texts(ask(service, user("SCN:look"), result("a file"))[1]) == ["saw a file"]


def test_a_cut_stream_ends_without_its_end(service):
    body = {"input": [user("SCN:cut")]}
    with sent(service, "POST", "/v1/responses", body) as response, pytest.raises(http.client.IncompleteRead) as cut:
        response.read()
    assert b"partial" in cut.value.partial
    assert b"response.completed" not in cut.value.partial


def test_a_slow_answer_comes_in_pieces(service):
    began = time.monotonic()
    with sent(service, "POST", "/v1/responses", {"input": [user("SCN:drip:60")]}) as response:
        first = response.read1()
        after_first = time.monotonic() - began
        rest = response.read()
    assert b"response.created" in first
    assert b"output_text.delta" not in first
    assert texts(events_of((first + rest).decode()))
    assert 0.05 < after_first < time.monotonic() - began - 0.2


def test_closing_breaks_a_silent_stream_at_once_and_leaves_no_thread():
    before = set(threading.enumerate())
    service = ModelService()
    with sent(service, "POST", "/v1/responses", {"input": [user("SCN:silent")]}) as response:
        assert b"response.created" in response.read1()
        service.close()
        service.close()
        with pytest.raises(http.client.IncompleteRead):
            response.read()
    assert set(threading.enumerate()) == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", service.port), 1)


def test_closing_ends_idle_connections():
    before = set(threading.enumerate())
    service = ModelService()
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    connection.request("GET", "/v1/models")
    connection.getresponse().read()
    service.close()
    assert set(threading.enumerate()) == before
    connection.close()


def test_a_rate_limit_says_when_to_come_again(service):
    with sent(service, "POST", "/v1/responses", {"input": [user("SCN:error_429:7")]}) as response:
        assert (response.status, response.headers["retry-after"]) == (429, "7")


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_scenario_comes_to_an_end(name, service):
    """Played with as many results as it asks for, until it answers with no call; `slow` has an argument for it."""
    items = [user(f"SCN:{name}:1")]
    for _ in range(8):
        if name == "silent":
            return
        try:
            status, events = ask(service, *items)
        except http.client.IncompleteRead:
            return
        if status != 200 or events[-1]["type"] == "response.failed":
            return
        assert events[-1]["type"] == "response.completed"
        calls = [event["item"] for event in events if "call_id" in event.get("item", {})]
        if not calls:
            return
        assert len({call["call_id"] for call in calls}) == 1
        items.append(result("0123abc Add a thing\n"))
    pytest.fail("it goes on and on")


def test_a_model_without_the_patch_tool_patches_through_the_shell(service):
    _, events = ask(service, user("SCN:patch_add"), tools=("exec_command",))
    call = next(event["item"] for event in events if event["type"] == "response.output_item.done")
    assert call["name"] == "exec_command"
    assert json.loads(call["arguments"])["cmd"].startswith("apply_patch <<'END_OF_PATCH'\n*** Begin Patch\n")


def test_release_notes_are_made_of_the_commits_alone(service):
    output = "a login shell's greeting\nOutput:\n1234567 fix(cli): count tabs\nabcdef0 Add a test\n89abcde Move it\n"
    _, events = ask(service, user("SCN:release_notes"), result(output))
    item = next(event["item"] for event in events if event["type"] == "response.output_item.done")
    assert item["input"].splitlines() == [
        "*** Begin Patch",
        "*** Add File: RELEASE_NOTES.md",
        "+# Release notes",
        "+",
        "+## Added",
        "+",
        "+- Add a test (abcdef0)",
        "+",
        "+## Fixed",
        "+",
        "+- count tabs (1234567)",
        "+",
        "+## Changed",
        "+",
        "+- Move it (89abcde)",
        "*** End Patch",
    ]


def test_release_notes_without_commits_write_nothing(service):
    _, events = ask(service, user("SCN:release_notes"), result("fatal: not a git repository\n"))
    assert "no commits" in texts(events)[0]


def test_release_notes_keep_the_order_of_the_log():
    assert notes([("2", "Add b"), ("1", "Add a")]) == "# Release notes\n\n## Added\n\n- Add b (2)\n- Add a (1)\n"


def test_a_script_plays_its_last_step_again():
    play = script(wire.message("one"), wire.Failed("server_error", "two"))
    assert [type(play(step, None)) for step in range(3)] == [wire.Reply, wire.Failed, wire.Failed]


def test_setups_say_where_the_token_stands(service):
    key = service.with_provider_key("secret", env_key="MY_KEY", stream_max_retries=4)
    table = key.config["model_providers"][key.config["model_provider"]]
    assert key.environment == {"MY_KEY": "secret"}
    assert (table["env_key"], table["stream_max_retries"]) == ("MY_KEY", 4)
    token = service.with_access_token("at-x")
    assert token.environment["CODEX_ACCESS_TOKEN"] == "at-x"
    assert token.config["chatgpt_base_url"].startswith(service.url)


def git(folder, *arguments):
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


def test_the_scratch_repository_is_the_same_whatever_the_users_git_says(tmp_path, monkeypatch):
    make_repository(tmp_path / "plain")
    (tmp_path / "home").mkdir()
    config = (
        "[commit]\n\tgpgsign = true\n[user]\n\tname = Somebody\n[core]\n\tautocrlf = true\n\thooksPath = /nowhere\n"
    )
    (tmp_path / "home" / ".gitconfig").write_text(config)
    for name, value in {"HOME": tmp_path / "home", "GIT_DIR": tmp_path, "TZ": "Asia/Tokyo"}.items():
        monkeypatch.setenv(name, str(value))
    make_repository(tmp_path / "hostile")
    monkeypatch.delenv("GIT_DIR")
    assert git(tmp_path / "plain", "rev-parse", "HEAD") == git(tmp_path / "hostile", "rev-parse", "HEAD")
    assert git(tmp_path / "plain", "log", "--reverse", "--format=%s").splitlines() == list(SUBJECTS)
    assert git(tmp_path / "plain", "status", "--short", "--branch") == "## main\n"


def test_the_code_in_the_scratch_repository_works(tmp_path):
    make_repository(tmp_path)
    code = "from tally.count import top; assert top('The the b') == [('the', 2), ('b', 1)]"
    subprocess.run([sys.executable, "-B", "-c", code], cwd=tmp_path, check=True)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "precious").touch()
    with pytest.raises(ConfigurationError, match="not empty"):
        make_repository(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_by_hand_it_prints_its_configuration_and_what_arrives():
    command = [sys.executable, "-m", "codex_runner.demo.model", "--scenario", "json", "--token", "at-hand"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"}) as child:
        try:
            lines = iter(child.stdout.readline, "")
            address = next(line for line in lines if line.startswith("base_url")).split('"')[1]
            port = int(address.removesuffix("/v1").rpartition(":")[2])
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            body = json.dumps({"input": [user("go")]})
            connection.request("POST", "/v1/responses", body, {"authorization": "Bearer at-hand"})
            assert b"answer" in connection.getresponse().read()
            connection.close()
            assert next(line for line in lines if line.startswith("POST")) == "POST /v1/responses json 0\n"
        finally:
            child.send_signal(signal.SIGINT)
    assert child.returncode == 0
