"""One record of every kind that there is, and what a hostile agent would write into it."""

from codex_runner.domain import event as ev
from codex_runner.domain.delivery import Delivered, DeliveryState, ForgeKind
from codex_runner.domain.failure import Failure
from codex_runner.domain.run import Ending, ProcessExit, StopReason, Sweep, Usage
from codex_runner.domain.state import RunState

# Every way that is known to command a terminal or a CI system, each on a line of its own.
ATTACKS = (
    "::set-output name=stolen::1",
    "   ::add-mask::e",
    "\t::stop-commands::x",
    "\u2003::error::fake",
    "text ##[error]fake",
    "##vso[task.setvariable variable=x]y",
    "##teamcity[buildStatus text='fake']",
    "#\u200b#[group]hidden",
    "#\x1b[0m#[group]hidden",
    "ok\r::warning::fake",
    "\x1b[2J\x1b[1;1Hcleared",
    "\x1b]0;title\x07after",
    "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\",
    "\x9b31mred\x9d0;t\x9c",
    "\x1b[0Ksection_start:1:x\r\x1b[0Kfake",
    "\x1b[0Ksection_end:1:x\r\x1b[0K",
    "\u202egnp.exe\u202c",
    "line\u2028::error::fake",
    "line\x85::error::fake",
    "line\x0b::error::fake\x0c::error::fake",
    "unfinished \x1b]0;",
    "unfinished \x1b[",
    "bell\x07 back\x08 nul\x00",
)
HOSTILE = "\n".join(ATTACKS)


def item_samples(text):
    return [
        ev.AgentMessage("i1", text),
        ev.Reasoning("i2", text),
        ev.Command("i3", f"/bin/bash -lc {text!r}", text, 1, "failed"),
        ev.Command("i4", text, text, None, text),
        ev.FileChange("i5", (ev.FileEdit(text, text), ev.FileEdit("/w/a", "add")), "completed"),
        ev.FileChange("i6", (ev.FileEdit(text, "add"),), text),
        ev.ToolCall("i7", text, text, "failed", {text: text}, {"content": text}, None),
        ev.ToolCall("i8", text, text, "completed", {text: text}, {"content": text}, text),
        ev.WebSearch("i9", text),
        ev.TodoList("i10", (ev.Todo(text, completed=True), ev.Todo(text, completed=False))),
        ev.ItemWarning("i11", text),
        ev.OtherItem("i12", text, {text: [text]}),
    ]


def event_samples(text="some text"):
    """Every kind of event, with `text` in each field that a stranger may choose."""
    items = item_samples(text)
    process = ProcessExit(None, 9, StopReason.TIMEOUT, 10, 11, 12, Sweep.CLEAN)
    samples = [
        ev.RunStarted("20260102T030405Z-docs-0a1b2c3d", "docs", text, {"model": text}),
        ev.WorkspaceMade(text, text, text, text, text),
        ev.WorkspaceKept(text, 604_800.0),
        ev.RunPrepared({"codex": text}),
        ev.AttemptStarted(1),
        ev.AttemptStarted(1, attached=True, reason=text),
        ev.Retrying(2, 15.5, True, text),
        ev.Changed(3, 40, text, (text,), 12),
        ev.ThreadStarted(text),
        ev.TurnStarted(),
        *(ev.ItemStarted(item) for item in items),
        *(ev.ItemUpdated(item) for item in items),
        *(ev.ItemCompleted(item) for item in items),
        ev.StreamError(text),
        ev.OtherEvent(text, {text: text}),
        ev.Unparsed(text, text, 100),
        ev.Diagnostic(text, text),
        ev.TurnCompleted(Usage(1000, 200, 30, 4)),
        ev.UsageSeen(Usage(1000, 200, 30, 4)),
        ev.TurnCompleted(Usage(), counted=False),
        ev.ReplyMissing(text),
        ev.TurnFailed(text),
        ev.StopRequested("timeout", text),
        ev.AttemptEnded(1, Ending(Failure.TIMEOUT, text), process),
        ev.AttemptEnded(1, Ending(None, text)),
        ev.Warned("code", text),
        ev.CredentialTaken({"source": "vault", "place": text, "version": 3, "owner": text, "expires_at": text}),
        ev.Guarded("revoked", True, text),
        ev.Guarded("swept", False, text),
        ev.Leaked(text, text, "removed"),
        ev.CheckStarted(text, text),
        ev.CheckEnded(text, False, None, 1.0, text),
        ev.CheckEnded(text, False, 2, 1.0, f"src/a.py:3:1: {text}\n{text}"),
        ev.CheckEnded(text, True, 0, 1.0, text),
        ev.ArtifactKept(text, 10, "ab"),
        ev.Gated("fail", text, 3, 1.0, text),
        ev.Gated("skip", text),
        ev.DeliveryReady(text, text, 13, text),
        ev.DeliveryEnded(Delivered(DeliveryState.HELD, ForgeKind.GIT, text, text, text, text, text, 1, text, text)),
        ev.RunEnded(9, "failed", text),
    ]
    assert {type(sample) for sample in samples} >= set(ev.EVENT_KINDS.values()), "a kind of event has no sample"
    return samples


def records(events, start=1_000_000_000.0, step=1.0):
    """Number events as a run does."""
    made = []
    attempt = 0
    for seq, event in enumerate(events, 1):
        attempt = event.number if isinstance(event, ev.AttemptStarted) else attempt
        made.append(ev.Record(seq, start + step * seq, attempt, ev.Position(), event))
    return made


def play(sink, events, *, close=True, step=1.0):
    """Show events to a sink as the engine would, and return the state they come to."""
    state = RunState()
    for record in records(events, step=step):
        state.apply(record)
        sink.accept(record, state)
    if close:
        sink.close()
    return state
