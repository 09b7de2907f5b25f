"""HTTP to a forge: no environment, no redirects, bounded answers, retries with backoff within a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlencode, urlsplit

import httpx
import tenacity

import codex_runner
from codex_runner.dataclass import dataclass
from codex_runner.delivery.answer import Answer, MalformedError, take
from codex_runner.delivery.limits import MINUTE, WritePace, is_limited, is_passing, wait_of
from codex_runner.domain.errors import ConfigurationError, CredentialError, DeliveryError, ForgeUnreachableError
from codex_runner.engine.server_faults import why_unreachable
from codex_runner.redaction.redactor import Redactor
from codex_runner.text.durations import format_duration
from codex_runner.text.excerpts import one_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence

    from codex_runner.domain.secret import Secret

DEADLINE: Final = 180.0  # seconds for a request with all its retries
_ANSWER_BYTES: Final = 16 << 20  # 20 pull requests with the longest bodies, and more
_SLOWEST: Final = 100_000  # bytes a second that a line sends
_PAGE: Final = 20
PAGES: Final = 10
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_BACKOFF: Final = tenacity.wait_random_exponential(multiplier=0.5, min=0.2, max=8.0)


@dataclass(frozen=True, slots=True)
class ForgeEndpoint:
    """A forge's API, without a slash at its end. `ca_file` and `proxy` are None if the system's own will do."""

    api: str
    ca_file: str | None = None
    proxy: str | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds for a request with all its retries (`deadline`), and for httpx's steps of one try (`timeout`).

    `on_retry` gets a sentence, once a request, when its tries take longer than `quiet`. `now` and `sleep` are the time
    itself: a test has one that does not wait.
    """

    deadline: float = DEADLINE
    timeout: float = 30.0
    quiet: float = 5.0
    on_retry: Callable[[str], None] = lambda _: None
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True, slots=True)
class Manners:
    """How the runner talks to one kind of forge.

    `name` is the forge in messages. `headers` has all but the token, `sign` returns the token's. `remedy` returns what
    to do about a refusal, None if the default is best. `is_early` tells a refusal that passes once the forge knows of
    what has just been pushed.
    """

    name: str
    headers: Mapping[str, str]
    sign: Callable[[str], dict[str, str]]
    remedy: Callable[[Answer], str | None]
    is_early: Callable[[Answer], bool]


class ForgeClient:
    """A client of one forge with one token. All requests of a delivery share it, and its pace."""

    def __init__(
        self,
        endpoint: ForgeEndpoint,
        secret: Secret,
        manners: Manners,
        timing: Timing | None = None,
    ) -> None:
        """Open no connection yet. Raises ConfigurationError if the address, the proxy or the CA file cannot be used."""
        _require_address(endpoint.api, "The forge's API", "`delivery.api`")
        if endpoint.proxy is not None:
            _require_address(endpoint.proxy, "The forge's proxy", "`delivery.proxy`, HTTPS_PROXY or HTTP_PROXY")
        self.api = endpoint.api.rstrip("/")
        self._manners, self._timing = manners, timing or Timing()
        self._pace = WritePace(self._timing.now, self._timing.sleep)
        self._mask = Redactor([secret])
        headers = {"user-agent": f"codex-runner/{codex_runner.__version__}", "accept-encoding": "identity"}
        token = secret.reveal().strip()
        if not (token.isascii() and token.isprintable()):
            raise CredentialError("The forge's token holds characters that no header can carry.")
        self._http = httpx.AsyncClient(
            headers={**headers, **manners.headers, **manners.sign(token)},
            verify=_trusted(endpoint.ca_file),
            proxy=endpoint.proxy,
            timeout=self._timing.timeout,
            follow_redirects=False,
            trust_env=False,
        )

    @property
    def name(self) -> str:
        """The forge, in messages."""
        return self._manners.name

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections. Idempotent."""
        await self._http.aclose()

    async def request(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        body: Any = None,
        accept: Collection[int] = (),
    ) -> Answer:
        """Make a request, and again while its failure can pass. Returns an answer of 2xx, or one of `accept`.

        `path` is below the API, or a whole address of the forge. `doing` completes "could not ...". A request may be
        done although its answer is lost. Raises CredentialError for 401, ForgeUnreachableError once the deadline is
        over, DeliveryError for any other answer.
        """
        address = path if path.startswith(("http://", "https://")) else f"{self.api}{path}"
        content = None if body is None else json.dumps(body).encode()
        begin, tries, told = self._timing.now(), 0, False

        async def once() -> Answer:
            nonlocal tries
            tries += 1
            if method != "GET":
                await self._pace.take()
            answer = await self._send(method, address, content)
            if is_passing(answer) or self._manners.is_early(answer):
                raise _Passing(answer=answer)
            return answer

        def tell(state: tenacity.RetryCallState) -> None:
            nonlocal told
            error = state.outcome.exception() if state.outcome else None
            if told or not isinstance(error, _Passing):
                return
            if self._timing.now() - begin + state.upcoming_sleep > self._timing.quiet:
                told = True
                until = format_duration(self._timing.deadline)
                why = self._why(error)
                self._timing.on_retry(
                    f"{self.name} could not {doing}: {why}. The runner tries again for {until} in all."
                )

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_Passing),
            wait=self._wait,
            stop=lambda state: self._timing.now() - begin + state.upcoming_sleep > self._timing.deadline,
            sleep=self._timing.sleep,
            before_sleep=tell,
            reraise=True,
        )
        try:
            answer: Answer = await retrying(once)
        except _Passing as error:
            raise self._given_up(error, doing, tries) from None
        if 200 <= answer.status < 300 or answer.status in accept:
            return answer
        raise self.refusal(answer, doing)

    async def pause(self, seconds: float) -> None:
        """Wait, by the time that all requests have."""
        if seconds:
            await self._timing.sleep(seconds)

    async def listing(self, path: str, query: Mapping[str, str], doing: str) -> Sequence[Any]:
        """Return the entries of a listing: the first PAGES pages."""
        entries: list[Any] = []
        for page in range(1, PAGES + 1):
            words = urlencode({**query, "per_page": str(_PAGE), "page": str(page)})
            answer = await self.request("GET", f"{path}?{words}", doing)
            with self.understood(doing):
                entries += take(answer.document, list)
            if 'rel="next"' not in answer.headers.get("link", ""):
                break
        return entries

    def refusal(self, answer: Answer, doing: str) -> CredentialError | DeliveryError:
        """Return the error for an answer that refuses a request."""
        said = f"{answer.status} {self.shown(answer.words)}".strip()
        if answer.status == 401:
            return CredentialError(
                f"{self.name} refused the token: {said}.",
                remedy="Check the delivery's `credential`: its token may have expired, or belong to another forge.",
            )
        if answer.status in _REDIRECTS:
            return DeliveryError(
                f"{self.name} could not {doing}: it redirects ({answer.status}), and no other address gets the token.",
                remedy="Set `delivery.repository`, `delivery.base` and `delivery.api` to their present names.",
            )
        return DeliveryError(f"{self.name} could not {doing}: {said}.", remedy=self._manners.remedy(answer))

    def shown(self, words: str) -> str:
        """Return a forge's words for a message: on one line, bounded, without the token."""
        # Before, since half a token is not found; and after, since what is not shown may stand within one.
        return self._mask.text(one_line(self._mask.text(words), 300)).rstrip(".")

    @contextlib.contextmanager
    def understood(self, doing: str) -> Iterator[None]:
        """Turn MalformedError into a DeliveryError: what is not understood is no success."""
        try:
            yield
        except MalformedError as error:
            raise DeliveryError(
                f"{self.name} could not {doing}: its answer is not understood: {self.shown(str(error))}.",
                remedy="Check `delivery.api`, and whether a proxy answers in the forge's place.",
            ) from None

    async def _send(self, method: str, address: str, content: bytes | None) -> Answer:
        headers = {} if content is None else {"content-type": "application/json"}
        # A server that drips keeps within each of httpx's own limits. A large body may take its time.
        limit = self._timing.timeout * 2 + len(content or b"") / _SLOWEST
        try:
            async with (
                asyncio.timeout(limit),
                self._http.stream(method, address, content=content, headers=headers) as response,
            ):
                return Answer(response.status_code, dict(response.headers), await _read(response))
        except TimeoutError:
            raise _Passing(why=f"no answer within {format_duration(limit)}") from None
        except MalformedError as error:
            raise DeliveryError(f"{self.name}'s answer cannot be used: {error}.") from None
        except httpx.TransportError as error:
            why, can_pass = why_unreachable(error)
            if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
                why, can_pass = "its address or token cannot be used", False
            if can_pass:
                raise _Passing(why=why or _kind_of(error)) from None
            raise ForgeUnreachableError(f"{self.name} cannot be reached: {why}.") from None
        except httpx.InvalidURL:
            raise ConfigurationError(
                f"{self.name}'s address cannot be used.", remedy="Correct `delivery.api`."
            ) from None

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """Return the seconds until the next try: those that the forge asks for, else longer with each try."""
        error = state.outcome.exception() if state.outcome else None
        answer = error.answer if isinstance(error, _Passing) else None
        asked = None if answer is None else wait_of(answer)
        if asked is None and answer is not None and is_limited(answer):
            asked = MINUTE * 2 ** (state.attempt_number - 1)  # as GitHub's documentation says
        return _BACKOFF(state) if asked is None else asked

    def _given_up(self, error: _Passing, doing: str, tries: int) -> DeliveryError:
        count = f" ({tries} tries)" if tries > 1 else ""
        said = self._why(error)
        if error.answer is None:
            return ForgeUnreachableError(f"{self.name} could not {doing}: {said}{count}.")
        asked = wait_of(error.answer)
        if asked is None and not is_limited(error.answer):
            return ForgeUnreachableError(f"{self.name} could not {doing}: {said}{count}.")
        until = f" It asks to wait {format_duration(asked)}." if asked is not None else ""
        return ForgeUnreachableError(
            f"{self.name} could not {doing}: {said}{count}.{until}",
            remedy="Deliver again later: the token has reached the forge's limit.",
        )

    def _why(self, error: _Passing) -> str:
        """Return why a request failed: the forge's answer, or that the API's address gave none."""
        if error.answer is None:
            return f"{error.why} at {self.api}"
        return f"{error.answer.status} {self.shown(error.answer.words)}".strip()


class _Passing(Exception):  # noqa: N818 - not an error of the run: it is tried again
    """A failure that can pass: an answer, or `why` there was none."""

    def __init__(self, *, answer: Answer | None = None, why: str = "") -> None:
        super().__init__(why)
        self.answer, self.why = answer, why


def _kind_of(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.ProxyError):
        return "the proxy refuses the connection"
    return "no answer in time" if isinstance(error, httpx.TimeoutException) else type(error).__name__


async def _read(response: httpx.Response) -> bytes:
    """Read the body as it is on the wire. Raises MalformedError if it is too large, or compressed unasked."""
    if response.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise MalformedError("it is compressed, but the request did not ask for that")
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > _ANSWER_BYTES:
            raise MalformedError(f"it is larger than {_ANSWER_BYTES >> 20} MiB")
    return bytes(body)


def _require_address(address: str, what: str, name: str) -> None:
    """Raise ConfigurationError if httpx could not connect to an address, which may hold a password."""
    try:
        parts = urlsplit(address)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise ConfigurationError(f"{what} is not an http(s) address.", remedy=f"Correct {name}.")


def _trusted(ca_file: str | None) -> ssl.SSLContext | bool:
    if ca_file is None:
        return True
    try:
        if Path(ca_file).is_dir():
            return ssl.create_default_context(capath=ca_file)
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # includes ssl.SSLError
        raise ConfigurationError(
            f"The CA file {ca_file} cannot be used: {error.strerror or error}.",
            remedy="Name a PEM file of the CA that signed the forge's certificate.",
        ) from None
