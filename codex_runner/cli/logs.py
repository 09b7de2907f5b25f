"""`codex-runner logs`: what the console showed, from events.jsonl."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from codex_runner.app import history
from codex_runner.app.folders import find_run
from codex_runner.app.showing import log_of
from codex_runner.cli import streams
from codex_runner.cli.options import ConfigOption, OutputOption, RunArgument, output_dir
from codex_runner.cli.speech import tell

if TYPE_CHECKING:
    from codex_runner.domain.event import Record
    from codex_runner.domain.ports import Sink
    from codex_runner.domain.state import RunState


class _UnreadError(Exception):
    """The reader of stdout has left."""


class _WhileRead:
    """A sink that ends the command once stdout has no reader: a run that is followed may go on for hours."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.mask, self.close = sink.mask, sink.close

    def accept(self, record: Record, state: RunState) -> None:
        self._sink.accept(record, state)
        self._look()

    def tick(self, now: float, state: RunState) -> None:
        self._sink.tick(now, state)
        self._look()

    def _look(self) -> None:
        if not streams.is_read():
            raise _UnreadError


def logs(
    run: RunArgument,
    go_on: Annotated[bool, typer.Option("--follow", "-f", help="Follow a running run until it ends.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show long output uncut.")] = False,
    config: ConfigOption = None,
    output: OutputOption = None,
) -> None:
    """Show the log of a run. With -f, follow a run that another process has started.

    Example: codex-runner logs -f last
    """
    folder = find_run(output_dir(output, config), run)
    sink = log_of(sys.stdout, os.environ, go_on=go_on, verbose=verbose)
    try:
        shown = _WhileRead(sink)
        state = history.follow(folder, shown) if go_on else history.replay(folder, shown)
    except _UnreadError:
        return
    if not state.run_id:
        tell(f"{folder.run_id} was killed before it began")
    elif state.verdict is None:
        going = history.is_live(folder)
        tell(f"{folder.run_id} {'runs: follow it with -f' if going else 'has no ending: go on with `attach`'}")
