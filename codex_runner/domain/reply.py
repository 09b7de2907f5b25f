"""The reply: whether the agent's last message is its final one, and which later events show that it is not.

codex marks no message as final. So a message counts as the reply only if all later events are known to be harmless: the
completed plan, reasoning, known warnings, and the end of work that began before it. Some work has no event: a call that
codex refuses, a hook that makes the model continue. Only codex's own record shows that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.domain import event as ev

if TYPE_CHECKING:
    from codex_runner.domain.attempt_state import Attempt

_SHOWN = 120
_ENDED = frozenset({"completed", "failed", "declined"})


def voided_by(event: ev.Event, attempt: Attempt) -> str | None:  # noqa: C901, PLR0911 - one arm a kind of event
    """Returns None if a message before `event` may still be the final one, otherwise why not.

    Call it before `event` is applied to the state.
    """
    match event:
        case ev.ItemCompleted():
            return _voided_by_completed(event.item, attempt)
        case ev.ItemStarted() if not _is_harmless(event.item):
            return f"{named(event.item)} began"
        case ev.ItemUpdated() if not _is_harmless(event.item):
            return f"{named(event.item)} went on"
        case ev.StreamError():
            return f"codex reported an error ({_short(event.message)})"
        case ev.Unparsed() if event.voids:
            return f"codex printed a line that is no event ({event.reason}, {event.size:,} bytes)"
        case ev.Unparsed(item_type=ev.Command.kind) if event.item_id not in attempt.open_items:
            return "a command came without its start, in a line that is too long to be read"
        case ev.OtherEvent():
            return f"codex printed an event that codex-runner does not know ({_short(event.type)})"
        case ev.ReplyMissing():
            return "the model went on and said nothing more, by codex's own record of the thread"
        case ev.TurnStarted():
            return "another turn began"
        case ev.ThreadStarted():
            return "another thread began"
        case _:
            return None


def is_unreadable(event: ev.Event) -> bool:
    """Whether `event` may be a message that cannot be read."""
    match event:
        case ev.OtherEvent() | ev.Unparsed(voids=True):
            return True
        case ev.ItemCompleted(item=ev.OtherItem(type=ev.AgentMessage.kind)):
            return True
        case _:
            return False


def is_work(item: ev.Item) -> bool:
    """Whether an item is work that runs: a command, a patch, a call; not a message, plan or warning."""
    return not isinstance(item, ev.AgentMessage | ev.Reasoning | ev.TodoList | ev.ItemWarning)


def named(item: ev.Item) -> str:  # noqa: PLR0911 - one return a kind of item
    """Return an item's name for a sentence."""
    match item:
        case ev.Command():
            return f"the command {_short(item.command)!r}"
        case ev.ToolCall():
            return f"the tool call {_short(f'{item.server}.{item.tool}')!r}"
        case ev.FileChange():
            return "a patch"
        case ev.WebSearch():
            return "a web search"
        case ev.AgentMessage():
            return "a message"
        case ev.TodoList():
            return "the plan"
        case ev.OtherItem():
            return f"an item of the type {_short(item.type)!r}"
        case _:
            return f"an item of the type {item.kind!r}"


def _voided_by_completed(item: ev.Item, attempt: Attempt) -> str | None:  # noqa: PLR0911 - as above
    match item:
        case ev.AgentMessage() | ev.Reasoning():
            return None
        case ev.ItemWarning():
            return None if item.known else f"codex printed what may be more than a warning ({_short(item.message)})"
        case ev.TodoList():
            return None if item.id == attempt.open_plan else f"{named(item)} came without its start"
        case ev.OtherItem(type=ev.AgentMessage.kind):
            return "a message that cannot be read came"
        case ev.OtherItem():
            return f"{named(item)} came, which cannot be read"
        case ev.Command() | ev.FileChange() | ev.ToolCall() if item.status not in _ENDED:
            return f"{named(item)} came with a status that codex-runner does not know ({_short(item.status)})"
    begun = attempt.open_items.get(item.id)
    return None if begun is not None and begun.kind == item.kind else f"{named(item)} came without its start"


def _is_harmless(item: ev.Item) -> bool:
    return isinstance(item, ev.Reasoning) or (isinstance(item, ev.ItemWarning) and item.known)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
