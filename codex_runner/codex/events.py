"""Parser: one line of `codex exec --json` becomes one Event. It raises nothing, and keeps unknown events.

The shapes are those of codex 0.163, 0.169 and 0.171. codex promises no schema, so the parser is tolerant. A known event
keeps its meaning even in an unknown shape: a failed turn has failed, an unreadable message is a message, and counts
that are no numbers are no counts.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from codex_runner.codex.refusal_kinds import code_of, is_known_warning, plain, sandbox_failed
from codex_runner.domain import event as ev
from codex_runner.domain.run import Usage

if TYPE_CHECKING:
    from collections.abc import Callable

_SHOWN = 500
_DEEPEST = 64

# 2026-11-21T01:37:00.957101Z ERROR codex_core::tools::router: error=...
_LOG_LINE = re.compile(r"^\S+Z\s+(?P<level>ERROR|WARN)\s+(?P<message>.*)$")
THREAD = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]*", re.ASCII)
# A truncated or damaged line that still says that the turn has failed.
_BROKEN_FAILURE = re.compile(rb'\s*\{\s*"type"\s*:\s*"turn\.failed"')
_NOISE = ("Reading additional input from stdin...", "Reading prompt from stdin...")


def parse(line: bytes) -> ev.Event:
    """Parse one line, without its newline."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        text = line.decode("utf-8", "replace")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return _unparsed("not JSON", line)
    if _is_deep(line, data):
        return _unparsed("nested too deeply", line)
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        return _unparsed("not an event", line)
    try:
        return _event(data)
    except (KeyError, TypeError, ValueError, AttributeError):
        # A known type in a new shape: keep it whole, and do not guess.
        return ev.OtherEvent(_text(data["type"]), _without_type(data))


# codex writes these keys first, in this order. The agent's text comes later in the line.
_ITEM_BEGINS = re.compile(
    rb'\{"type":"item\.(started|updated|completed)","item":\{"id":"([0-9A-Za-z_-]{1,100})","type":"([a-z_]{1,40})"[,}]'
)
_NO_MESSAGES = {"command_execution", "reasoning", "file_change", "mcp_tool_call", "web_search", "todo_list"}
_AFTER_A_REPLY = {"command_execution", "reasoning", "todo_list"}


def parse_truncated(head: bytes, tail: bytes, size: int, *, whole: bool) -> ev.Unparsed:
    """Parse a line of `size` bytes of which only `head` and `tail` are kept. `whole` says that its end arrived."""
    text = head[:_SHOWN].decode("utf-8", "replace")
    begins = _ITEM_BEGINS.match(head)
    if begins is None or not whole or not tail.rstrip().endswith(b"}}"):
        return ev.Unparsed(ev.TRUNCATED, text, size)
    how, identity, kind = (part.decode() for part in begins.groups())
    if kind not in _NO_MESSAGES:
        return ev.Unparsed(ev.TRUNCATED, text, size)
    done = how == "completed"
    voids = not (done and kind in _AFTER_A_REPLY)
    return ev.Unparsed(ev.TRUNCATED, text, size, voids=voids, item_type=kind, item_id=identity if done else "")


def parse_diagnostic(line: bytes) -> ev.Diagnostic | None:
    """Parse one line of stderr: codex's ERROR and WARN lines, and errors that end it before any event.

    Returns None for other lines.
    """
    text = line.decode("utf-8", "replace").strip()
    if not text or text in _NOISE:
        return None
    if match := _LOG_LINE.match(text):
        code = code_of(match["message"])
        return ev.Diagnostic(match["level"], plain(match["message"]) if code else match["message"], code)
    if text.startswith(("Error: ", "error: ")):
        return ev.Diagnostic("ERROR", text.split(": ", 1)[1])
    if text.startswith("WARNING: "):
        return ev.Diagnostic("WARN", text.removeprefix("WARNING: "))
    return None


def _event(data: dict[str, Any]) -> ev.Event:  # noqa: PLR0911 - one return a type
    match data["type"]:
        case "thread.started":
            return ev.ThreadStarted(_thread(data["thread_id"]))
        case "turn.started":
            return ev.TurnStarted()
        case "turn.completed":
            return _turn_completed(data.get("usage"))
        case "turn.failed":
            return ev.TurnFailed(_words(data, "error"))
        case "error":
            return ev.StreamError(_words(data, "message"))
        case "item.started":
            return ev.ItemStarted(_item(data.get("item")))
        case "item.updated":
            return ev.ItemUpdated(_item(data.get("item")))
        case "item.completed":
            return ev.ItemCompleted(_item(data.get("item")))
        case other:
            return ev.OtherEvent(_text(other), _without_type(data))


def _thread(value: object) -> str:
    """Return the id of a thread. A resume puts it on codex's command line, so it must not look like an option."""
    if not THREAD.fullmatch(_text(value)):
        raise ValueError(value)
    return str(value)


def _words(data: dict[str, Any], key: str) -> str:
    """Return what an error says under `key`: its text or its message, else the whole event as JSON."""
    error = data.get(key)
    told = error.get("message") if isinstance(error, dict) else error
    if isinstance(told, str) and told:
        return _text(told)
    return _text(json.dumps(data, ensure_ascii=False))


def _item(data: Any) -> ev.Item:
    """Parse an item. Returns an OtherItem for an unknown shape, with an empty id or type if it has none."""
    if not isinstance(data, dict):
        return ev.OtherItem("", "", data)
    kind, identity = (_text(word) if isinstance(word, str) else "" for word in (data.get("type"), data.get("id")))
    read = _ITEMS.get(kind)
    if read is not None and isinstance(data.get("id"), str):
        try:
            return read(identity, data)
        except (KeyError, TypeError, ValueError, AttributeError):
            pass  # a known kind in a new shape: kept whole below
    return ev.OtherItem(identity, kind, {key: value for key, value in data.items() if key not in {"id", "type"}})


def _command(identity: str, data: dict[str, Any]) -> ev.Item:
    code = data.get("exit_code")
    if code is not None and (not isinstance(code, int) or isinstance(code, bool)):
        raise TypeError(code)
    output = _text(data.get("aggregated_output") or "")
    return ev.Command(
        identity, _text(data["command"]), output, code, _text(data["status"]), sandbox_failed(output, code)
    )


def _file_change(identity: str, data: dict[str, Any]) -> ev.Item:
    edits = tuple(ev.FileEdit(_text(change["path"]), _text(change["kind"])) for change in data["changes"])
    return ev.FileChange(identity, edits, _text(data["status"]))


def _tool_call(identity: str, data: dict[str, Any]) -> ev.Item:
    return ev.ToolCall(
        identity,
        _text(data["server"]),
        _text(data["tool"]),
        _text(data["status"]),
        data.get("arguments"),
        data.get("result"),
        data.get("error"),
    )


def _todo_list(identity: str, data: dict[str, Any]) -> ev.Item:
    return ev.TodoList(identity, tuple(ev.Todo(_text(t["text"]), bool(t["completed"])) for t in data["items"]))


_ITEMS: dict[str, Callable[[str, dict[str, Any]], ev.Item]] = {
    "agent_message": lambda i, d: ev.AgentMessage(i, _text(d["text"])),
    "reasoning": lambda i, d: ev.Reasoning(i, _text(d["text"])),
    "command_execution": _command,
    "file_change": _file_change,
    "mcp_tool_call": _tool_call,
    # The object holds "id" twice, the item's and the search's: the last one wins in JSON, and serves as well.
    "web_search": lambda i, d: ev.WebSearch(i, _text(d.get("query") or "")),
    "todo_list": _todo_list,
    "error": lambda i, d: _warning(i, _text(d["message"])),
}


def _warning(identity: str, message: str) -> ev.Item:
    return ev.ItemWarning(identity, message, code_of(message) or "codex", is_known_warning(message))


_COUNTS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_input_tokens",
    "output_tokens",
    "reasoning_output_tokens",
)
_NEEDED = {"input_tokens", "output_tokens"}


def _is_counted(usage: Any) -> bool:
    """Return True if these are codex's token counts: all are numbers, and the counts that a budget needs exist."""
    return isinstance(usage, dict) and all(
        _is_count(usage[name]) if name in usage else name not in _NEEDED for name in _COUNTS
    )


def _turn_completed(usage: Any) -> ev.Event:
    return ev.TurnCompleted(read_usage(usage)) if _is_counted(usage) else ev.TurnCompleted(Usage(), counted=False)


def read_usage(data: dict[str, Any]) -> Usage:
    """Parse codex's token counts. A count is 0 if it is missing, or no number."""
    return Usage(
        input=_count(data.get("input_tokens")),
        cached_input=_count(data.get("cached_input_tokens")),
        output=_count(data.get("output_tokens")),
        reasoning_output=_count(data.get("reasoning_output_tokens")),
    )


def _count(value: Any) -> int:
    return value if _is_count(value) else 0


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    # JSON can hold lone surrogates, but UTF-8 files and reports cannot.
    return value.encode("utf-8", "replace").decode() if _has_surrogates(value) else value


def _has_surrogates(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def _without_type(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key != "type"}


def _is_deep(line: bytes, data: Any) -> bool:
    """Return True if lists and objects nest too deeply for the code that writes and reads events.jsonl."""
    if line.count(b"[") + line.count(b"{") <= _DEEPEST:
        return False
    level = [data]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _unparsed(reason: str, line: bytes) -> ev.Event:
    if _BROKEN_FAILURE.match(line):
        return ev.TurnFailed(line.decode("utf-8", "replace"))
    return ev.Unparsed(reason, line[:_SHOWN].decode("utf-8", "replace"), len(line))
