"""Delivery of notifications: bounded in time, with retries and backoff. A failed delivery never fails the run."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from typing import TYPE_CHECKING, Any

import httpx
import tenacity

import codex_runner
from codex_runner.domain.notice import ALWAYS
from codex_runner.domain.secret import Secret
from codex_runner.engine.server_faults import retry_after, why_unreachable
from codex_runner.notify.message import document
from codex_runner.notify.shapes import shaped
from codex_runner.notify.signature import message_id, signed_headers
from codex_runner.redaction.redactor import Redactor
from codex_runner.reports.outcome import word
from codex_runner.text.durations import format_duration
from codex_runner.text.excerpts import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from codex_runner.domain.notice import NotifyTarget
    from codex_runner.domain.state import RunState

_ANSWER_BYTES = 2000
_WAIT = tenacity.wait_random_exponential(multiplier=0.5, min=0.2, max=8.0)
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


class _Undelivered(Exception):  # noqa: N818 - not an error of the run: it becomes a warning
    """Why a notification was not delivered: the end of a sentence. If `passing`, retry, after `wait` seconds."""

    def __init__(self, why: str, *, passing: bool = False, wait: float | None = None) -> None:
        super().__init__(why)
        self.passing, self.wait = passing, wait


async def notify(
    state: RunState,
    targets: Iterable[NotifyTarget],
    *,
    redact: Callable[[str], str],
    link: str = "",
    deadline: float | None = None,
) -> list[str]:
    """Notify every target that wants this ending; return a sentence for each failed delivery.

    All targets are notified at once. Every text goes through `redact` first. `link` is where a person can look at the
    run. `deadline` (seconds) shortens the targets' own: for a runner that has been asked to end. Proxies and CA files
    are those of the process's environment, as httpx reads them. Raises nothing but CancelledError.
    """
    told = [target for target in targets if wants(target, state)]
    sentences = await asyncio.gather(
        *(_tell(target, lambda: document(state, redact=redact, link=link), deadline) for target in told)
    )
    return [sentence for sentence in sentences if sentence]


def wants(target: NotifyTarget, state: RunState) -> bool:
    """Whether to notify a target of this run: it has ended, in a way and in a job that the target names."""
    if state.verdict is None or (target.jobs and state.job not in target.jobs):
        return False
    return not {ALWAYS, state.verdict.result, word(state.verdict)}.isdisjoint(target.on)


async def _tell(target: NotifyTarget, content: Callable[[], Mapping[str, Any]], deadline: float | None) -> str:
    seconds = target.deadline if deadline is None else min(deadline, target.deadline)
    mask = Redactor(_pieces(target))
    tries: list[str] = []
    try:
        async with asyncio.timeout(seconds):
            await _deliver(target, content(), seconds, tries)
    except _Undelivered as error:
        why = str(error)
    except TimeoutError:
        why = f"{tries[-1] if tries else 'no answer'}, and its deadline of {format_duration(seconds)} has passed"
    except Exception as error:  # noqa: BLE001 - no failed delivery may fail a run that worked
        why = f"{type(error).__name__}, which this version does not expect"
    else:
        return ""
    count = f" ({len(tries)} tries)" if len(tries) > 1 else ""
    return f"The notification {target.name!r} was not delivered: {mask.text(one_line(why, 300))}{count}."


async def _deliver(target: NotifyTarget, content: Mapping[str, Any], seconds: float, tries: list[str]) -> None:
    """Post until a request succeeds; note in `tries` why each try failed. Raises _Undelivered if none succeeds."""
    address, body = shaped(target.format, content, target.url.reveal().strip())
    data = json.dumps(body, ensure_ascii=False).encode(errors="replace")
    identity = message_id(content["data"]["run_id"])

    async def once() -> None:
        try:
            async with asyncio.timeout(target.timeout):
                await _post(client, target, address, data, identity)
        except TimeoutError:
            tries.append(f"no answer within {format_duration(target.timeout)}")
            raise _Undelivered(tries[-1], passing=True) from None
        except _Undelivered as error:
            tries.append(str(error))
            raise

    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, _Undelivered) and error.passing),
        stop=tenacity.stop_any(tenacity.stop_after_attempt(target.attempts), tenacity.stop_before_delay(seconds)),
        wait=_wait,
        reraise=True,
    )
    # The address is a secret as a whole: following a redirect would give it, and the message, to another server.
    async with httpx.AsyncClient(verify=_trusted(target), timeout=target.timeout, follow_redirects=False) as client:
        await retrying(once)


async def _post(client: httpx.AsyncClient, target: NotifyTarget, address: str, data: bytes, identity: str) -> None:
    headers = {"content-type": "application/json", "user-agent": f"codex-runner/{codex_runner.__version__}"}
    headers["accept-encoding"] = "identity"
    try:
        headers |= signed_headers(target.key, identity, int(time.time()), data)
    except ValueError as error:
        raise _Undelivered(str(error)) from None
    if target.token:
        headers["authorization"] = f"Bearer {target.token.reveal().strip()}"
    try:
        async with client.stream("POST", address, content=data, headers=headers) as response:
            if response.is_success:
                return
            raise await _refused(response)
    except httpx.TransportError as error:
        raise _unreachable(error) from None
    except (httpx.InvalidURL, ValueError):  # ValueError: a newline in the token, or an invalid port
        raise _Undelivered("its address or token cannot be used") from None


async def _refused(response: httpx.Response) -> _Undelivered:
    """Return the reason in an answer that is not a success. Its first words help; those of an HTML page do not."""
    if response.is_redirect:
        return _Undelivered(f"the answer was {response.status_code}, a redirect; configure the final address")
    text = b""
    # Raw bytes: a compressed answer, which was not asked for, may expand to any size.
    if "html" not in response.headers.get("content-type", "") and "content-encoding" not in response.headers:
        async for piece in response.aiter_raw():
            text += piece
            if len(text) >= _ANSWER_BYTES:
                break
    words = one_line(text[:_ANSWER_BYTES].decode(errors="replace"), 150)
    passing = response.status_code in _TRANSIENT
    wait = retry_after(response.headers.get("retry-after", "")) if passing else None
    return _Undelivered(f"the answer was {response.status_code} {words}".strip(), passing=passing, wait=wait)


def _unreachable(error: httpx.TransportError) -> _Undelivered:
    """Return why there was no answer, from the underlying error: httpx's own words may contain the address."""
    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return _Undelivered("its address or token cannot be used")
    why, passing = why_unreachable(error)
    kind = "no answer in time" if isinstance(error, httpx.TimeoutException) else type(error).__name__
    return _Undelivered(why or kind, passing=passing)


def _wait(state: tenacity.RetryCallState) -> float:
    """Return the backoff: the seconds that the server asks for, else longer with each try."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.wait if isinstance(error, _Undelivered) else None
    return _WAIT(state) if asked is None else asked


def _trusted(target: NotifyTarget) -> ssl.SSLContext | bool:
    if target.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=target.ca_file)
    except OSError as error:  # includes ssl.SSLError
        raise _Undelivered(f"{target.ca_file} cannot be used as ca_file: {error.strerror or error}") from None


def _pieces(target: NotifyTarget) -> list[Secret]:
    """Return each part of a target's secrets that an answer could echo: a server's 404 may contain the path."""
    pieces = target.url.reveal().split("://", 1)[-1].replace("?", "/").replace("&", "/").split("/")[1:]
    return [*target.secrets, *(Secret(target.url.name, piece) for piece in pieces)]
