"""Proves an API key with one request to an address that the job names: codex itself cannot say what a key is worth.

Asked from the host that executes, where that has curl: what it can reach is what codex will reach. The key is in curl's
configuration on stdin, in no command line and no trace of a shell. A host without curl is asked for by the runner.
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
    from codex_runner.domain.ports import Transport
    from codex_runner.domain.secret import Secret

_TIMEOUT = 15.0  # seconds
GUARD = "credential-preflight"
_PLAIN = re.compile(r"[!#-\[\]-~]+", re.ASCII)  # what means nothing within the quotes of curl's configuration


async def check_key(
    url: str, key: Secret, tell: Callable[[Event], None], job: Job, transport: Transport
) -> dict[str, str]:
    """GET `url` with the key as bearer; return what was done, for run.json.

    401 and 403 are a refusal: TokenRefusedError. Whatever else comes back proves nothing for the key nor against it;
    that, or no answer at all, is a warning, since the model service may be reached by another way.
    """
    began = time.monotonic()
    status, asked = None, "the runner"
    if not job.host.is_here:
        status, asked = await _ask_on_host(url, key, job.host, transport), job.host
        if status is None:
            tell(Warned(GUARD, f"{job.host} has no curl to prove the key with: the runner asks, from where it is."))
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
    """Return the HTTP status, 0 where nobody answered."""
    import httpx

    try:
        async with asyncio.timeout(_TIMEOUT), httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False) as client:
            headers = {"Authorization": f"Bearer {key.reveal()}"}
            async with client.stream("GET", url, headers=headers) as answer:  # its body proves nothing: it is not read
                return answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
        return 0


async def _ask_on_host(url: str, key: Secret, host: str, transport: Transport) -> int | None:
    """Return the HTTP status, 0 where nobody answered, None where the host cannot ask."""
    if not _PLAIN.fullmatch(key.reveal()):
        raise CredentialError(f"The key holds characters that no header can, so {host} cannot be asked with it.")
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
