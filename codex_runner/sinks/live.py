"""The live view on a terminal: past events scroll by above, and the current state stays at the bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from codex_runner.sinks.lines import LogLine, Narrator, Tone
from codex_runner.text.counts import counted
from codex_runner.text.durations import format_clock, format_duration
from codex_runner.text.excerpts import cut, first_line

if TYPE_CHECKING:
    from typing import TextIO

    from codex_runner.domain.event import Record, Todo
    from codex_runner.domain.secret import Secret
    from codex_runner.domain.state import RunState

_TAIL = 10  # lines of a failed command's output
_STYLES = {
    Tone.PLAIN: "",
    Tone.DIM: "dim",
    Tone.STRONG: "bold",
    Tone.GOOD: "green",
    Tone.WARN: "yellow",
    Tone.BAD: "red",
}
_TODOS = 6  # lines of the plan
_NARROW = 20  # characters; a terminal may report a width of 0


class LiveConsole:
    """A sink for a terminal. It draws only when it is called: no thread, no race with the state."""

    def __init__(self, stream: TextIO, *, color: bool, width: int | None = None, verbose: bool = False) -> None:
        """Draw on `stream`, which stays open. The default `width` is the terminal's."""
        self._console = Console(
            file=stream,
            force_terminal=True,
            color_system="standard" if color else None,
            no_color=not color,
            width=width,
            highlight=False,
            markup=False,
            emoji=False,
            _environ={},
        )
        self._narrator = Narrator(tail=_TAIL, verbose=verbose)
        self._now = _Now(self._narrator)
        self._live = Live(
            self._now,
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )

    def accept(self, record: Record, state: RunState) -> None:
        """Print the record's lines above, and redraw the current state."""
        shown = [text for line in self._narrator.tell(record, state) for text in self._texts(line, record.time, state)]
        self._now.time, self._now.state = record.time, state
        if not self._live.is_started and state.verdict is None:
            self._live.start()
        self._console.print(Group(*shown))  # redraws the current state, too
        if state.verdict is not None:
            self._live.stop()

    def mask(self, secret: Secret) -> None:
        """See Sink.mask. Does nothing: records come redacted."""

    def tick(self, now: float, state: RunState) -> None:
        """Redraw the elapsed time."""
        self._now.time, self._now.state = now, state
        if self._live.is_started:
            self._live.refresh()

    def close(self) -> None:
        """Remove the current state from the terminal, and restore the cursor."""
        self._live.stop()

    def _texts(self, line: LogLine, time: float, state: RunState) -> list[Text]:
        style, width = _STYLES[line.tone], max(_NARROW, self._console.width)
        stamp = format_clock(time - state.started if state.started else 0)
        told = Text.assemble((f"{stamp:>7} ", "dim"), (f"{line.verb:<8} ", f"bold {style}".strip()))
        if line.essential:  # shown whole: rich wraps it
            return [told.append(line.text, style=style), *self._block(line, width)]
        told.append(cut(line.text, max(_NARROW, width - len(told))), style=style)
        return [_flat(told), *self._block(line, width)]

    def _block(self, line: LogLine, width: int) -> list[Text]:
        shown = [_flat(Text(cut(f"{'':8}| {text}", width), "dim")) for text in line.block]
        return shown + [Text(text, overflow="fold") for text in line.commands]  # whole, so that it can be pasted


class _Now:
    """The current state at the bottom, computed on each redraw."""

    def __init__(self, narrator: Narrator) -> None:
        self._narrator = narrator
        self.time = 0.0
        self.state: RunState | None = None

    def __rich__(self) -> Group:
        return Group() if self.state is None else Group(*self._lines(self.state))

    def _lines(self, state: RunState) -> list[Text]:
        doing, since = self._narrator.current(state)
        lasting = f"  {format_duration(self.time - since)}" if since is not None else ""
        attempt = f" · attempt {state.attempt.number}" if state.attempt and state.attempt.number > 1 else ""
        clock = format_clock(self.time - state.started)
        told = f"── {first_line(state.job)} on {first_line(state.host)}{attempt} · {clock} ──"
        lines = [
            Text(told, "dim"),
            Text(f"▸ {doing}{lasting}", "bold"),
            Text(f"  {_counts(state)}", "yellow" if state.warnings else ""),
            *(
                Text(f"  [{'x' if todo.completed else ' '}] {first_line(todo.text)}", "dim" if todo.completed else "")
                for todo in _window(state)
            ),
        ]
        return [_flat(line) for line in lines]


def _flat(text: Text) -> Text:
    """Have rich cut a line by cells: a character may take two, and the redraw would overwrite a wrapped line."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _counts(state: RunState) -> str:
    used = state.usage
    parts = [
        counted(state.commands, "command") + (f" ({state.failed_commands} failed)" if state.failed_commands else ""),
        counted(len(state.files), "file"),
        f"{used.total:,} tokens",
    ]
    if state.warnings:
        parts.append(f"{counted(len(state.warnings), 'warning')}, the last: {first_line(state.warnings[-1].message)}")
    return " · ".join(parts)


def _window(state: RunState) -> tuple[Todo, ...]:
    """Return the part of a long plan around the next step."""
    first = next((i for i, todo in enumerate(state.todo) if not todo.completed), 0)
    start = max(0, min(first - 1, len(state.todo) - _TODOS))
    return state.todo[start : start + _TODOS]
