"""The JUnit report: one suite for each job, red if and only if the run's exit code is not 0.

junit-xml builds the tree. `_complete` adds what it leaves out, and `_read_back` parses the result and counts its cases
before it is written. The report follows Jenkins's junit-10 schema, the strictest of its readers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from codex_runner.dataclass import dataclass
from codex_runner.domain.delivery import DeliveryState
from codex_runner.domain.errors import RunnerError
from codex_runner.domain.event import NOT_JUDGED
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.gate import GateDecision
from codex_runner.domain.job import OWN_CHECKS
from codex_runner.reports import facts
from codex_runner.reports.outcome import Blame, blame, failure_class, failure_exit_code, meaning, reason, remedy, word
from codex_runner.reports.room import REPORT_BYTES
from codex_runner.text.clean import clean, without_attachments
from codex_runner.text.counts import counted
from codex_runner.text.dates import format_instant
from codex_runner.text.durations import format_elapsed, plausible
from codex_runner.text.excerpts import one_line, tail

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from codex_runner.domain.attempt_state import Attempt
    from codex_runner.domain.event import CheckEnded, Guarded
    from codex_runner.domain.state import RunState

CASE_BYTES = 1_000_000
_SHORT_BYTES = 64_000
_LEAST = 100  # bytes of a case: shorter texts would say nothing
_ATTEMPTS_SHOWN = 20
_ATTACHMENTS = 200
_NOT_REACHED = "not reached: the run ended before it"
_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Why a case is red. `message` is never empty: junit-xml drops a trouble without one, and the case turns green."""

    blame: Blame
    type: str
    message: str
    output: str


@dataclass(frozen=True, slots=True)
class _Case:
    """A test case before it is XML. `limit` bounds the bytes of its texts together."""

    classname: str
    name: str
    seconds: float
    trouble: _Trouble | None = None
    skipped: str = ""
    out: str = ""
    err: str = ""
    earlier: tuple[_Trouble, ...] = ()
    attachments: tuple[str, ...] = ()


def junit(state: RunState, *, guards: bool = True, folder: Path | None = None, limit: int = REPORT_BYTES) -> bytes:
    """Return the report of a run as XML in UTF-8, in at most `limit` bytes.

    Without `guards`, only failed, tolerated and unjudged guards are shown. With the run's absolute `folder`, artifacts
    are named as attachments. A run without a verdict is red.
    """
    cases = _cases(state, guards, folder)
    texts = limit
    data = _xml(state, cases, texts)
    while len(data) > limit and texts:
        # Escaping makes a text up to five times longer.
        texts = texts * limit // len(data) * 9 // 10
        if texts < _LEAST * len(cases):
            texts, cases = 0, [replace(case, earlier=(), attachments=()) for case in cases]
        data = _xml(state, cases, texts)
    _read_back(data, cases)
    return data


def _xml(state: RunState, cases: list[_Case], texts: int) -> bytes:
    """Return the cases as XML, with at most `texts` bytes of text in all."""
    limit = min(CASE_BYTES, texts // len(cases))
    data: bytes = _DECLARATION + ET.tostring(_complete(_tree(state, cases, limit), cases, limit), encoding="utf-8")
    return data


# --- the run as cases ------------------------------------------------------------------------------------------------


def _cases(state: RunState, guards: bool, folder: Path | None) -> list[_Case]:  # noqa: FBT001 - passed on as given
    job = one_line(state.job, 200) or "job"
    checks = [_check_case(state, job, name) for name in facts.every(state, "checks")]
    promises = [_guard_case(state, job, name) for name in facts.every(state, "guards")]
    delivery = [*_gate_cases(state, job), *_delivery_cases(state, job)]
    told = {case.trouble.blame for case in (*checks, *promises, *delivery) if case.trouble}
    agent = _agent_case(state, job, told, folder)
    if not guards:
        promises = [case for case in promises if case.trouble or (case.skipped and case.skipped != _NOT_REACHED)]
    return _uniquely_named([agent, *checks, *delivery, *promises])


def _agent_case(state: RunState, job: str, told: set[Blame], folder: Path | None) -> _Case:
    """Return the agent's case. It carries the verdict if no check and no guard does."""
    trouble = None if _agent_did_its_turn(state, told) else _verdict_trouble(state)
    verdict = state.verdict
    failed = [attempt for attempt in state.attempts if attempt.ending and attempt.ending.failure]
    if trouble is not None and failed and failed[-1] is state.attempt:
        failed.pop()
    return _Case(
        classname=job,
        name="agent",
        seconds=sum(plausible((each.ended or state.updated) - each.started) for each in state.attempts),
        trouble=trouble,
        skipped=reason(verdict) if verdict and not verdict.exit_code and verdict.result == "skipped" else "",
        out=_agent_output(state),
        err="\n".join(f"{d.level} {d.message}" for attempt in state.attempts for d in attempt.diagnostics),
        earlier=tuple(_attempt_trouble(attempt) for attempt in failed[-_ATTEMPTS_SHOWN:]),
        attachments=_attachments(state, folder),
    )


def _agent_did_its_turn(state: RunState, told: set[Blame]) -> bool:
    if state.verdict is None:
        return False
    if state.verdict.exit_code == 0:
        return True
    ending = state.attempt.ending if state.attempt else None
    return ending is not None and ending.failure is None and blame(state.verdict.exit_code) in told


def _verdict_trouble(state: RunState) -> _Trouble:
    verdict = state.verdict
    said = reason(verdict)
    kind = failure_class(state) or word(verdict) if verdict else "unfinished"
    lines = [said, remedy(verdict)]
    if verdict:
        lines.append(f"Exit code {verdict.exit_code}: {meaning(verdict.exit_code)}.")
    attempt = state.attempt
    if attempt:
        seen = (attempt.turn_error, attempt.last_error, *(d.message for d in attempt.diagnostics[-5:]))
        lines += [line for line in dict.fromkeys(seen) if line and line not in said]
        lines += [f"process: {attempt.exit}"] if attempt.exit else []
    where = blame(verdict.exit_code) if verdict else Blame.INFRASTRUCTURE
    return _Trouble(where, kind, said, "\n".join(line for line in lines if line))


def _attempt_trouble(attempt: Attempt) -> _Trouble:
    ending = attempt.ending
    message = f"attempt {attempt.number}: {ending.message if ending else 'no ending'}"
    seconds = (attempt.ended or attempt.started) - attempt.started
    how = f" with {attempt.exit}" if attempt.exit else ""
    details = [f"{message} (after {format_elapsed(seconds)}{how})", attempt.turn_error or attempt.last_error or ""]
    failure = str(ending.failure) if ending and ending.failure else "unknown"
    where = blame(ending.exit_code) if ending else Blame.INFRASTRUCTURE
    return _Trouble(where, failure, message, "\n".join(line for line in details if line))


def _agent_output(state: RunState) -> str:
    edited = f", {counted(len(state.files), 'file')} changed" if state.files else ""
    counts = (
        f"{counted(state.commands, 'command')} ({state.failed_commands} failed){edited}, {state.usage.total:,} tokens"
    )
    return f"{counts}\n\n{state.reply}" if state.reply else counts


def _check_case(state: RunState, job: str, name: str) -> _Case:
    classname, check = f"{job}.check", state.checks.get(name)
    earlier = tuple(
        _check_trouble(attempt.checks[name], attempt=attempt.number)
        for attempt in state.attempts[:-1][-_ATTEMPTS_SHOWN:]
        if name in attempt.checks and not attempt.checks[name].passed
    )
    if check is None:
        return _Case(classname, name, 0.0, skipped=_NOT_REACHED, earlier=earlier)
    if check.passed:
        return _Case(classname, name, check.seconds, out=check.output, earlier=earlier)
    if state.verdict and state.verdict.exit_code == 0:
        return _Case(classname, name, check.seconds, skipped=f"tolerated: {_check_message(check)}", out=check.output)
    # The output only once: readers show it below the failure, which holds it already.
    return _Case(classname, name, check.seconds, _check_trouble(check), earlier=earlier)


def _check_trouble(check: CheckEnded, *, attempt: int | None = None) -> _Trouble:
    message = _check_message(check) if attempt is None else f"after attempt {attempt}: {_check_message(check)}"
    return _Trouble(Blame.JOB, "check", message, check.output)


def _check_message(check: CheckEnded) -> str:
    """Return a check's last line, which usually says why, and how it ended: lists of failures show only this."""
    if check.name in OWN_CHECKS:
        # a check of the runner's own has no command: each line of its output names one problem
        return one_line(check.output.partition("\n")[0]) or "the check failed"
    how = "ran out of time" if check.exit_code is None else f"exited with {check.exit_code}"
    how = f"{how} after {format_elapsed(check.seconds)}"
    last = next((line for line in reversed(clean(check.output).split("\n")) if line.strip()), "")
    return f"{one_line(last, 900)} ({how})" if last else f"the check {how}"


def _gate_cases(state: RunState, job: str) -> list[_Case]:
    """Return the case of the gate: it passed if it let the run go on, and is skipped if it skipped the run."""
    gate = state.gate
    if gate is None:
        return []
    out = "\n".join(part for part in (gate.reason, gate.output) if part)
    if gate.decision == GateDecision.FAIL:
        # A delivery that is held has a case of its own.
        trouble = _Trouble(Blame.JOB, "gate", one_line(gate.reason, 900), out) if state.delivery is None else None
        return [_Case(job, "gate", gate.seconds, trouble, out=out)]
    skipped = gate.reason if gate.decision == GateDecision.SKIP else ""
    return [_Case(job, "gate", gate.seconds, skipped=skipped, out=out)]


def _delivery_cases(state: RunState, job: str) -> list[_Case]:
    """Return the case of the delivery: skipped if it is held or closed, red if the run is red for it.

    A later delivery does not change the run's own verdict, so its case stays red, and says what came of it later.
    """
    delivery, own = state.delivery, state.own_delivery
    if delivery is None:
        return []
    said = f"{delivery.state.value}: {delivery.reason}"
    if delivery.later:
        said = f"{f'{own.state.value}: {own.reason} ' if own else ''}Later {said}"
    lines = (said, delivery.link, delivery.branch, delivery.commit, delivery.commit_told, *delivery.warnings)
    out = "\n".join(line for line in lines if line)
    code = state.verdict.exit_code if state.verdict else 0
    if own is not None and (own.state is DeliveryState.FAILED or (own.state is DeliveryState.HELD and code)):
        trouble = _Trouble(blame(code or ExitCode.DELIVERY), "delivery", one_line(said, 900), out)
        return [_Case(job, "delivery", 0.0, trouble)]
    return [_Case(job, "delivery", 0.0, skipped="" if delivery.is_done else said, out=out)]


def _guard_case(state: RunState, job: str, name: str) -> _Case:
    classname, guard = f"{job}.guard", state.guards.get(name)
    if guard is None:
        return _Case(classname, name, 0.0, skipped=_NOT_REACHED)
    if guard.passed:
        return _Case(classname, name, guard.seconds, out=guard.message)
    if not guard.judged:
        return _Case(classname, name, guard.seconds, skipped=f"{NOT_JUDGED}: {guard.message.strip()}")
    message = guard.message.strip() or "the promise was not kept"
    if state.verdict and state.verdict.exit_code == 0:
        return _Case(classname, name, guard.seconds, skipped=f"tolerated: {message}")
    return _Case(classname, name, guard.seconds, _guard_trouble(guard, message))


def _guard_trouble(guard: Guarded, message: str) -> _Trouble:
    exit_code = failure_exit_code(guard.failure)
    where = Blame.INFRASTRUCTURE if exit_code is None else blame(exit_code)
    return _Trouble(where, guard.failure or "guard", message, message)


def _attachments(state: RunState, folder: Path | None) -> tuple[str, ...]:
    if folder is None:
        return ()
    paths = (str(folder / kept.path) for kept in state.artifacts.values())
    # Skip paths that cleaning would change, or that end the mark early: they would name another file, or none.
    return tuple(path for path in paths if path == one_line(path, 4096) and "]]" not in path)[:_ATTACHMENTS]


def _uniquely_named(cases: Iterable[_Case]) -> list[_Case]:
    """Clean the names, and number repeated ones: GitLab drops a case whose name it has seen."""
    seen: set[tuple[str, str]] = set()
    named = []
    for case in cases:
        base = one_line(case.name, 200) or "unnamed"
        name, count = base, 1
        while (case.classname, name) in seen:
            count += 1
            name = f"{base} ({count})"
        seen.add((case.classname, name))
        named.append(replace(case, name=name))
    return named


# --- as XML ----------------------------------------------------------------------------------------------------------


def _tree(state: RunState, cases: list[_Case], limit: int) -> ET.Element:
    from junit_xml import TestCase, TestSuite

    built = []
    for case in cases:
        texts = _Texts(limit)
        test = TestCase(case.name, case.classname, elapsed_sec=plausible(case.seconds))
        if case.trouble:
            add = test.add_failure_info if case.trouble.blame is Blame.JOB else test.add_error_info
            output = texts.take(case.trouble.output)
            add(
                _message(case.trouble),
                output if output.strip() else _message(case.trouble),
                one_line(case.trouble.type, 100),
            )
        elif case.skipped:
            test.add_skipped_info(one_line(case.skipped))
        marks = "\n".join(f"[[ATTACHMENT|{path}]]" for path in case.attachments)
        test.stdout = "\n\n".join(part for part in (texts.take(case.out), marks) if part)
        test.stderr = texts.take(case.err)
        built.append(test)
    suite = TestSuite(
        one_line(state.job, 200) or "job",
        built,
        hostname=one_line(state.host, 200) or None,
        timestamp=format_instant(state.started)[:19],  # UTC; the schema allows no zone
        properties=_properties(state),
    )
    root = ET.Element("testsuites")
    root.append(suite.build_xml_doc(encoding="utf-8"))
    return root


class _Texts:
    """A case's byte budget. A text gets at most half of the rest, so that later ones have a share."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def take(self, text: str) -> str:
        kept = without_attachments(tail(text, self._left // 2))
        self._left = max(0, self._left - len(kept.encode()))
        return kept.strip("\n")


def _complete(root: ET.Element, cases: list[_Case], limit: int) -> ET.Element:
    """Add what junit-xml leaves out: times of 0, earlier attempts, the root's name and totals."""
    suite, short = root[0], min(_SHORT_BYTES // 8, limit // _ATTEMPTS_SHOWN)
    del suite.attrib["disabled"]  # no reader needs it, and the schema does not allow it at every level
    for element, case in zip(suite.iter("testcase"), cases, strict=True):
        element.set("time", f"{plausible(case.seconds):.3f}")
        tag = "rerunFailure" if case.trouble else "flakyFailure"
        for position, trouble in enumerate(case.earlier, start=1 if case.trouble or case.skipped else 0):
            again = ET.Element(tag, {"message": _message(trouble), "type": one_line(trouble.type, 100)})
            ET.SubElement(again, "stackTrace").text = without_attachments(tail(trouble.output, short))
            element.insert(position, again)
    suite.set("time", f"{sum(round(plausible(case.seconds), 3) for case in cases):.3f}")
    root.set("name", "codex-runner")
    for key in ("tests", "failures", "errors", "time"):
        root.set(key, suite.attrib[key])
    return root


def _properties(state: RunState) -> dict[str, str]:
    usage = state.usage
    verdict = state.verdict
    values = {
        "run": state.run_id,
        "host": state.host,
        "thread": state.thread_id or "",
        "model": facts.model(state),
        "codex": facts.codex_version(state),
        "commit": facts.commit(state),
        "result": verdict.result if verdict else "",
        "exit_code": str(verdict.exit_code) if verdict else "",
        "attempts": str(len(state.attempts)),
        "usage.input": str(usage.input),
        "usage.cached_input": str(usage.cached_input),
        "usage.output": str(usage.output),
        "usage.reasoning_output": str(usage.reasoning_output),
        "usage.total": str(usage.total),
    }
    return {name: one_line(value, 500) for name, value in values.items() if value}


def _message(trouble: _Trouble) -> str:
    said = one_line(trouble.message) or one_line(trouble.type) or "it failed without a reason"
    return without_attachments(said)


def _read_back(data: bytes, cases: list[_Case]) -> None:
    """Parse the report as its readers will, and count its cases. Raises RunnerError if the counts are wrong."""
    root = ET.fromstring(data)  # noqa: S314 - the bytes were made a moment ago
    suite = root[0]
    kinds = {
        "tests": ("testcase", len(cases)),
        "failures": ("failure", sum(1 for case in cases if case.trouble and case.trouble.blame is Blame.JOB)),
        "errors": ("error", sum(1 for case in cases if case.trouble and case.trouble.blame is not Blame.JOB)),
        "skipped": ("skipped", sum(1 for case in cases if case.skipped and not case.trouble)),
    }
    for attribute, (tag, expected) in kinds.items():
        found = sum(1 for _ in suite.iter(tag))
        if (suite.get(attribute), found) != (str(expected), expected):
            raise RunnerError(f"junit.xml says {attribute}={suite.get(attribute)} and has {found}, of {expected}")
