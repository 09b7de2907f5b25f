"""Every error of the model service that codex tells apart: the answer, codex's sentence for it, and its class.

The sentences are word for word those of codex 0.163 and 0.171. If the two differ, both are here, in that order.
`URL` stands for the address that was asked.
"""

from dataclasses import dataclass

from codex_runner.demo.model_wire import Failed, HttpError, Incomplete, message, refuse
from codex_runner.domain.failure import Failure

URL = "http://127.0.0.1:1/v1/responses"
TYPE = "x-codex-rate-limit-reached-type"
HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
NO_MODEL = "The model `gpt-5.9-nano` does not exist or you do not have access to it."
NOT_SUPPORTED = "The 'gpt-5.9' model is not supported when using Codex with a ChatGPT account."
ROOM = (
    "Codex ran out of room in the model's context window. Start a new thread or clear earlier history before retrying."
)
DEMAND = "We\N{RIGHT SINGLE QUOTATION MARK}re currently experiencing high demand, which may cause temporary errors."
LIMIT = "You\N{RIGHT SINGLE QUOTATION MARK}ve hit your usage limit."
CUT = "stream disconnected before completion: "


@dataclass(frozen=True)
class Case:
    """One answer of the service."""

    answer: object
    failure: Failure
    sentences: tuple[str, ...]


def case(answer, failure, *sentences):
    return Case(answer, failure, sentences)


def status(number, reason, told, failure, body=None, headers=None):
    """An answer that codex tells by its status. `told` is what it shows of the body."""
    answer = refuse(number, told) if body is None else HttpError(number, body=body, headers=headers or {})
    return Case(answer, failure, (f"unexpected status {number} {reason}: {told}, url: {URL}",))


def usage_limit(sentence, headers=None, kind="usage_limit_reached", plan="team"):
    error = {"type": kind, "message": "The usage limit has been reached", "plan_type": plan}
    return Case(HttpError(429, error, headers or {}), Failure.QUOTA, (sentence,))


DEACTIVATED = '{"detail":{"code":"deactivated_workspace"}}'
MISSING = '{"detail":[{"loc":["body","input"],"msg":"field required"}]}'
UPGRADE = "To use Codex with your ChatGPT plan, upgrade to Plus: https://chatgpt.com/explore/plus."
ASK = f"{LIMIT} To get more access now, send a request to your admin or try again later."

CASES = {
    "402": status(402, "Payment Required", "Your credits are used up.", Failure.QUOTA),
    "402-detail": status(402, "Payment Required", DEACTIVATED, Failure.QUOTA, DEACTIVATED),
    "402-empty": status(402, "Payment Required", "Unknown error", Failure.QUOTA, ""),
    "credits-of-an-owner": usage_limit(
        "Your workspace is out of credits. Add credits to continue.", {TYPE: "workspace_owner_credits_depleted"}
    ),
    "credits-of-a-member": usage_limit(
        "Your workspace is out of credits. Ask your workspace owner to refill in order to continue.",
        {TYPE: "workspace_member_credits_depleted"},
    ),
    "spend-cap-of-an-owner": usage_limit(
        "You hit your spend cap set in your workspace. Increase your spend cap to continue.",
        {TYPE: "workspace_owner_usage_limit_reached"},
    ),
    "spend-cap-of-a-member": usage_limit(
        "You hit your spend cap set by the owner of your workspace. "
        "Ask an owner to increase your spend cap to continue.",
        {TYPE: "workspace_member_usage_limit_reached"},
    ),
    "limit-of-another-type": usage_limit(ASK, {TYPE: "something_new"}),
    "usage-not-included": usage_limit(UPGRADE, kind="usage_not_included", plan="free"),
    "usage-not-included-late": case(Failed("usage_not_included", "no"), Failure.QUOTA, UPGRADE),
    "quota": case(
        refuse(429, "You exceeded your current quota", "insufficient_quota", kind="insufficient_quota"),
        Failure.QUOTA,
        "Quota exceeded. Check your plan and billing details.",
    ),
    "401": status(401, "Unauthorized", "Incorrect API key provided", Failure.CREDENTIAL),
    "401-detail": status(401, "Unauthorized", DEACTIVATED, Failure.CREDENTIAL, DEACTIVATED),
    "403": status(403, "Forbidden", "You have insufficient permissions.", Failure.CREDENTIAL),
    "403-html": status(
        403, "Forbidden", "<html>Just a moment</html>", Failure.CREDENTIAL, "<html>Just a moment</html>"
    ),
    "403-of-a-plan": status(403, "Forbidden", "Codex is not included in your plan", Failure.CREDENTIAL),
    "403-of-a-model": status(403, "Forbidden", NO_MODEL, Failure.CREDENTIAL),
    "403-cloudflare": case(
        HttpError(403, body="<html>Cloudflare: you have been blocked</html>"),
        Failure.CREDENTIAL,
        "Access blocked by Cloudflare. This usually happens when connecting from a restricted region "
        f"(status 403 Forbidden), url: {URL}",
    ),
    "404-model": case(
        refuse(404, NO_MODEL, "model_not_found"),
        Failure.UNKNOWN_MODEL,
        f"unexpected status 404 Not Found: {NO_MODEL}, url: {URL}",
        NO_MODEL,
    ),
    "404-deployment": status(
        404, "Not Found", "The API deployment for this resource does not exist.", Failure.UNKNOWN_MODEL
    ),
    "404": status(404, "Not Found", "Invalid URL (POST /v2/responses)", Failure.NOT_FOUND),
    "404-detail": status(404, "Not Found", '{"detail":"Not Found"}', Failure.NOT_FOUND, '{"detail":"Not Found"}'),
    "404-html": status(
        404, "Not Found", "<h1>404 page not found</h1>", Failure.NOT_FOUND, "<h1>404 page not found</h1>"
    ),
    "model-late": case(Failed("model_not_found", NO_MODEL), Failure.UNKNOWN_MODEL, f"{CUT}{NO_MODEL}", NO_MODEL),
    "407": status(407, "Proxy Authentication Required", "Unknown error", Failure.PROXY, ""),
    "408": status(408, "Request Timeout", "Request timeout", Failure.CAPACITY),
    "409": status(409, "Conflict", "conflict", Failure.CAPACITY),
    "413": status(413, "Payload Too Large", "Request too large", Failure.CONTEXT_FULL),
    "400": case(
        HttpError(400, body='{"error":{"message":"bad","type":"invalid_request_error","code":"x"}}'),
        Failure.BAD_REQUEST,
        '{"error":{"message":"bad","type":"invalid_request_error","code":"x"}}',
    ),
    "400-detail": case(
        HttpError(400, body='{"detail":"Unsupported parameter: foo"}'),
        Failure.BAD_REQUEST,
        '{"detail":"Unsupported parameter: foo"}',
    ),
    "400-model": case(
        HttpError(400, body=f'{{"detail":"{NOT_SUPPORTED}"}}'),
        Failure.UNKNOWN_MODEL,
        f'{{"detail":"{NOT_SUPPORTED}"}}',
    ),
    "400-context": case(
        HttpError(400, body='{"error":{"message":"too long","code":"context_length_exceeded"}}'),
        Failure.CONTEXT_FULL,
        '{"error":{"message":"too long","code":"context_length_exceeded"}}',
        ROOM,
    ),
    "400-prompt": case(
        refuse(400, "Invalid prompt: it was flagged.", "invalid_prompt"),
        Failure.BAD_REQUEST,
        "Invalid prompt: it was flagged.",
    ),
    "422": status(422, "Unprocessable Entity", "Unprocessable", Failure.BAD_REQUEST),
    "422-detail": status(422, "Unprocessable Entity", MISSING, Failure.BAD_REQUEST, MISSING),
    "429": case(
        refuse(429, "Rate limit reached.", "rate_limit_exceeded", kind="requests"),
        Failure.RATE_LIMIT,
        "exceeded retry limit, last status: 429 Too Many Requests",
    ),
    "500": case(refuse(500, "internal error", kind="server_error"), Failure.CAPACITY, DEMAND),
    "502": status(502, "Bad Gateway", HTML, Failure.CAPACITY, HTML),
    "503": status(503, "Service Unavailable", "unavailable", Failure.CAPACITY),
    "503-overloaded": case(
        refuse(503, "overloaded", "server_is_overloaded"),
        Failure.CAPACITY,
        "Selected model is at capacity. Please try a different model.",
    ),
    "503-slow-down": case(refuse(503, "slow down", "slow_down"), Failure.RATE_LIMIT, "rate limit exceeded: slow down"),
    "504": status(504, "Gateway Timeout", "<html>504</html>", Failure.CAPACITY, "<html>504</html>"),
    "529": status(529, "<unknown status code>", "overloaded", Failure.CAPACITY, "overloaded"),
    "418": status(418, "I'm a teapot", "forbidden: a quota", Failure.UNKNOWN, "forbidden: a quota"),
    "content-filter": case(
        Incomplete("content_filter", (message("part"),)),
        Failure.RESPONSE_INCOMPLETE,
        f"{CUT}Incomplete response returned, reason: content_filter",
    ),
    "output-limit": case(
        Incomplete("max_output_tokens", (message("part"),)),
        Failure.RESPONSE_INCOMPLETE,
        "Incomplete response returned, reason: max_output_tokens",
    ),
    "context-late": case(Failed("context_length_exceeded", "long"), Failure.CONTEXT_FULL, ROOM),
    "rate-late": case(
        Failed("rate_limit_exceeded", "Rate limit reached. Please try again in 1s."),
        Failure.RATE_LIMIT,
        "rate limit exceeded: Rate limit reached. Please try again in 1s.",
    ),
    "failed": case(Failed("server_error", "it broke"), Failure.NETWORK, f"{CUT}it broke"),
    "policy-late": case(Failed("cyber_policy", "a word of the service"), Failure.UNKNOWN, "a word of the service"),
}
