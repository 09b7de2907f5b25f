"""HTTP to a third party: no environment, few redirects, bounded answers, one deadline for each request."""

from __future__ import annotations

import http
import json
import socket
import threading
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit

import requests
import requests.adapters
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from codex_runner.engine.bounded import ANSWER_BYTES, run_within
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from codex_runner.engine.bounded import StopFlag

_REDIRECTS: Final = 3  # a standby points to the active node: one is usual
_PIECE: Final = 1 << 16

GRACE: Final = 2.0
"""Seconds that a request in flight keeps after its caller was told to stop: its answer is worth having."""


class UnfitAnswer(requests.RequestException):
    """An answer that the session rejects: too large, compressed unasked, or a redirect to another place."""


class TooSlow(requests.exceptions.Timeout):
    """The full answer did not arrive before the request's deadline."""


class VaultSession(requests.Session):
    """A requests session that reads nothing from the environment.

    It follows only a standby's redirect: 307 or 308, to the same path, never from TLS to plain HTTP. Any other
    redirect would show the token to a login page or another server. It reads the whole answer, up to ANSWER_BYTES,
    and rejects a compressed one, which could expand to any size.
    """

    def __init__(self, verify: bool | str, cert: tuple[str, str] | None, proxies: Mapping[str, str]) -> None:  # noqa: FBT001 - as requests calls it
        """Opens no connection yet."""
        super().__init__()
        self.trust_env = False
        self.verify, self.cert, self.proxies = verify, cert, dict(proxies)
        self.headers["Accept-Encoding"] = "identity"
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter())

    def within(self, seconds: float, ask: Callable[[], Any], stop: StopFlag) -> Any:
        """Make a request within `seconds`, and return what `ask` returns. Raises TooSlow if it takes longer.

        Raises StoppedError if it is not over GRACE seconds after `stop` is set.
        """
        try:
            return run_within(seconds, ask, stop=stop, grace=GRACE, abandon=_cut)
        except TimeoutError:
            raise TooSlow(f"no answer in full within {format_duration(seconds)}") from None

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Make a request as `requests` does. Raises UnfitAnswer too."""
        kwargs |= {"stream": True, "allow_redirects": False}
        try:
            return self._follow(str(method), str(url), *args, **kwargs)
        finally:
            _waiting.pop(threading.get_ident(), None)

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - as requests calls it
        """Return None: `_follow` follows redirects, since `requests` would first read a redirect's whole body."""
        return None

    def _follow(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:
        for _ in range(_REDIRECTS + 1):
            try:
                answer = super().request(method, url, *args, **kwargs)
            except UnicodeError:
                raise requests.exceptions.InvalidHeader("a header cannot hold it") from None
            with answer:
                target = _standby_target(answer)
                if target is None:
                    _read(answer)
                    return answer
            url = target
            kwargs.pop("params", None)  # the target holds them already
        raise requests.exceptions.TooManyRedirects("it redirects in circles")


def document(answer: requests.Response) -> Any:
    """Return an answer's JSON. Returns None if it holds none."""
    try:
        return json.loads(answer.content)
    except (ValueError, RecursionError):
        return None


def _standby_target(answer: requests.Response) -> str | None:
    """Return the target of a standby's redirect. Returns None if this is no redirect."""
    location = answer.headers.get("Location")
    if not location or not answer.is_redirect:
        return None
    here = urlsplit(str(answer.url))
    try:
        target = urljoin(str(answer.url), location)
        there = urlsplit(target)
        host = there.hostname
    except ValueError:
        raise UnfitAnswer("it redirects to a malformed address") from None
    if here.scheme == "https" and there.scheme == "http":
        raise UnfitAnswer("it redirects from https to http, which would show the token")
    moved = {http.HTTPStatus.TEMPORARY_REDIRECT, http.HTTPStatus.PERMANENT_REDIRECT}
    same = (there.path, there.query) == (here.path, here.query)
    if answer.status_code not in moved or not same or there.scheme not in {"http", "https"}:
        raise UnfitAnswer(f"it redirects to {host or 'nowhere'}, which must not get the token")
    return target


def _read(answer: requests.Response) -> None:
    """Read the body, as it is on the wire."""
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise UnfitAnswer("its answer is compressed, but the request did not ask for that")
    large = UnfitAnswer(f"its answer is larger than {ANSWER_BYTES >> 20} MiB")
    told = answer.headers.get("Content-Length", "")
    if told.isdecimal() and int(told[:20]) > ANSWER_BYTES:
        raise large
    body = bytearray()
    try:
        while piece := answer.raw.read(_PIECE, decode_content=False):
            body += piece
            if len(body) > ANSWER_BYTES:
                raise large
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.exceptions.ReadTimeout(error) from None
    except urllib3.exceptions.SSLError as error:
        raise requests.exceptions.SSLError(error) from None
    except urllib3.exceptions.ProtocolError as error:
        raise requests.exceptions.ChunkedEncodingError(error) from None
    answer._content = bytes(body)  # noqa: SLF001 - requests keeps it there
    answer._content_consumed = True  # noqa: SLF001 - likewise


# --- the connections, each known by the thread that waits for it -----------------------------------------------------

_waiting: dict[int, HTTPConnection] = {}


class _Connection(HTTPConnection):
    def request(self, *args: Any, **kwargs: Any) -> None:
        _waiting[threading.get_ident()] = self
        super().request(*args, **kwargs)


class _TlsConnection(HTTPSConnection):
    def request(self, *args: Any, **kwargs: Any) -> None:
        _waiting[threading.get_ident()] = self
        super().request(*args, **kwargs)


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS: Final = {"http": _Pool, "https": _TlsPool}


class _Adapter(requests.adapters.HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


def _cut(thread: int) -> None:
    """Shut down the connection on which `thread` waits: its answer is no longer wanted."""
    connection = _waiting.pop(thread, None)
    line = connection.sock if connection is not None else None
    if line is not None:
        try:
            # Not SSLSocket's own shutdown: another thread must not call that meanwhile.
            socket.socket.shutdown(line, socket.SHUT_RDWR)
        except OSError:
            return  # it has closed by itself
