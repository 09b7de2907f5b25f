"""An identity provider (OIDC) on 127.0.0.1 with GitHub's protocol: discovery, keys, and tokens for a job.

The embedded server's transit engine makes and uses the keys, so there is no cryptography here. For the demo and the
tests only: it signs any claims.
"""

from __future__ import annotations

import base64
import http.server
import json
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

from codex_runner.domain.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from codex_runner.demo.vault import VaultServer

_KEY = "ci-issuer"
_MOUNT = "transit-ci-issuer"
_VARIABLES = ("repository", "event_name", "actor", "sha")  # claims that are variables too
NOT_OF_THE_JOB = ("GITHUB_EVENT_PATH", "GITHUB_TRIGGERING_ACTOR")
"""Variables of a real job that `Issuer.environment` does not set."""


def github_claims(repository: str, workflow_file: str, /, **changes: Any) -> dict[str, Any]:
    """Return the claims that GitHub gives a scheduled run of this workflow on main, updated by `changes`.

    A change to None removes the claim.
    """
    owner = repository.split("/", maxsplit=1)[0]
    ref = "refs/heads/main"
    claims = {
        "sub": f"repo:{repository}:ref:{ref}",
        "actor": "ada",
        "event_name": "schedule",
        "job_workflow_ref": f"{repository}/{workflow_file}@{ref}",
        "ref": ref,
        "ref_type": "branch",
        "repository": repository,
        "repository_id": "4711",
        "repository_owner": owner,
        "run_attempt": "1",
        "run_id": "9876543210",
        "runner_environment": "github-hosted",
        "sha": "0123456789abcdef0123456789abcdef01234567",
        "workflow": "release-notes",
        "workflow_ref": f"{repository}/{workflow_file}@{ref}",
    } | changes
    return {name: value for name, value in claims.items() if value is not None}


class Issuer:
    """A context manager that serves `url`, and signs tokens with a key of the given server.

    `failures` are the HTTP statuses of the next requests for a token. `repositories` maps the repositories that
    `url`/api knows to their numbers.
    """

    def __init__(self, server: VaultServer) -> None:
        """Use a running server. Serves nothing yet."""
        self._vault = server
        self._claims: dict[str, Any] = {}
        self._request_token = secrets.token_urlsafe(24)
        self._http: http.server.ThreadingHTTPServer | None = None
        self.url = ""
        self.public_key = ""
        self.failures: list[int] = []
        self.repositories: dict[str, int] = {}

    def __enter__(self) -> Self:
        """Make the key and serve."""
        self._vault.request("POST", f"sys/mounts/{_MOUNT}", {"type": "transit"})
        key = self._vault.request("POST", f"{_MOUNT}/keys/{_KEY}", {"type": "rsa-2048"})
        self.public_key = key["data"]["keys"]["1"]["public_key"]
        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving."""
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()

    def sign(self, claims: Mapping[str, Any], audience: str = "codex-runner") -> Secret:
        """Return a token of this issuer, valid for five minutes unless `claims` differ. None removes a claim."""
        now = int(time.time())
        whole = {"iss": self.url, "aud": audience, "iat": now, "nbf": now - 5, "exp": now + 300, **claims}
        whole = {name: value for name, value in whole.items() if value is not None}
        signed = f"{_encode({'alg': 'RS256', 'typ': 'JWT', 'kid': _KEY})}.{_encode(whole)}"
        answer = self._vault.request(
            "POST",
            f"{_MOUNT}/sign/{_KEY}",
            {
                "input": base64.b64encode(signed.encode()).decode(),
                "hash_algorithm": "sha2-256",
                "signature_algorithm": "pkcs1v15",
                "marshaling_algorithm": "jws",
            },
        )
        return Secret("CI_IDENTITY_TOKEN", f"{signed}.{answer['data']['signature'].rsplit(':', 1)[1]}")

    def environment(self, claims: Mapping[str, Any]) -> dict[str, str]:
        """Return the variables of a GitHub Actions job that may request a token. Later tokens have these claims."""
        self._claims = dict(claims)
        return {
            "GITHUB_ACTIONS": "true",
            **{f"GITHUB_{name.upper()}": str(claims[name]) for name in _VARIABLES if name in claims},
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self._request_token,
        }

    def answer(self, path: str, authorization: str) -> tuple[int, dict[str, Any]]:
        """Answer a GET: status and JSON body."""
        parts = urlsplit(path)
        if parts.path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/keys",
                "id_token_signing_alg_values_supported": ["RS256"],
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
            }
        if parts.path == "/keys":
            modulus, exponent = _rsa_numbers(self.public_key)
            key = {
                "kty": "RSA",
                "alg": "RS256",
                "use": "sig",
                "kid": _KEY,
                "n": _base64(modulus),
                "e": _base64(exponent),
            }
            return 200, {"keys": [key]}
        if parts.path == "/token":
            return self._answer_with_token(parts.query, authorization)
        number = self.repositories.get(parts.path.removeprefix("/api/repos/"))
        return (200, {"id": number}) if number else (404, {"message": "Not Found"})

    def _answer_with_token(self, query: str, authorization: str) -> tuple[int, dict[str, Any]]:
        if self.failures:
            return self.failures.pop(0), {"message": "a requested failure"}
        if authorization != f"Bearer {self._request_token}":
            return 401, {"message": "bad request token"}
        audience = parse_qs(query).get("audience", ["https://github.com/acme"])[0]
        return 200, {"value": self.sign(self._claims, audience).reveal()}


def _handler(issuer: Issuer) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = issuer.answer(self.path, self.headers.get("Authorization", ""))
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
            """Log nothing: stderr is the user's."""

    return Handler


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _encode(value: Mapping[str, Any]) -> str:
    return _base64(json.dumps(value).encode())


def _rsa_numbers(pem: str) -> tuple[bytes, bytes]:
    """Return modulus and exponent of a PEM public key: the last two INTEGERs of its DER."""
    der = base64.b64decode("".join(line for line in pem.splitlines() if "-----" not in line))
    bits = _der_value(_der_value(der, 0x30), 0x03, skip=1)  # SubjectPublicKeyInfo, its BIT STRING
    sequence = _der_value(bits[1:], 0x30)  # after the count of unused bits: RSAPublicKey
    return _der_value(sequence, 0x02).lstrip(b"\0"), _der_value(sequence, 0x02, skip=1)


def _der_value(data: bytes, tag: int, skip: int = 0) -> bytes:
    """Return the content of the element after `skip` others. Raises ValueError if it does not have `tag`."""
    length, start = data[1], 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(data[2 : 2 + size]), 2 + size
    if skip:
        return _der_value(data[start + length :], tag, skip - 1)
    if data[0] != tag:
        raise ValueError(f"the key has tag {data[0]:#x}, but {tag:#x} was expected")
    return data[start : start + length]
