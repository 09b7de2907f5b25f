"""A forge that fails, limits, redirects, lies or hangs; and what a message about it may hold."""

import asyncio
import socket
import time as real_time

import pytest
from support.forge import APP, BRANCH, CUT_AFTER, CUT_BEFORE, TEXT, Time, answers, github, pushed, small_forge, use
from support.webhook import Answer, Receiver, certificate

from codex_runner.delivery.github_api import MANNERS
from codex_runner.delivery.http import ForgeClient, ForgeEndpoint, Timing
from codex_runner.domain.errors import ConfigurationError, CredentialError, DeliveryError, ForgeUnreachableError
from codex_runner.domain.secret import Secret


@pytest.fixture
def forge(tmp_path):
    with small_forge(tmp_path) as running:
        yield running


def ask(url, *, time=None, token=APP, times=1, method="POST", path="/x", timing=None, **endpoint):
    async def requests():
        timed = timing or (time or Time()).timing
        async with ForgeClient(ForgeEndpoint(url, **endpoint), Secret("FORGE_TOKEN", token), MANNERS, timed) as client:
            for _ in range(times):
                answer = await client.request(method, path, "do it", body={"a": 1})
            return answer

    return asyncio.run(requests())


def check(forge, time=None):
    return use(github(forge, time=time), lambda hub: hub.check(None))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_can_pass_is_tried_again_and_waits_grow(forge, status):
    time = Time()
    forge.faults = answers(status, {"message": "later"}, times=2)
    assert check(forge, time).default_branch == "main"
    assert len(time.slept) == 2


@pytest.mark.parametrize("fault", [CUT_BEFORE, CUT_AFTER])
def test_a_cut_connection_is_tried_again(forge, fault):
    forge.faults = {1: fault, 2: fault}
    assert check(forge).default_branch == "main"


@pytest.mark.parametrize("status", [400, 403, 404, 409, 410, 418, 422, 451, 501, 505])
def test_what_cannot_pass_is_told_at_once(forge, status):
    time = Time()
    forge.faults = answers(
        status, {"message": "Because\nof \x1b[31mthis.", "errors": [{"field": "head", "code": "invalid"}]}
    )
    with pytest.raises(
        DeliveryError, match=f"GitHub could not find the repository acme/app: {status} Because of this.; head invalid"
    ):
        check(forge, time)
    assert time.slept == []


def test_retries_end_with_their_deadline(forge):
    time = Time()
    forge.faults = answers(503, {"message": "Unavailable"}, times=1000)
    with pytest.raises(ForgeUnreachableError, match=r"503 Unavailable \(\d+ tries\)") as told:
        check(forge, time)
    assert 100 < sum(time.slept) <= 180
    assert "deliver again" in told.value.remedy


def test_a_forge_that_stays_away_is_told_once_a_request(forge):
    time, said = Time(), []
    timing = Timing(now=time.now, sleep=time.sleep, on_retry=said.append)
    forge.faults = answers(503, {"message": "Unavailable"}, times=1000)
    with pytest.raises(ForgeUnreachableError):
        ask(forge.github_api, timing=timing)
    (sentence,) = said
    assert sentence == "GitHub could not do it: 503 Unavailable. The runner tries again for 3m in all."
    forge.faults = answers(503, {"message": "Unavailable"}, first=len(forge.requests) + 1)
    with pytest.raises(DeliveryError, match="404 Not Found"):
        ask(forge.github_api, timing=timing)
    assert len(said) == 1, "what passes at once is no news"


@pytest.mark.parametrize(("status", "message"), [(429, "Too many"), (403, "You have exceeded a secondary rate limit")])
def test_retry_after_is_kept_to(forge, status, message):
    time = Time()
    forge.faults = answers(status, {"message": message}, retry_after="37")
    assert check(forge, time).default_branch == "main"
    assert time.slept == [37.0]


def test_a_secondary_limit_without_a_time_waits_minutes(forge):
    time = Time()
    forge.faults = answers(403, {"message": "You have exceeded a secondary rate limit."}, times=2)
    check(forge, time)
    assert time.slept == [60.0, 120.0]


def test_the_reset_of_the_hour_is_waited_for_if_it_is_near(forge):
    time = Time()
    reset = str(int(real_time.time()) + 100)
    forge.faults = answers(403, {"message": "no more"}, x_ratelimit_remaining="0", x_ratelimit_reset=reset)
    check(forge, time)
    assert 0 <= time.slept[0] <= 101


def test_a_reset_that_is_far_is_told_at_once(forge):
    time = Time()
    forge.project.settings.remaining = 0
    with pytest.raises(ForgeUnreachableError, match=r"API rate limit exceeded.*asks to wait (29|30)m") as told:
        check(forge, time)
    assert time.slept == []
    assert "limit" in told.value.remedy


@pytest.mark.parametrize(
    "error",
    [
        {"type": "RATE_LIMITED", "message": "API rate limit exceeded for user ID 1."},
        {"message": "Something went wrong while executing your query. This may be the result of a timeout."},
    ],
)
def test_graphql_sends_its_troubles_as_successes(forge, error):
    time = Time()
    forge.faults = answers(200, {"errors": [error]}, first=3)
    assert check(forge, time).signs
    assert len(forge.requests) == 4
    assert len(time.slept) == 1


def test_eighty_creations_a_minute(forge):
    time = Time()
    forge.project.settings.now = time.now
    forge.faults = answers(200, {}, times=170)
    ask(forge.github_api, time=time, times=170)
    assert time.slept == [60.0, 60.0]


def test_a_redirect_gets_no_token(forge):
    with Receiver(Answer(307, headers=(("Location", forge.url),))) as there:
        with pytest.raises(DeliveryError, match=r"redirects \(307\)"):
            ask(there.url)
        assert len(there.posts) == 1
    assert forge.requests == []


def test_an_answer_that_repeats_the_token_is_masked(forge):
    forge.faults = answers(422, {"message": f"no such header: Bearer {APP}"})
    with pytest.raises(DeliveryError) as told:
        check(forge)
    assert APP not in told.value.message
    assert "***FORGE_TOKEN***" in told.value.message


def test_a_page_in_place_of_an_answer(forge):
    with Receiver(Answer(403, b"<html>Sign in to the proxy</html>")) as there, pytest.raises(DeliveryError) as told:
        ask(there.url)
    assert "could not do it: 403." in told.value.message


def test_answers_are_bounded(monkeypatch):
    monkeypatch.setattr("codex_runner.delivery.http._ANSWER_BYTES", 1000)
    with Receiver(Answer(200, b"x" * 1001)) as there, pytest.raises(DeliveryError, match="larger than"):
        ask(there.url)
    gzipped = Answer(200, b"x", (("Content-Encoding", "gzip"),))
    with Receiver(gzipped) as there, pytest.raises(DeliveryError, match="compressed"):
        ask(there.url)


def test_a_server_that_drips_is_given_up():
    timing = Timing(deadline=0.0, timeout=0.2)
    with (
        Receiver(Answer(200, b"x", drip=True)) as there,
        pytest.raises(ForgeUnreachableError, match="no answer within"),
    ):
        ask(there.url, timing=timing)


@pytest.mark.thorough
def test_a_large_request_may_take_its_time():
    """Its limit grows with its body; each step of it has httpx's own limit."""

    async def slowly(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
        for piece in (b"HTTP/1.1 200 OK\r\n", *[b"x-slow: yes\r\n"] * 10, b"content-length: 2\r\n\r\n", b"{}"):
            writer.write(piece)
            await asyncio.sleep(0.25)
        writer.close()
        await writer.wait_closed()

    async def requests():
        async with await asyncio.start_server(slowly, "127.0.0.1", 0) as server:
            endpoint = ForgeEndpoint(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            timing = Timing(deadline=0.0, timeout=1.0)
            async with ForgeClient(endpoint, Secret("FORGE_TOKEN", APP), MANNERS, timing) as client:
                return await client.request("POST", "/x", "do it", body="x" * 2_000_000)

    assert asyncio.run(requests()).status == 200


def test_nobody_listens():
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        with pytest.raises(ForgeUnreachableError, match=rf"Connection refused at {url} \(\d+ tries\)"):
            ask(url)


def test_a_private_ca_is_named(tmp_path):
    cert, context = certificate(tmp_path)
    with Receiver(Answer(200, b"{}"), context=context) as there:
        with pytest.raises(ForgeUnreachableError, match="certificate is not trusted: self-signed certificate"):
            ask(there.url)
        assert there.posts == []
        assert ask(there.url, ca_file=str(cert)).status == 200
        (post,) = there.posts
        assert post.headers["authorization"] == f"Bearer {APP}"
        assert post.headers["user-agent"].startswith("codex-runner/")


def test_a_ca_file_that_is_none(tmp_path):
    with pytest.raises(ConfigurationError, match=r"missing.pem cannot be used: No such file"):
        ask("https://127.0.0.1:1", ca_file=str(tmp_path / "missing.pem"))


def test_the_proxy_is_the_one_that_is_named_and_none_of_the_environment(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with Receiver(Answer(200, b"{}")) as there:
        ask(there.url)
        ask("http://forge.invalid/api", proxy=there.url)
        assert [post.path for post in there.posts] == ["/x", "http://forge.invalid/api/x"]


@pytest.mark.parametrize("proxy", ["gopher://x", "http://a:geheim@[", "http://a:geheim@x:99999", "geheim"])
def test_a_proxy_that_is_none(proxy):
    with pytest.raises(ConfigurationError, match=r"proxy is not an http\(s\) address") as told:
        ask("http://127.0.0.1:1", proxy=proxy)
    assert "geheim" not in told.value.message


@pytest.mark.parametrize("token", ["two\nlines", "späte", "a\0b"])
def test_a_token_that_no_header_can_carry(token):
    with pytest.raises(CredentialError, match="no header can carry") as told:
        ask("http://127.0.0.1:1", token=token)
    assert token not in told.value.message


@pytest.mark.parametrize("url", ["no address", "ftp://127.0.0.1/x", "http://[::1", "http://127.0.0.1:99999"])
def test_an_address_that_is_none(url):
    with pytest.raises(ConfigurationError, match=r"API is not an http\(s\) address"):
        ask(url)


def test_being_cancelled_goes_on():
    async def cancelled():
        with Receiver(Answer(after=60)) as there:
            client = ForgeClient(ForgeEndpoint(there.url), Secret("T", APP), MANNERS)
            task = asyncio.create_task(client.request("POST", "/x", "do it", body={}))
            await asyncio.to_thread(there.asked.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await client.aclose()

    asyncio.run(cancelled())


def test_a_pull_request_whose_answer_is_lost_is_not_opened_twice(forge):
    pushed(forge)
    forge.faults = {1: CUT_AFTER}
    made = use(github(forge), lambda hub: hub.open(BRANCH, "main", TEXT))
    assert made.number == 1
    assert len(forge.project.pulls) == 1
