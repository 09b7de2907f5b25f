"""The wire format of OpenAI's Responses API: output items, failures, and their encoding as server-sent events."""

from __future__ import annotations

import json
import secrets
from dataclasses import field
from typing import TYPE_CHECKING, Any

from codex_runner.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

Item = dict[str, Any]
"""One output item of a response, without the ids that `encode` adds."""


def message(text: str) -> Item:
    """Return a message for the user. The last message of a turn is its reply."""
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def refusal(text: str) -> Item:
    """Return a refusal. codex completes the turn and shows nothing."""
    return {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": text}]}


def reasoning(summary: str) -> Item:
    """Return a summary of reasoning."""
    return {"type": "reasoning", "summary": [{"type": "summary_text", "text": summary}], "encrypted_content": None}


def web_search(query: str) -> Item:
    """Return a web search that the service has already made."""
    return {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": query}}


def call(tool: str, arguments: Mapping[str, Any]) -> Item:
    """Return a call of a function tool, by its name."""
    return {"type": "function_call", "name": tool, "arguments": json.dumps(arguments)}


def shell(command: str, *, wait: float = 10.0) -> Item:
    """Return a command for codex's shell. After `wait` seconds (0.25 to 30) codex reports the output so far."""
    return call("exec_command", {"cmd": command, "yield_time_ms": round(wait * 1000)})


def plan(*steps: tuple[str, str]) -> Item:
    """Return a todo list: (text, `pending` | `in_progress` | `completed`). codex offers it only if configured."""
    return call("update_plan", {"plan": [{"step": text, "status": status} for text, status in steps]})


def patch(*hunks: str) -> Item:
    """Return a call of apply_patch. `add_file`, `update_line` and `delete_file` make the hunks."""
    text = "\n".join(["*** Begin Patch", *hunks, "*** End Patch"])
    return {"type": "custom_tool_call", "name": "apply_patch", "input": text}


def add_file(path: str, content: str) -> str:
    """Return the hunk that writes a whole file, and replaces an existing one."""
    return "\n".join([f"*** Add File: {path}", *(f"+{line}" for line in content.splitlines())])


def update_line(path: str, before: str, after: str) -> str:
    """Return the hunk that replaces one line."""
    return f"*** Update File: {path}\n@@\n-{before}\n+{after}"


def delete_file(path: str) -> str:
    """Return the hunk that deletes a file."""
    return f"*** Delete File: {path}"


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """The tokens that one response bills. Cached tokens are part of the input, reasoning is part of the output."""

    input: int = 100
    cached: int = 20
    output: int = 30
    reasoning: int = 5

    def as_json(self) -> dict[str, Any]:
        """Return the usage object of `response.completed`."""
        return {
            "input_tokens": self.input,
            "input_tokens_details": {"cached_tokens": self.cached},
            "output_tokens": self.output,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.input + self.output,
        }


@dataclass(frozen=True, slots=True)
class Reply:
    """A response that succeeds. Each of its events comes after a `delay` in seconds."""

    items: tuple[Item, ...] = ()
    usage: TokenUsage = field(default_factory=TokenUsage)
    delay: float = 0.0


def reply(*items: Item) -> Reply:
    """Return a response of these items, with the default usage."""
    return Reply(items)


@dataclass(frozen=True, slots=True)
class HttpError:
    """An HTTP error instead of a response, with OpenAI's error object or with another `body`."""

    status: int
    error: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A response that begins and ends with `response.failed`."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Incomplete:
    """A response that ends early: `reason` is `content_filter` or `max_output_tokens`."""

    reason: str
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class CutStream:
    """A response whose connection breaks after these items."""

    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Silence:
    """A response that begins and stalls. The connection closes after `seconds`."""

    seconds: float = 600.0


Streamed = Reply | Failed | Incomplete | CutStream | Silence
Answer = Streamed | HttpError


def refuse(status: int, text: str, code: str | None = None, *, kind: str = "invalid_request_error") -> HttpError:
    """Return an error with OpenAI's usual three fields."""
    return HttpError(status, {"message": text, "type": kind, "code": code})


def event(data: Mapping[str, Any]) -> bytes:
    """Encode one server-sent event."""
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()


def encode(answer: Streamed, tools: Collection[str]) -> Iterator[bytes]:
    """Encode a response as server-sent events. `tools` names the tools that the request offers the model."""
    response = _new_id("resp")
    yield event({"type": "response.created", "response": {"id": response}})
    match answer:
        case Failed(code, text):
            failed = {"id": response, "status": "failed", "error": {"code": code, "message": text}}
            yield event({"type": "response.failed", "response": failed})
        case Incomplete(reason, items):
            yield from _encode_items(items, tools)
            details = {"id": response, "status": "incomplete", "incomplete_details": {"reason": reason}}
            yield event({"type": "response.incomplete", "response": details})
        case Reply(items, usage):
            yield from _encode_items(items, tools)
            completed = {"id": response, "usage": usage.as_json()}
            yield event({"type": "response.completed", "response": completed})
        case CutStream(items):
            yield from _encode_items(items, tools)
        case Silence():
            pass


def _encode_items(items: tuple[Item, ...], tools: Collection[str]) -> Iterator[bytes]:
    for index, item in enumerate(items):
        item = _as_offered(item, tools)  # noqa: PLW2901 - the same item, adapted to this request
        item["id"] = _new_id(item["type"])
        place = {"output_index": index}
        if item["type"] != "message":
            yield event({"type": "response.output_item.added", **place, "item": item})
        else:
            yield event({"type": "response.output_item.added", **place, "item": item | {"content": []}})
            delta = {"type": "response.output_text.delta", **place, "item_id": item["id"], "content_index": 0}
            for word in _words(item):
                yield event(delta | {"delta": word})
        yield event({"type": "response.output_item.done", **place, "item": item})


def _as_offered(item: Item, tools: Collection[str]) -> Item:
    """Return the item, a call with its id. Without an apply_patch tool, patch through the shell instead."""
    if item["type"] not in ("function_call", "custom_tool_call"):
        return dict(item)
    if item["name"] == "apply_patch" and "apply_patch" not in tools:
        item = shell(f"apply_patch <<'END_OF_PATCH'\n{item['input']}\nEND_OF_PATCH\n")
    return {"call_id": _new_id("call"), **item}


def _words(item: Item) -> list[str]:
    """Split a message's text as a model streams it: into a few words at a time, and long texts into larger pieces."""
    text = "".join(part.get("text", "") for part in item["content"])
    size = max(16, len(text) // 20)
    return [text[start : start + size] for start in range(0, len(text), size)]


def _new_id(kind: str) -> str:
    """Return an id that stays unique if a thread is resumed against another service."""
    return f"{kind}_{secrets.token_hex(8)}"
