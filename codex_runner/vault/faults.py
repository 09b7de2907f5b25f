"""How Vault fails to do what it was asked: it refuses, or it is not there. And which of these can pass."""

from __future__ import annotations

import http
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

import requests

from codex_runner.domain.errors import SecretStoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# 412 is a standby that has not caught up yet, 429 a quota. 501, "not initialized", does not pass by itself.
_PASSING_STATUS: Final = frozenset({412, 429, 500, 502, 503, 504})


class Refusal(Exception):  # noqa: N818 - an answer of Vault's, not yet an error of ours
    """Vault answered with a status of 400 or more. `errors` are its own sentences; `data` the answer's `data`."""

    def __init__(self, response: requests.Response) -> None:
        """Read the answer; one that is not Vault's JSON is told by its type alone, for anything may stand in it."""
        self.status = response.status_code
        self.retry_after = response.headers.get("Retry-After")
        try:
            body = response.json()
        except ValueError:
            body = None
        errors = body.get("errors") if isinstance(body, dict) else None
        kind = response.headers.get("Content-Type", "nothing")
        self.errors: tuple[str, ...] = tuple(map(str, errors)) if isinstance(errors, list) else ()
        data = body.get("data") if isinstance(body, dict) else None
        self.data: dict[str, Any] = data if isinstance(data, dict) else {}
        self.is_vaults = isinstance(body, dict)
        told = " ".join("; ".join(self.errors).split()) if self.is_vaults else f"the answer is {kind}, not Vault's JSON"
        super().__init__(told)

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
        """Whether this is no answer to the question, but a server that cannot answer, or that is not Vault."""
        return not self.is_vaults or self.can_pass or self.status == http.HTTPStatus.NOT_IMPLEMENTED

    @property
    def sealed(self) -> bool:
        """Whether the server is there and sealed."""
        return self.status == http.HTTPStatus.SERVICE_UNAVAILABLE and "sealed" in str(self)

    @property
    def dead_token(self) -> bool:
        """Whether the token itself is no longer known, in contrast to a policy that forbids the path.

        A policy's refusal is wrapped ("1 error occurred: * permission denied"); an unknown token's is bare, or
        says "invalid token" (HashiCorp Vault 1.13 and later).
        """
        return self.status == http.HTTPStatus.FORBIDDEN and (
            self.errors == ("permission denied",) or "invalid token" in str(self)
        )


def can_pass(error: BaseException) -> bool:
    """Whether trying again may help. A wrong name, a bad certificate and a refusal do not pass."""
    if isinstance(error, Refusal):
        return error.can_pass
    if isinstance(error, requests.exceptions.ConnectionError | requests.exceptions.Timeout):
        causes = list(_causes(error))
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
            return False
        if any("Tunnel connection failed: 4" in str(cause) for cause in causes):  # the proxy wants something else
            return False
        return not any(isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME for cause in causes)
    return isinstance(error, requests.exceptions.ChunkedEncodingError)


def never_sent(error: requests.RequestException) -> bool:
    """Whether the request certainly never reached the server: there was no connection."""
    return isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.SSLError) or any(
        isinstance(cause, ConnectionRefusedError | socket.gaierror) for cause in _causes(error)
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk down to what the operating system said: urllib3 keeps it in `reason` and in `args`."""
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
    """Say the deepest cause in the system's own words, without addresses of pools and objects."""
    for cause in reversed(list(_causes(error))):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}"
        if isinstance(cause, OSError) and not isinstance(cause, requests.RequestException):
            return cause.strerror or str(cause)
    return " ".join(str(error).split())


def part(answer: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object within an answer, an empty one where it is missing. SecretStoreError where it is none."""
    value = answer.get(name) or {}
    if not isinstance(value, dict):
        raise SecretStoreError(
            f"Vault's answer cannot be read: its {name!r} is not an object.",
            remedy="Something that is not Vault may answer there: check VAULT_ADDR (or `vault.address`) and the proxy.",
        )
    return value
