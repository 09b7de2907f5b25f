"""Requests to the scripted model service, parsed so that a scenario can decide by them."""

from __future__ import annotations

import json
import re
from dataclasses import field, replace
from typing import Any

from codex_runner.dataclass import dataclass

_MARKER = re.compile(r"\bSCN:(\w+)(?::(\d+))?")

# User messages that codex itself adds to a conversation: `<environment_context>`, `<turn_aborted>` and others.
_ADDED_BY_CODEX = re.compile(r"\s*<\w+>")


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One HTTP request.

    `bearer` is the token of its Authorization header, None without one. Only requests for a response have the rest.
    `scenario` and `argument` come from the marker `SCN:name` or `SCN:name:number` in the latest user message that has
    one. `step` counts the tool results after that message, and `outputs` holds them. `follow_ups` are the user's
    messages after it (a resumed thread has some). `asked` counts the earlier requests of all clients for this scenario
    and step, so it grows with each retry. `tools` names the tools that codex offers the model.
    """

    method: str
    path: str
    bearer: str | None
    body: Any = field(default=None, repr=False)
    scenario: str | None = None
    argument: int | None = None
    step: int = 0
    asked: int = 0
    prompt: str = ""
    follow_ups: tuple[str, ...] = ()
    outputs: tuple[str, ...] = field(default=(), repr=False)
    tools: frozenset[str] = field(default=frozenset(), repr=False)


def for_response(request: ModelRequest, default: str) -> ModelRequest:
    """Return the request with the fields of a request for a response. Without a marker, the scenario is `default`."""
    items = [item for item in request.body.get("input", []) if isinstance(item, dict)]
    prompts = [index for index, item in enumerate(items) if _is_from_user(item)]
    marked = [index for index in prompts if _MARKER.search(_text(items[index].get("content")))]
    start = (marked or prompts or [-1])[-1]
    prompt = _text(items[start].get("content")) if start >= 0 else ""
    markers = _MARKER.findall(prompt) or _MARKER.findall(f"SCN:{default}")
    scenario, argument = markers[-1] if markers else (default, "")
    outputs = tuple(_text(item.get("output")) for item in items[start + 1 :] if _is_tool_result(item))
    return replace(
        request,
        scenario=scenario,
        argument=int(argument) if argument else None,
        step=len(outputs),
        prompt=prompt,
        follow_ups=tuple(_text(items[index].get("content")) for index in prompts if index > start),
        outputs=outputs,
        tools=frozenset(tool.get("name") or tool.get("type", "") for tool in request.body.get("tools", [])),
    )


def _is_from_user(item: dict[str, Any]) -> bool:
    return item.get("role") == "user" and not _ADDED_BY_CODEX.match(_text(item.get("content")))


def _is_tool_result(item: dict[str, Any]) -> bool:
    return str(item.get("type", "")).endswith("_call_output")


def _text(content: Any) -> str:
    """Return the text of a message's content or of a tool's output, in any of codex's forms."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(part.get("text", "") for part in content if isinstance(part, dict))
    return "" if content is None else json.dumps(content)
