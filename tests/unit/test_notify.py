"""What is told of a run, in each shape, and how it is signed."""

import base64
import hashlib
import hmac
import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import HOSTILE
from support.report_states import PULL, a_run, delivered, states

from codex_runner.ci_systems import Pipeline
from codex_runner.domain import event as ev
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.notice import ENDINGS, NoticeFormat, NotifyTarget
from codex_runner.domain.secret import Secret
from codex_runner.domain.state import RunState
from codex_runner.notify.message import document
from codex_runner.notify.send import wants
from codex_runner.notify.shapes import shaped
from codex_runner.notify.signature import message_id, signed_headers
from codex_runner.redaction.redactor import Redactor
from codex_runner.reports.outcome import word

URL = Secret("WEBHOOK_URL", "https://hooks.example.com/services/T0/B0/abcdefgh")


def told(state, redact=str, link=""):
    return document(state, redact=redact, link=link)


def failed_run(reason="checks failed: docs build", **parts):
    check = ev.CheckEnded("docs build", passed=False, exit_code=2, seconds=1.5, output="broken link\n")
    return a_run(
        ev.AttemptStarted(2),
        check,
        ev.Warned("budget", "no budget is set"),
        exit_code=1,
        reason=reason,
        remedy="Look at the output.",
    )


def size(body):
    return len(json.dumps(body, ensure_ascii=False).encode())


def texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from texts(part)


def test_the_document_says_how_it_ended():
    made = told(failed_run(), link="https://ci.example.com/1")
    assert (made["version"], made["type"]) == (1, "run.ended")
    data = made["data"]
    assert made["timestamp"] == data["ended"]
    assert data["job"] == "release-notes"
    assert (data["result"], data["ending"], data["exit_code"]) == ("failed", "job-failed", 1)
    assert data["reason"] == "checks failed: docs build"
    assert data["remedy"] == "Look at the output."
    assert data["checks"] == [{"name": "docs build", "passed": False, "exit_code": 2, "seconds": 1.5}]
    assert data["warnings"] == [{"code": "budget", "message": "no budget is set"}]
    assert data["link"] == "https://ci.example.com/1"
    assert (data["attempts"], data["files"]) == (2, 0)
    assert told(a_run())["data"]["reply"] == "The notes are written."
    assert told(a_run())["data"]["usage"]["total"] == 1050


def test_what_came_of_a_delivery_is_told_with_its_link():
    made = told(a_run(ev.AttemptStarted(2), delivered()))
    assert made["data"]["delivery"] == {"state": "updated", "link": PULL, "reason": "Pull request 7 is open."}
    for shape in NoticeFormat:
        assert PULL in json.dumps(shaped(shape, made, URL.reveal())[1])
    assert told(a_run())["data"]["delivery"] is None


@given(states())
def test_any_run_can_be_told_in_every_shape_within_the_limits_of_its_receiver(state):
    made = told(state)
    for shape in NoticeFormat:
        _, body = shaped(shape, made, URL.reveal())
        data = json.dumps(body, allow_nan=False, ensure_ascii=False).encode()  # no half of a character is in it
        assert json.loads(data) == body
    slack = shaped(NoticeFormat.SLACK, made, "")[1]
    assert len(slack["blocks"]) <= 50
    for block in slack["blocks"]:
        if "text" in block:
            assert 0 < len(block["text"]["text"]) <= (150 if block["type"] == "header" else 3000)
        assert len(block.get("fields", ())) <= 10
    assert size(shaped(NoticeFormat.TEAMS, made, "")[1]) < 28_000
    assert len(shaped(NoticeFormat.NTFY, made, URL.reveal())[1]["message"].encode()) <= 4096


@pytest.mark.parametrize("char", ["x", "é", "字", "😀"])
def test_everything_is_bounded(char):
    checks = [ev.CheckEnded(f"{n}" + char * 5000, passed=False, exit_code=1, seconds=1, output="") for n in range(500)]
    warned = [ev.Warned("code", char * 10_000)] * 500
    reply = ev.ItemCompleted(ev.AgentMessage("m", char * 1_000_000))
    made = told(a_run(ev.AttemptStarted(2), reply, *checks, *warned, exit_code=1, reason=char * 100_000))
    assert size(made) < 500_000
    for shape in (NoticeFormat.SLACK, NoticeFormat.TEAMS, NoticeFormat.NTFY):
        assert size(shaped(shape, made, URL.reveal())[1]) < 28_000


def test_a_secret_is_masked_in_every_text_also_where_an_escape_hides_it_or_a_cut_would_halve_it():
    secret = "s3cret<&>value"
    hidden = "s3cret\x1b[0m<&>value"
    state = a_run(
        ev.AttemptStarted(2),
        ev.ItemCompleted(ev.AgentMessage("m", "r" * 3990 + secret)),
        ev.CheckEnded(secret, passed=False, exit_code=1, seconds=1, output=""),
        ev.Warned("code", hidden),
        exit_code=1,
        reason="z" * 990 + secret,
    )
    made = told(state, Redactor([Secret("TOKEN", secret)]).text, link=f"https://x/{secret}")
    for shape in NoticeFormat:
        sent = json.dumps(shaped(shape, made, URL.reveal())[1])
        assert "s3cret" not in sent
        assert "***TOKEN***" in sent


def test_a_secret_with_characters_that_cleaning_drops_is_masked():
    made = told(failed_run("it is bell\x07secret"), Redactor([Secret("TOKEN", "bell\x07secret")]).text)
    assert made["data"]["reason"] == "it is ***TOKEN***"


def test_a_secret_of_digits_leaves_numbers_and_the_shape_alone():
    made = told(a_run(), Redactor([Secret("PIN", "1050000")]).text)
    assert made["data"]["usage"]["total"] == 1050


def test_hostile_text_is_neither_markup_nor_a_mention_nor_a_control():
    evil = f"<!channel> <https://evil.example|click> [click](https://evil.example) *b* {HOSTILE}"
    made = told(failed_run(evil))
    slack = shaped(NoticeFormat.SLACK, made, "")[1]
    assert "<!channel>" not in slack["text"]
    for block in slack["blocks"]:
        for part in [block.get("text"), *block.get("fields", ()), *block.get("elements", ())]:
            if part and part["type"] == "mrkdwn":
                assert "<" not in part["text"]
    teams = shaped(NoticeFormat.TEAMS, made, "")[1]["attachments"][0]["content"]
    kinds = {run["type"] for block in teams["body"] for run in block["inlines"]}
    assert {block["type"] for block in teams["body"]} == {"RichTextBlock"}  # which knows no Markdown
    assert kinds == {"TextRun"}
    for text in texts(made):
        assert text.replace("\n", "").isprintable()


def test_slack_links_to_the_run():
    slack = shaped(NoticeFormat.SLACK, told(a_run(), link="https://ci.example.com/a?b=1&c=2"), "")[1]
    assert "<https://ci.example.com/a?b=1&amp;c=2|Open the run>" in slack["blocks"][-1]["elements"][0]["text"]
    assert "|Open the run>" not in json.dumps(shaped(NoticeFormat.SLACK, told(a_run()), "")[1])


def test_teams_gets_an_adaptive_card():
    body = shaped(NoticeFormat.TEAMS, told(failed_run(), link="https://ci.example.com/1"), "")[1]
    (attachment,) = body["attachments"]
    assert body["type"] == "message"
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert attachment["content"]["type"] == "AdaptiveCard"
    assert attachment["content"]["actions"][0]["url"] == "https://ci.example.com/1"
    assert any("Failed checks: docs build" in text for text in texts(body))


@pytest.mark.parametrize(
    ("address", "posted_to", "topic"),
    [
        ("https://ntfy.sh/my-topic", "https://ntfy.sh/", "my-topic"),
        ("https://ntfy.sh/my-topic/", "https://ntfy.sh/", "my-topic"),
        ("https://push.example.com:8443/team?auth=abc", "https://push.example.com:8443/?auth=abc", "team"),
    ],
)
def test_ntfy_gets_its_topic_in_the_message(address, posted_to, topic):
    to, body = shaped(NoticeFormat.NTFY, told(failed_run(), link="https://ci.example.com/1"), address)
    assert (to, body["topic"]) == (posted_to, topic)
    assert (body["title"], body["priority"], body["tags"]) == ("release-notes: failed", 4, ["x"])
    assert body["click"] == "https://ci.example.com/1"
    assert body["message"].startswith("checks failed: docs build")


def target(**parts):
    return NotifyTarget("team", URL, **parts)


@pytest.mark.parametrize(
    ("on", "exit_code", "wanted"),
    [
        (("failed",), 0, False),
        (("failed",), 9, True),
        (("succeeded",), 0, True),
        (("always",), 0, True),
        (("always",), 9, True),
        (("timeout", "quota"), 9, True),
        (("timeout", "quota"), 8, True),
        (("timeout", "quota"), 1, False),
        (("skipped",), 0, False),
        ((), 9, False),
    ],
)
def test_a_target_is_told_of_the_endings_that_it_names(on, exit_code, wanted):
    assert wants(target(on=on), a_run(exit_code=exit_code)) is wanted


def test_a_target_is_told_of_the_jobs_that_it_names_and_of_no_run_that_goes_on():
    assert wants(target(on=("always",), jobs=("release-notes",)), a_run())
    assert not wants(target(on=("always",), jobs=("other",)), a_run())
    assert not wants(target(on=("always",)), RunState())


def test_every_word_for_an_ending_can_be_chosen():
    for code in ExitCode:
        assert word(ev.RunEnded(int(code), "succeeded" if code == 0 else "failed", "")) in ENDINGS


def test_a_target_never_shows_its_address():
    shown = repr(target(key=Secret("KEY", "k" * 20), token=Secret("TOKEN", "t" * 20)))
    assert "hooks.example" not in shown
    assert "kkkk" not in shown
    assert "tttt" not in shown


def test_the_signature_is_that_of_the_specification():
    key = Secret("KEY", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_key_of_any_text_signs_too():
    headers = signed_headers(Secret("KEY", "plain key\n"), "msg_1", 7, b"{}")
    expected = hmac.new(b"plain key", b"msg_1.7.{}", hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(expected).decode()
    with pytest.raises(ValueError, match="base64"):
        signed_headers(Secret("KEY", "whsec_not base64!"), "msg_1", 7, b"{}")
    assert "webhook-signature" not in signed_headers(None, "msg_1", 7, b"{}")


@given(st.text(min_size=1, max_size=80))
def test_an_id_has_no_dot_and_is_the_same_for_the_same_run(run_id):
    identity = message_id(run_id)
    assert "." not in identity
    assert identity == message_id(run_id)
    assert identity != message_id(run_id + "x")


@pytest.mark.parametrize(
    ("environ", "link"),
    [
        (
            {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/app", "GITHUB_RUN_ID": "7"},
            "https://github.com/acme/app/actions/runs/7",
        ),
        ({"CI_JOB_URL": "https://gitlab.example.com/j/1"}, "https://gitlab.example.com/j/1"),
        ({"BUILD_URL": "http://jenkins/job/1/"}, "http://jenkins/job/1/"),
        ({"CI_JOB_URL": "javascript:alert(1)"}, ""),
        ({}, ""),
    ],
)
def test_the_ci_job_is_found(environ, link):
    assert Pipeline(environ).link() == link


DOC = (Path(__file__).parents[2] / "docs/notifications.md").read_text(encoding="utf-8")


def example(language):
    return re.search(rf"```{language}\n(.*?)```", DOC, re.DOTALL)[1]


def test_the_documented_document_has_the_keys_of_a_real_one():
    shown, made = json.loads(example("json")), told(failed_run())
    assert shown.keys() == made.keys()
    assert shown["data"].keys() == made["data"].keys()
    assert shown["data"]["usage"].keys() == made["data"]["usage"].keys()
    for part in ("checks", "warnings"):
        assert shown["data"][part][0].keys() == made["data"][part][0].keys()


def test_the_documented_verification_accepts_what_is_genuine_and_nothing_else():
    names = {"hmac": hmac, "base64": base64, "time": time}
    exec(example("python"), names)
    headers = signed_headers(Secret("KEY", "the key"), "msg_1", int(time.time()), b"{}")
    assert names["is_genuine"](headers, b"{}", b"the key")
    assert not names["is_genuine"](headers, b"{} ", b"the key")
    assert not names["is_genuine"](headers, b"{}", b"another key")
    old = signed_headers(Secret("KEY", "the key"), "msg_1", int(time.time()) - 1000, b"{}")
    assert not names["is_genuine"](old, b"{}", b"the key")
