"""States for the tests of the reports: one that a run comes to, and random ones, hostile text included."""

from __future__ import annotations

from hypothesis import strategies as st

from codex_runner.domain import event as ev
from codex_runner.domain.delivery import Delivered, DeliveryState, ForgeKind
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.failure import Failure
from codex_runner.domain.gate import GateDecision
from codex_runner.domain.run import Ending, ProcessExit, StopReason, Sweep, Usage
from codex_runner.domain.state import RunState, fold

START = 1_767_323_045.25  # 2026-01-02T03:04:05.250Z
PULL = "https://github.com/acme/app/pull/7"
HOSTILE = "\x1b[31mred\x1b[0m \x00 \ud800 \ufffe ]]> <script>alert(1)</script> & ``` ~~~ \r\n[[ATTACHMENT|/etc/passwd]]"

texts = st.one_of(
    st.text(max_size=30),
    st.text(st.characters(categories=("Cs", "Cc", "Cn", "Lu", "Zl", "Po")), max_size=20),
    st.sampled_from(["", " ", "\n", "\x1b[0m", "\ufffe", HOSTILE]),
)
names = st.one_of(st.sampled_from(["docs build", "lint", "lint\x07", "", " "]), texts)
exits = st.one_of(
    st.none(),
    st.builds(
        ProcessExit,
        code=st.integers(0, 255),
        signal=st.none(),
        stopped=st.sampled_from(StopReason),
        stdout_size=st.just(0),
        stdout_cksum=st.just(0),
        stderr_size=st.just(0),
        swept=st.sampled_from(Sweep),
    ),
)
endings = st.builds(Ending, failure=st.one_of(st.none(), st.sampled_from(Failure)), message=texts)
seconds = st.floats(allow_nan=True, allow_infinity=True)
events = st.one_of(
    st.builds(ev.AttemptStarted, number=st.integers(1, 5)),
    st.builds(ev.ThreadStarted, thread_id=texts),
    st.builds(ev.TurnFailed, message=texts),
    st.builds(ev.StreamError, message=texts),
    st.builds(ev.Diagnostic, level=texts, message=texts),
    st.builds(ev.AttemptEnded, number=st.integers(1, 5), ending=endings, exit=exits),
    st.builds(ev.Warned, code=texts, message=texts),
    st.builds(
        ev.Guarded,
        name=names,
        passed=st.booleans(),
        message=texts,
        seconds=seconds,
        failure=st.one_of(st.none(), texts, st.sampled_from([str(f) for f in Failure])),
    ),
    st.builds(
        ev.CheckEnded,
        name=names,
        passed=st.booleans(),
        exit_code=st.one_of(st.none(), st.integers(0, 255)),
        seconds=seconds,
        output=texts,
    ),
    st.builds(ev.Changed, paths=st.integers(0, 9), lines=st.integers(0, 9), diffstat=texts, findings=st.tuples(texts)),
    st.builds(
        ev.Gated,
        decision=st.sampled_from(GateDecision),
        reason=texts,
        exit_code=st.one_of(st.none(), st.integers(0, 255)),
        seconds=seconds,
        output=texts,
    ),
    st.builds(
        ev.DeliveryEnded,
        delivery=st.builds(
            Delivered,
            state=st.sampled_from(DeliveryState),
            target=st.sampled_from(ForgeKind),
            branch=texts,
            link=st.one_of(texts, st.just(PULL)),
            reason=texts,
            warnings=st.tuples(texts),
        ),
    ),
    st.builds(ev.ArtifactKept, path=texts, size=st.integers(0, 10**12), sha256=st.just("0" * 64)),
    st.builds(ev.ItemCompleted, item=st.builds(ev.AgentMessage, id=st.just("1"), text=texts)),
    st.builds(ev.TurnCompleted, usage=st.builds(Usage, input=st.integers(0, 10**7), output=st.integers(0, 10**6))),
)
verdicts = st.builds(
    ev.RunEnded,
    exit_code=st.one_of(st.sampled_from([int(code) for code in ExitCode]), st.integers(0, 255)),
    result=st.sampled_from(["succeeded", "failed", "skipped"]),
    reason=texts,
    remedy=texts,
)


def records(happened) -> list[ev.Record]:
    return [ev.Record(n, START + n, 1, ev.Position(), event) for n, event in enumerate(happened, 1)]


def delivered(state=DeliveryState.UPDATED, link=PULL, reason="Pull request 7 is open.") -> ev.DeliveryEnded:
    return ev.DeliveryEnded(Delivered(state, ForgeKind.GITHUB, "acme/app", "codex/notes", link=link, reason=reason))


@st.composite
def states(draw) -> RunState:
    facts = {"checks": draw(st.lists(names, max_size=3)), "guards": draw(st.lists(names, max_size=3))}
    facts |= draw(st.fixed_dictionaries({}, optional={"prompt": texts, "model": texts, "diffstat": texts}))
    first = ev.RunStarted("run-1", draw(texts), draw(texts), facts)
    middle = draw(st.lists(events, max_size=8))
    last = draw(st.lists(verdicts, max_size=1))
    return fold(records([first, *middle, *last]))


def exited(code: int = 0) -> ProcessExit:
    return ProcessExit(code, None, StopReason.NONE, 100, 0, 0, Sweep.CLEAN)


def a_run(
    *after_the_first_attempt, exit_code: int = 0, reason: str = "the agent completed its turn", remedy: str = ""
) -> RunState:
    """A run whose first attempt met a failing service and whose second did the work."""
    facts = {
        "prompt": "Write the release notes.\nBe brief.",
        "checks": ["docs build", "spelling"],
        "guards": ["process sweep", "revocation"],
        "model": "gpt-5.5",
        "codex": {"version": "0.169.0"},
        "tree": {"head": "843b349cc7464234da3ea1041740146f42a0835d"},
    }
    second = after_the_first_attempt or (
        ev.AttemptStarted(2, reason="the service may be back"),
        ev.ThreadStarted("019a"),
        ev.TurnStarted(),
        ev.ItemStarted(ev.Command("c1", "git log", "", None, "in_progress")),
        ev.ItemCompleted(ev.Command("c1", "git log", "abc\n", 0, "completed")),
        ev.ItemCompleted(ev.FileChange("f1", (ev.FileEdit("/w/RELEASE_NOTES.md", "add"),), "completed")),
        ev.ItemCompleted(ev.AgentMessage("m1", "The notes are written.")),
        ev.TurnCompleted(Usage(1000, 800, 50, 10)),
        ev.Guarded("process sweep", passed=True, message="no process of the agent is left", seconds=0.1),
        ev.AttemptEnded(2, Ending(None, "the agent completed its turn"), exited()),
        ev.Changed(1, 12, "RELEASE_NOTES.md | added +12 -0\n"),
        ev.CheckEnded("docs build", passed=True, exit_code=0, seconds=1.5, output="built\n"),
        ev.CheckEnded("spelling", passed=True, exit_code=0, seconds=0.0, output=""),
        ev.ArtifactKept("artifacts/RELEASE_NOTES.md", 1234, "0" * 64),
        ev.Guarded("revocation", passed=True, message="the login is revoked"),
    )
    return fold(
        records(
            [
                ev.RunStarted("20260102T030405Z-release-notes-0a1b2c3d", "release-notes", "local", facts),
                ev.AttemptStarted(1),
                ev.ThreadStarted("0199"),
                ev.TurnFailed("Selected model is at capacity."),
                ev.AttemptEnded(1, Ending(Failure.CAPACITY, "the model has no capacity"), exited(1)),
                *second,
                ev.RunEnded(exit_code, "succeeded" if exit_code == 0 else "failed", reason, remedy),
            ]
        )
    )
