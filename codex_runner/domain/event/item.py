"""The items of a turn, as codex tells them: messages, commands, edits, calls."""

from __future__ import annotations

from typing import Any, ClassVar

from codex_runner.dataclass import dataclass


class Item:
    """An item of a turn: a message, a command, an edit. `id` is codex's own, unique in its thread and attempt."""

    kind: ClassVar[str]
    id: str
    __slots__ = ()


@dataclass(frozen=True, slots=True)
class AgentMessage(Item):
    """Text of the agent for the user. The last one of a turn is the reply."""

    kind = "agent_message"
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Reasoning(Item):
    """A summary of the model's reasoning."""

    kind = "reasoning"
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Command(Item):
    """A shell command. `status` is codex's word: in_progress, completed, failed or declined.

    `refused` is true if it never ran because its sandbox did not start.
    """

    kind = "command_execution"
    id: str
    command: str
    output: str
    exit_code: int | None
    status: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class FileEdit:
    """One file of a patch. `change` is codex's word: add, update or delete. `path` is absolute on the host."""

    path: str
    change: str


@dataclass(frozen=True, slots=True)
class FileChange(Item):
    """A patch that the agent applied, or tried to."""

    kind = "file_change"
    id: str
    changes: tuple[FileEdit, ...]
    status: str


@dataclass(frozen=True, slots=True)
class ToolCall(Item):
    """A call of an MCP tool. Arguments, result and error are kept as codex printed them."""

    kind = "mcp_tool_call"
    id: str
    server: str
    tool: str
    status: str
    arguments: Any = None
    result: Any = None
    error: Any = None


@dataclass(frozen=True, slots=True)
class WebSearch(Item):
    """A search of the web."""

    kind = "web_search"
    id: str
    query: str


@dataclass(frozen=True, slots=True)
class Todo:
    """One line of the agent's plan."""

    text: str
    completed: bool


@dataclass(frozen=True, slots=True)
class TodoList(Item):
    """The agent's plan, complete each time."""

    kind = "todo_list"
    id: str
    items: tuple[Todo, ...]


@dataclass(frozen=True, slots=True)
class ItemWarning(Item):
    """An `error` item: despite its name, a warning of codex (a clamped setting, a policy that fell back).

    `code` is the warning's own. `known` is true if this version knows the sentence as only a warning.
    """

    kind = "error"
    id: str
    message: str
    code: str = "codex"
    known: bool = False


@dataclass(frozen=True, slots=True)
class OtherItem(Item):
    """An item of a kind that this version does not know, kept whole and shown by its type."""

    kind = "other"
    id: str
    type: str
    data: Any
