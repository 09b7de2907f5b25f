"""Classifies a failure by codex's error message: one table, from which ci/docs writes docs/failures.md, too.

codex gives its errors no type in `exec --json`. It builds sentences: `unexpected status 403 Forbidden: BODY, url: ...`,
`exceeded retry limit, last status: 429 Too Many Requests`, and special ones for errors that it knows. So the HTTP
status counts first, then `code` and `type` of a JSON body, then words. codex 0.163 and 0.171 print each sentence.

Only codex's own error messages come here: never a message of the agent, and never the output of a command.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from codex_runner.dataclass import dataclass
from codex_runner.domain.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Row:
    """The signs of a class: HTTP statuses, `code` or `type` of a JSON body, words (a regex that ignores case)."""

    failure: Failure
    statuses: tuple[int, ...] = ()
    codes: tuple[str, ...] = ()
    words: str = ""

    def has_words(self, text: str) -> bool:
        """Return True if `text` has the row's words."""
        return bool(self.words) and re.search(self.words, text, re.IGNORECASE) is not None


# First match wins: the narrow rows come first. Apostrophes may be typographic.
ROWS = (
    Row(
        Failure.RESPONSE_INCOMPLETE,
        words=r"incomplete response returned, reason",
    ),
    Row(
        Failure.QUOTA,
        statuses=(402,),
        codes=(
            "usage_limit_reached",
            "usage_not_included",
            "insufficient_quota",
            "billing_hard_limit_reached",
            "billing_not_active",
        ),
        words=r"hit your usage limit|usage limit has been reached|quota exceeded|exceeded your current quota"
        r"|check your plan and billing|out of credits|insufficient (credits|funds|balance)|spend cap"
        r"|codex with your chatgpt plan"
        r"|usage_limit_reached|usage_not_included|insufficient_quota",
    ),
    Row(
        Failure.PROXY,
        statuses=(407,),
        words=r"proxy authentication required",
    ),
    Row(
        Failure.CREDENTIAL,
        statuses=(401, 403),
        codes=("invalid_api_key", "invalid_token", "token_expired", "token_revoked", "account_deactivated"),
        words=r"unauthorized|forbidden|invalid_api_key|incorrect api key|token (has )?expired|not logged in"
        r"|could not be refreshed|cloud config bundle|workspace-managed policies|missing environment variable",
    ),
    Row(
        Failure.RATE_LIMIT,
        statuses=(429,),
        codes=("rate_limit_exceeded", "rate_limit_error", "slow_down"),
        words=r"too many requests|rate limit",
    ),
    Row(
        Failure.CONTEXT_FULL,
        statuses=(413,),
        codes=("context_length_exceeded",),
        words=r"context window|context_length_exceeded|ran out of room",
    ),
    Row(
        Failure.UNKNOWN_MODEL,
        codes=("model_not_found", "DeploymentNotFound"),
        words=r"(?<![-./])\b(model|deployment)\b(?![-./]| context protocol)[^<>{}]{0,160}?"
        r"\b(does not exist|not (found|supported|available))|model_not_found",
    ),
    Row(
        Failure.NOT_FOUND,
        statuses=(404,),
    ),
    Row(
        Failure.CAPACITY,
        statuses=(408, 409, *range(500, 600)),
        codes=("server_error", "server_is_overloaded", "overloaded_error", "internal_error"),
        words=r"at capacity|capacity (is )?unavailable|overloaded|experiencing high demand|internal server error",
    ),
    Row(
        Failure.NETWORK,
        words=r"stream disconnected|idle timeout|connection (failed|refused|reset)|error sending request"
        r"|reading the server response|transport error|network error|dns error|timed out|waiting for network",
    ),
    Row(
        Failure.BAD_REQUEST,
        statuses=(400, 422),
        codes=("invalid_request_error", "invalid_prompt", "cyber_policy", "bio_policy"),
        words=r"bad request|invalid_request_error|\Ainvalid prompt\b|\b(prompt|request|content)\b.{0,40}\bflagged\b",
    ),
    Row(
        Failure.THREAD_LOST,
        words=r"thread/resume failed",
    ),
)
# A status or code of these classes is general: the code or the words of a narrower class have precedence.
NARROWER = {
    Failure.BAD_REQUEST: (Failure.CONTEXT_FULL, Failure.UNKNOWN_MODEL),
    Failure.NOT_FOUND: (Failure.UNKNOWN_MODEL,),
    Failure.RATE_LIMIT: (Failure.QUOTA,),
}

# Only codex's own words may precede the status: no quote, brace or tag, since a service's text would have those.
_STATUS = re.compile(r"""\A[^"'{}<>\n]{0,160}?(?:unexpected|last|failed with|\() ?status:? (\d{3})\b""")
_URL = re.compile(r", url: \S+(, (cf-ray|request id|auth error( code)?): [^,]*)*\s*\Z")


_READ = 16_384  # characters


def classify(message: str) -> Failure:
    """Return the class of a codex error. Returns UNKNOWN if no row matches: never retried, never a success."""
    # A service may answer with a page of any length, and the signs of the class are at its beginning.
    text = _URL.sub("", message if len(message) <= _READ else message[:_READ] + message[-_READ // 4 :])
    # codex may print one of its own events instead of a sentence: that is no body.
    body = None if text.startswith('{"type": "turn.failed"') else _body(text)
    status = _STATUS.match(text)
    found = _of_status(int(status[1])) if status else None
    found = found or _of_codes(body, ROWS) or (Failure.BAD_REQUEST if _is_refusal(text, body) else None)
    if found is None:  # if the status is in no row, the service's words do not count
        return next((row.failure for row in ROWS if not status and row.has_words(text)), Failure.UNKNOWN)
    narrower = [row for row in ROWS if row.failure in NARROWER.get(found, ())]
    by_words = (row.failure for row in narrower if not _names_another(body) and row.has_words(text))
    return _of_codes(body, narrower) or next(by_words, found)


def _names_another(body: dict[str, Any] | None) -> bool:
    """Return True if the body blames a parameter other than the model: then words about models do not count."""
    for part in (body or {}, *(body or {}).values()):
        if isinstance(part, dict) and isinstance(part.get("param"), str) and part["param"] not in {"", "model"}:
            return True
    return False


def _is_refusal(text: str, body: dict[str, Any] | None) -> bool:
    """Return True for the bare body of a refused request: codex prints the body of a 400 without its status."""
    return text.startswith("{") and body is not None and ("detail" in body or isinstance(body.get("error"), dict))


def _of_status(status: int) -> Failure | None:
    return next((row.failure for row in ROWS if status in row.statuses), None)


def _of_codes(body: dict[str, Any] | None, rows: tuple[Row, ...] | list[Row]) -> Failure | None:
    """Return the class of a body's `code`, otherwise of its `type`."""
    return next((row.failure for word in _codes(body) for row in rows if word in row.codes), None)


def _codes(body: dict[str, Any] | None) -> Iterator[str]:
    parts = [part for part in (body or {}, *(body or {}).values()) if isinstance(part, dict)]
    for key in ("code", "type"):
        yield from (part[key] for part in parts if isinstance(part.get(key), str))


def _body(text: str) -> dict[str, Any] | None:
    """Return the JSON object in a message: the whole message, or its end. Returns None if there is none."""
    start = text.find("{")
    if start < 0:
        return None
    try:
        body, _ = json.JSONDecoder().raw_decode(text[start:])
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None
