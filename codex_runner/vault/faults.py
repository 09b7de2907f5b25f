"""Vault's failures: refusals and outages, and which of them are transient."""

from __future__ import annotations

import http
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

import requests
from urllib3.exceptions import NewConnectionError

from codex_runner.domain.errors import SecretStoreError
from codex_runner.vault.http import TooSlow, UnfitAnswer, document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# 412 is a standby that has not caught up yet, 429 a quota. 501, "not initialized", is not transient.
_PASSING_STATUS: Final = frozenset({412, 429, 500, 502, 503, 504})

# Vault's own numbers, which no other server uses.
_OF_VAULT: Final = {
    472: "it is a disaster recovery secondary, which serves no requests",
    473: "it is a performance standby that does not forward",
}
_ACTED: Final = frozenset({500, 502, 504})  # the request may have arrived, and what it asks for may be done

# OpenSSL's reasons that stay until the server or its address is corrected.
_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL"})
_DROPPED: Final = frozenset({"UNEXPECTED_EOF_WHILE_READING", "TLSV1_ALERT_INTERNAL_ERROR"})

_ASKED_PLAINLY: Final = b"HTTP request to an HTTPS server"  # Go's server, which Vault is


class VaultRefusal(Exception):  # noqa: N818 - an answer of Vault's, not yet an error of ours
    """Vault answered with a status of 400 or more. `errors` are its own sentences, `data` is the answer's `data`."""

    def __init__(self, response: requests.Response) -> None:
        """Read the answer. If it is not Vault's JSON, keep only its type: its text could hold anything."""
        self.status = response.status_code
        self.retry_after = response.headers.get("Retry-After")
        body = document(response)
        errors = body.get("errors") if isinstance(body, dict) else None
        kind = response.headers.get("Content-Type", "nothing")
        self.errors: tuple[str, ...] = tuple(map(str, errors)) if isinstance(errors, list) else ()
        data = body.get("data") if isinstance(body, dict) else None
        self.data: dict[str, Any] = data if isinstance(data, dict) else {}
        self.is_vaults = isinstance(body, dict)
        # Other servers answer with objects as well, but not with these.
        self._in_vaults_words = isinstance(body, dict) and (isinstance(errors, list) or "data" in body)
        self.wants_tls = _ASKED_PLAINLY in response.content[:200]
        told = " ".join("; ".join(self.errors).split()) if self.is_vaults else f"the answer is {kind}, not Vault's JSON"
        if self.wants_tls:
            told = "it speaks TLS, and the request came without"
        super().__init__(_OF_VAULT.get(self.status, told))

    def __str__(self) -> str:
        """Say it in one line, with the status."""
        told = str(self.args[0])
        return f"{told} (HTTP {self.status})" if told else f"HTTP {self.status}"

    @property
    def can_pass(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in _PASSING_STATUS

    @property
    def is_outage(self) -> bool:
        """Whether the server cannot answer, or is not Vault: then this says nothing about the request."""
        silent = self.status == http.HTTPStatus.NOT_IMPLEMENTED or self.status in _OF_VAULT
        return not self.is_vaults or self.can_pass or silent

    @property
    def sealed(self) -> bool:
        """Whether the server is there and sealed."""
        return self.status == http.HTTPStatus.SERVICE_UNAVAILABLE and "sealed" in str(self)

    @property
    def is_bare(self) -> bool:
        """Whether Vault gave no reason. KV gives none for a missing path; a path without a mount has one."""
        return self.is_vaults and not self.errors

    @property
    def may_have_acted(self) -> bool:
        """Whether Vault may have acted on the request in spite of this answer: it broke off, or the answer is not its.

        A proxy in between may have spoilt the answer on its way back. A proxy that wants a login or TLS first has not
        passed the request on.
        """
        if self.wants_tls or self.status == http.HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            return False
        return self.status in _ACTED or (self.status not in _OF_VAULT and not self._in_vaults_words)


def can_pass(error: BaseException) -> bool:
    """Whether a retry may help. A wrong name, a bad certificate, a proxy's demand and a refusal are not transient."""
    if isinstance(error, VaultRefusal):
        return error.can_pass
    if isinstance(error, requests.exceptions.ConnectionError | requests.exceptions.Timeout):
        causes = list(_causes(error))
        if any(_is_for_good(cause) for cause in causes if isinstance(cause, ssl.SSLError)):
            return False
        if isinstance(error, requests.exceptions.SSLError) and any(isinstance(cause, OSError) for cause in causes):
            # A certificate file that is missing or cannot be read.
            return not any(isinstance(cause, FileNotFoundError | PermissionError) for cause in causes)
        if any("Tunnel connection failed: 4" in str(cause) for cause in causes):  # the proxy refused with a 4xx
            return False
        return not any(isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME for cause in causes)
    return isinstance(error, requests.exceptions.ChunkedEncodingError)


def _is_for_good(error: ssl.SSLError) -> bool:
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return False
    return (error.reason or "") not in _DROPPED and "timed out" not in str(error)


def never_sent(error: requests.RequestException) -> bool:
    """Whether the request certainly never reached the server: there was no connection, or no trust in it."""
    if isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.InvalidHeader):
        return True
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):  # after the handshake, TLS can break in the middle of a request too
            return isinstance(cause, ssl.SSLCertVerificationError) or cause.reason in _NO_TLS
        if "Tunnel connection failed" in str(cause) and isinstance(cause, OSError):
            return True
    return any(isinstance(cause, ConnectionRefusedError | socket.gaierror | NewConnectionError) for cause in causes)


def remedy_for(error: Exception) -> str:
    """Return the remedy for a server that gave no answer, or none of Vault's."""
    for matches, remedy in _REMEDIES:
        if matches(error):
            return remedy
    return "Check that VAULT_ADDR (or `vault.address`) is right and that the server is up; then run again."


def _has_reason(error: Exception, reasons: frozenset[str]) -> bool:
    return any(isinstance(cause, ssl.SSLError) and cause.reason in reasons for cause in _causes(error))


_REMEDIES: Final[tuple[tuple[Callable[[Exception], bool], str], ...]] = (
    (lambda error: isinstance(error, VaultRefusal) and error.sealed, "Unseal it: `vault operator unseal`."),
    (
        lambda error: isinstance(error, VaultRefusal) and error.wants_tls,
        "Write https:// in VAULT_ADDR (or `vault.address`).",
    ),
    (
        lambda error: isinstance(error, VaultRefusal) and error.status in _OF_VAULT,
        "Point VAULT_ADDR (or `vault.address`) to the primary cluster's active node.",
    ),
    (
        lambda error: isinstance(error, VaultRefusal) and error.status == http.HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
        "Give the proxy its login: write http://USER:PASSWORD@HOST in VAULT_PROXY_ADDR (or HTTPS_PROXY).",
    ),
    (
        lambda error: isinstance(error, UnfitAnswer) or (isinstance(error, VaultRefusal) and not error.is_vaults),
        "Something that is not Vault answers there: check VAULT_ADDR (or `vault.address`) and the proxy.",
    ),
    (
        lambda error: isinstance(error, VaultRefusal) and error.status == http.HTTPStatus.TOO_MANY_REQUESTS,
        "Run fewer jobs at once, or raise Vault's rate-limit quota.",
    ),
    (
        lambda error: isinstance(error, requests.exceptions.ProxyError),
        "Vault itself was not asked: check VAULT_PROXY_ADDR, HTTPS_PROXY, HTTP_PROXY (or `vault.proxy`) and NO_PROXY.",
    ),
    (
        lambda error: _has_reason(error, _NO_TLS),
        "Correct the port in VAULT_ADDR (or `vault.address`), or write http:// if the server is meant to be without.",
    ),
    (
        lambda error: any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)),
        "Name the CA that signed the server's certificate in VAULT_CACERT (or `vault.ca_file`).",
    ),
    (
        lambda error: isinstance(error, requests.exceptions.SSLError),
        "Check which TLS versions the server accepts, and whether it wants a client certificate (VAULT_CLIENT_CERT).",
    ),
)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the chain of causes down to the operating system's error: urllib3 keeps it in `reason` and in `args`."""
    seen: set[int] = set()
    todo: list[Any] = [error]
    while todo:
        current = todo.pop()
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        todo += [current.__context__, current.__cause__, getattr(current, "reason", None), *current.args]


def root_cause(error: BaseException) -> str:
    """Return the deepest cause in the system's own words, without addresses of objects or a header's value."""
    if isinstance(error, requests.exceptions.InvalidHeader):
        return "the value to send cannot stand in a header"
    if isinstance(error, UnfitAnswer | TooSlow):
        return str(error)
    for cause in reversed(list(_causes(error))):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
            return "it does not speak TLS"
        if isinstance(cause, OSError) and not isinstance(cause, requests.RequestException):
            return cause.strerror or str(cause)
    return " ".join(str(error).split())


def part(answer: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object within an answer; empty if it is missing. Raises SecretStoreError if it is not an object."""
    value = answer.get(name) or {}
    if not isinstance(value, dict):
        raise SecretStoreError(
            f"Vault's answer cannot be read: its {name!r} is not an object.",
            remedy="Something that is not Vault may answer there: check VAULT_ADDR (or `vault.address`) and the proxy.",
        )
    return value
