"""The class of a failure, told from what codex says of it: one table, from which docs/failures.md is written too.

codex gives its errors no type in `exec --json`. It builds sentences: `unexpected status 403 Forbidden: BODY, url: ...`,
`exceeded retry limit, last status: 429 Too Many Requests`, and one of its own for what it knows. So the HTTP status
counts first, then `code` and `type` of a JSON body, then words. Each sentence was seen from codex 0.163 and 0.171.

Only codex's own text of an error comes here: never a message of the agent, and never the output of a command.
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
    """What tells of a class: HTTP statuses, `code` or `type` of a JSON body, words (case does not matter)."""

    failure: Failure
    statuses: tuple[int, ...] = ()
    codes: tuple[str, ...] = ()
    words: str = ""

    def has_words(self, text: str) -> bool:
        """Whether its words stand in `text`."""
        return bool(self.words) and re.search(self.words, text, re.IGNORECASE) is not None


# First match wins: the particular before the general. Apostrophes may be typographic.
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
# A status or code of these is general: the code or the words of a narrower class beside it count more.
NARROWER = {
    Failure.BAD_REQUEST: (Failure.CONTEXT_FULL, Failure.UNKNOWN_MODEL),
    Failure.NOT_FOUND: (Failure.UNKNOWN_MODEL,),
    Failure.RATE_LIMIT: (Failure.QUOTA,),
}

# What stands before the status is codex's own: no quote, no brace, no tag, as a service's text would have.
_STATUS = re.compile(r"""\A[^"'{}<>\n]{0,160}?(?:unexpected|last|failed with|\() ?status:? (\d{3})\b""")
_URL = re.compile(r", url: \S+(, (cf-ray|request id|auth error( code)?): [^,]*)*\s*\Z")


_READ = 16_384  # characters


def classify(message: str) -> Failure:
    """Return the class of an error of codex. One that no row matches is UNKNOWN: never retried, never a success."""
    # A service may answer with a page of any length, and what tells of the class is at its beginning.
    text = _URL.sub("", message if len(message) <= _READ else message[:_READ] + message[-_READ // 4 :])
    # An event of codex's own that it printed in place of words is no body.
    body = None if text.startswith('{"type": "turn.failed"') else _body(text)
    status = _STATUS.match(text)
    found = _of_status(int(status[1])) if status else None
    found = found or _of_codes(body, ROWS) or (Failure.BAD_REQUEST if _is_refusal(text, body) else None)
    if found is None:  # what a service says beside a status that is in no row decides nothing
        return next((row.failure for row in ROWS if not status and row.has_words(text)), Failure.UNKNOWN)
    narrower = [row for row in ROWS if row.failure in NARROWER.get(found, ())]
    by_words = (row.failure for row in narrower if not _names_another(body) and row.has_words(text))
    return _of_codes(body, narrower) or next(by_words, found)


def _names_another(body: dict[str, Any] | None) -> bool:
    """Whether a body says by itself what is wrong, and it is not the model: then words about models decide nothing."""
    for part in (body or {}, *(body or {}).values()):
        if isinstance(part, dict) and isinstance(part.get("param"), str) and part["param"] not in {"", "model"}:
            return True
    return False


def _is_refusal(text: str, body: dict[str, Any] | None) -> bool:
    """Whether this is the body of a refused request: codex shows that of a 400 as it is, without the status."""
    return text.startswith("{") and body is not None and ("detail" in body or isinstance(body.get("error"), dict))


def _of_status(status: int) -> Failure | None:
    return next((row.failure for row in ROWS if status in row.statuses), None)


def _of_codes(body: dict[str, Any] | None, rows: tuple[Row, ...] | list[Row]) -> Failure | None:
    """Return the class of a body's `code`, or else of its `type`."""
    return next((row.failure for word in _codes(body) for row in rows if word in row.codes), None)


def _codes(body: dict[str, Any] | None) -> Iterator[str]:
    parts = [part for part in (body or {}, *(body or {}).values()) if isinstance(part, dict)]
    for key in ("code", "type"):
        yield from (part[key] for part in parts if isinstance(part.get(key), str))


def _body(text: str) -> dict[str, Any] | None:
    """Return the JSON object that a message is, or ends with."""
    start = text.find("{")
    if start < 0:
        return None
    try:
        body, _ = json.JSONDecoder().raw_decode(text[start:])
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None
