"""Proves an API key with one request to an address that the job names: codex itself cannot check a key.

The host that executes sends the request if it has curl, since codex will have the same network. The key is in curl's
configuration on stdin, and so in no command line and no shell trace. If the host has no curl, the runner sends it.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING

from codex_runner.domain.errors import CredentialError, TokenRefusedError
from codex_runner.domain.event import Guarded, Warned
from codex_runner.domain.failure import Failure
from codex_runner.shell.script import shell_script

if TYPE_CHECKING:
    from collections.abc import Callable

    from codex_runner.domain.event import Event
    from codex_runner.domain.job import Job
    from codex_runner.domain.secret import Secret
    from codex_runner.domain.transport_port import Transport

_TIMEOUT = 15.0  # seconds
GUARD = "credential-preflight"
_PLAIN = re.compile(r"[!#-\[\]-~]+", re.ASCII)  # characters that need no escape within curl's quotes


async def check_key(
    url: str, key: Secret, tell: Callable[[Event], None], job: Job, transport: Transport
) -> dict[str, str]:
    """GET `url` with the key as bearer token. Returns the facts of the request for run.json.

    Raises TokenRefusedError if the answer is 401 or 403. 2xx proves the key. Any other answer, or none, proves nothing:
    that is a warning, since codex may reach the model service by another way.
    """
    began = time.monotonic()
    status, asked = None, "the runner"
    if not job.host.is_here:
        status, asked = await _ask_on_host(url, key, job.host, transport), job.host
        if status is None:
            tell(Warned(GUARD, f"{job.host} has no curl: the runner checks the key from its own machine instead."))
            asked = "the runner"
    if status is None:
        status = await _ask_from_here(url, key)
    done = {"method": "preflight-url", "asked_from": asked}
    if not status:
        _tell_unproven(f"The key could not be proven: {url} did not answer {asked}.", tell)
        return {**done, "answer": "none"}
    refused, proven = status in {401, 403}, 200 <= status < 300
    seconds = time.monotonic() - began
    if refused or proven:
        failure = Failure.CREDENTIAL.value if refused else None
        tell(Guarded(GUARD, proven, f"{url} answered {status}", seconds, failure))
    if refused:
        raise TokenRefusedError(
            f"The key was refused before the agent was started: {url} answered {status}.",
            remedy="Store a fresh key, or correct the job's `credential.preflight_url`.",
        )
    if not proven:
        _tell_unproven(f"The key could not be proven, and was not refused: {url} answered {status}.", tell)
    return {**done, "answer": str(status)}


def _tell_unproven(message: str, tell: Callable[[Event], None]) -> None:
    tell(Guarded.unjudged(GUARD, message))
    tell(Warned(GUARD, message))


async def _ask_from_here(url: str, key: Secret) -> int:
    """Return the HTTP status. Returns 0 if there was no answer."""
    import httpx

    try:
        async with asyncio.timeout(_TIMEOUT), httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False) as client:
            headers = {"Authorization": f"Bearer {key.reveal()}"}
            async with client.stream("GET", url, headers=headers) as answer:  # do not read the body: it proves nothing
                return answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
        return 0


async def _ask_on_host(url: str, key: Secret, host: str, transport: Transport) -> int | None:
    """Return the HTTP status. Returns 0 if there was no answer, None if the host has no curl.

    Raises CredentialError if curl's configuration cannot hold the key.
    """
    if not _PLAIN.fullmatch(key.reveal()):
        raise CredentialError(
            f"The key has characters that an HTTP header cannot hold, so {host} cannot check it.",
            remedy="Store the key again, without spaces, quotes, backslashes or line ends.",
        )
    done = await transport.ask(
        shell_script("codex_runner.codex", "key_preflight.sh"),
        arguments=(url, f"{_TIMEOUT:g}"),
        environment={"PREFLIGHT_KEY": key},
        timeout=_TIMEOUT + 15,
    )
    found = re.search(rb"^status (\d{3})$", done.output, re.MULTILINE)
    if found is None:
        return None if b"no-curl" in done.output else 0
    return int(found[1])
