"""Proves an API key with one request to an address that the job names: codex itself cannot say what a key is worth.

Asked from the runner, not from the host that executes: the key travels in a header, and a host need not have a tool
that can be given one without showing it to `ps`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from codex_runner.domain.errors import CredentialError
from codex_runner.domain.event import Guarded, Warned
from codex_runner.domain.run import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from codex_runner.domain.event import Event
    from codex_runner.domain.secret import Secret

_TIMEOUT = 15.0  # seconds
GUARD = "credential-preflight"


async def check_key(url: str, key: Secret, tell: Callable[[Event], None]) -> dict[str, str]:
    """GET `url` with the key as bearer; return what was done, for run.json.

    401 and 403 are a refusal: CredentialError. Whatever else comes back proves nothing against the key; that, or no
    answer at all, is a warning, since the model service may be reached by another way.
    """
    import httpx  # noqa: PLC0415 - for jobs with a `preflight_url` alone

    began = time.monotonic()
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False) as client:
            answer = await client.get(url, headers={"Authorization": f"Bearer {key.reveal()}"})
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        tell(Warned(GUARD, f"The key could not be proven: {url} did not answer ({type(error).__name__})."))
        return {"method": "preflight-url", "answer": "none"}
    said = f"{answer.status_code} {answer.reason_phrase}"
    refused = answer.status_code in {401, 403}
    seconds = time.monotonic() - began
    failure = Failure.CREDENTIAL.value if refused else None
    tell(Guarded(GUARD, not refused, f"{url} answered {said}", seconds, failure))
    if refused:
        raise CredentialError(
            f"The key was refused before the agent was started: {url} answered {said}.",
            remedy="Store a fresh key, or correct the job's `credential.preflight_url`.",
        )
    if not answer.is_success:
        tell(Warned(GUARD, f"The key could not be proven: {url} answered {said}."))
    return {"method": "preflight-url", "answer": said}
