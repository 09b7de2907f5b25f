"""Webhooks against real servers that answer, refuse, hang, drop connections and lie about who they are."""

import asyncio
import base64
import hashlib
import hmac
import resource
import socket
import time
import zlib

import pytest
from support.report_states import a_run
from support.webhook import Answer, Receiver, certificate, took

from codex_runner.domain.notice import NoticeFormat, NotifyTarget
from codex_runner.domain.secret import Secret
from codex_runner.notify.send import notify
from codex_runner.redaction.redactor import Redactor

PATH = "/services/T000000/B000000/the-secret-path"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def target(url, **parts):
    return NotifyTarget(**{"name": "team", "url": Secret("TEAM_URL", url), "on": ("always",)} | parts)


def tell(*targets, state=None, redact=str, **parts):
    return asyncio.run(notify(state or a_run(), targets, redact=redact, **parts))


def test_a_delivered_notification_is_signed_and_says_all():
    with Receiver(Answer(202)) as there:
        key = Secret("KEY", "the key")
        assert tell(target(there.url + PATH, key=key, token=Secret("T", "tk_abcdef"))) == []
        (post,) = there.posts
    assert post.path == PATH
    assert post.json["data"]["job"] == "release-notes"
    assert post.headers["content-type"] == "application/json"
    assert post.headers["user-agent"].startswith("codex-runner/")
    assert post.headers["authorization"] == "Bearer tk_abcdef"
    identity, timestamp = post.headers["webhook-id"], post.headers["webhook-timestamp"]
    assert abs(int(timestamp) - time.time()) < 60
    signed = hmac.new(b"the key", f"{identity}.{timestamp}.".encode() + post.body, hashlib.sha256).digest()
    assert post.headers["webhook-signature"] == "v1," + base64.b64encode(signed).decode()


def test_each_shape_arrives_where_it_belongs():
    with Receiver() as there:
        targets = [target(there.url + PATH, format=shape) for shape in NoticeFormat]
        assert tell(*targets) == []
        paths = {post.path: post.json for post in there.posts}
        assert len(there.posts) == 4
    assert paths["/services/T000000/B000000/"]["topic"] == "the-secret-path"


def test_what_can_pass_is_tried_again_with_the_same_id_and_the_same_body():
    answers = Answer(503), Answer(429, headers=(("Retry-After", "0"),)), Answer(after=None), Answer(200)
    with Receiver(*answers) as there:
        assert tell(target(there.url + PATH)) == []
        assert len(there.posts) == 4
        assert len({post.headers["webhook-id"] for post in there.posts}) == 1
        assert len({post.body for post in there.posts}) == 1


def test_a_server_that_stays_broken_is_left_after_some_tries():
    with Receiver(Answer(500, headers=(("Retry-After", "0"),))) as there:
        assert tell(target(there.url + PATH, attempts=3)) == [
            "The notification 'team' was not delivered: the answer was 500 ok (3 tries)."
        ]
        assert len(there.posts) == 3


def test_a_refusal_is_told_at_once_and_what_it_echoes_is_masked():
    body = f"Cannot POST {PATH}: no_service\x1b[2J tk_secret_token".encode()
    with Receiver(Answer(404, body)) as there:
        (sentence,) = tell(target(there.url + PATH, token=Secret("TOKEN", "tk_secret_token")))
        assert len(there.posts) == 1
    assert "404 Cannot POST" in sentence
    assert "no_service" in sentence
    for secret in ("the-secret-path", "T000000", "tk_secret_token", "\x1b", there.url):
        assert secret not in sentence


def test_a_page_of_html_is_not_quoted():
    with Receiver(Answer(403, b"<html>nonsense", headers=(("Content-Type", "text/html"),))) as there:
        assert tell(target(there.url)) == ["The notification 'team' was not delivered: the answer was 403."]


def test_a_refusal_that_expands_is_not_unpacked():
    """A few kilobytes that come to gigabytes: the runner asks for nothing compressed, and unpacks none."""
    packer = zlib.compressobj(9, wbits=31)
    body = b"".join(packer.compress(b"x" * 1_000_000) for _ in range(150)) + packer.flush()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Receiver(Answer(400, body, headers=(("content-encoding", "gzip"),))) as there:
        (sentence,) = tell(target(there.url))
    assert "the answer was 400" in sentence
    assert "xxx" not in sentence
    assert there.posts[0].headers["accept-encoding"] == "identity"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # kilobytes


def test_a_redirect_is_not_followed():
    with Receiver() as other, Receiver(Answer(307, headers=(("Location", other.url),))) as there:
        (sentence,) = tell(target(there.url + PATH))
        assert "307, a redirect" in sentence
        assert other.posts == []


@pytest.mark.parametrize("answer", [Answer(after=60), Answer(500, drip=True)], ids=["silent", "dripping"])
def test_a_server_that_never_finishes_costs_no_more_than_the_deadline(answer):
    with Receiver(answer) as there:
        since = time.monotonic()
        (sentence,) = tell(target(there.url + PATH, timeout=0.4, deadline=1.0))
        assert 0.3 < took(since) < 30
    assert "no answer within 0.4s" in sentence


def test_the_deadline_of_the_caller_comes_first():
    with Receiver(Answer(after=60)) as there:
        since = time.monotonic()
        (sentence,) = tell(target(there.url + PATH), deadline=0.3)
        assert took(since) < 30
    assert "its deadline of 0.3s has passed" in sentence


def test_a_wait_longer_than_the_deadline_is_not_begun():
    with Receiver(Answer(429, headers=(("Retry-After", "3600"),))) as there:
        since = time.monotonic()
        (sentence,) = tell(target(there.url + PATH))
        assert took(since) < 30
    assert "429" in sentence


def test_one_that_fails_does_not_keep_the_others_from_it():
    with Receiver(Answer(404)) as broken, Receiver() as there:
        (sentence,) = tell(target(broken.url, name="broken"), target(there.url))
        assert "'broken'" in sentence
        assert len(there.posts) == 1


def test_nobody_listens():
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}{PATH}"
        (sentence,) = tell(target(url, attempts=2))
    assert "Connection refused (2 tries)" in sentence
    assert "the-secret-path" not in sentence


def test_a_certificate_is_checked_and_one_of_our_own_can_be_named(tmp_path):
    cert, context = certificate(tmp_path)
    with Receiver(context=context) as there:
        (sentence,) = tell(target(there.url + PATH))
        assert "certificate is not trusted: self-signed certificate" in sentence
        assert there.posts == []
        assert tell(target(there.url + PATH, ca_file=str(cert))) == []
        assert len(there.posts) == 1
        other_name = there.url.replace("127.0.0.1", "localhost")
        (sentence,) = tell(target(other_name + PATH, ca_file=str(cert)))
        assert "not trusted" in sentence


@pytest.mark.parametrize("url", ["", "no address", "ftp://x/y", "http://", "http://[::1", "http://127.0.0.1:99999/"])
def test_an_address_that_is_none_is_a_warning(url):
    (sentence,) = tell(target(url, attempts=1))
    assert "not delivered" in sentence


def test_a_ca_file_that_is_none_a_key_that_is_none_and_a_token_that_is_none(tmp_path):
    (tmp_path / "empty").touch()
    with Receiver() as there:
        (missing,) = tell(target(there.url, ca_file=str(tmp_path / "missing")))
        (empty,) = tell(target(there.url, ca_file=str(tmp_path / "empty")))
        (key,) = tell(target(there.url, key=Secret("KEY", "whsec_!")))
        (token,) = tell(target(there.url, token=Secret("TOKEN", "two\nlines-of-token")))
        assert there.posts == []
    assert f"{tmp_path}/missing cannot be used as ca_file: No such file" in missing
    assert "/empty cannot be used as ca_file" in empty
    assert "not base64" in key
    assert "token cannot be used" in token
    assert "lines-of-token" not in token


def test_a_bug_in_a_redactor_is_a_warning():
    def broken(text):
        raise ZeroDivisionError(text)

    with Receiver() as there:
        (sentence,) = tell(target(there.url), redact=broken)
        assert there.posts == []
    assert "ZeroDivisionError" in sentence


def test_secrets_do_not_leave():
    secret = "at-the-token-of-the-run"
    with Receiver() as there:
        targets = [target(there.url + PATH, format=shape) for shape in NoticeFormat]
        assert (
            tell(*targets, state=a_run(exit_code=1, reason=secret), redact=Redactor([Secret("T", secret)]).text) == []
        )
        assert all(secret.encode() not in post.body and b"***T***" in post.body for post in there.posts)


def test_being_cancelled_goes_on():
    async def cancelled():
        with Receiver(Answer(after=60)) as there:
            task = asyncio.create_task(notify(a_run(), [target(there.url)], redact=str))
            await asyncio.to_thread(there.asked.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancelled())


def test_nothing_to_tell_needs_no_connection():
    assert tell() == []
    assert tell(target("http://127.0.0.1:1/", on=("failed",))) == []
