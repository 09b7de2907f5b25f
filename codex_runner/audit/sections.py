"""The sections of an audit: who, what, with whose token, what it touched, what held, and where the logs are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from codex_runner.audit.fact import NOT_KNOWN, Fact, Section, at_record, below, listed, told
from codex_runner.domain import event as ev
from codex_runner.domain.event import to_json
from codex_runner.domain.job import prompt_sha256
from codex_runner.text.dates import format_instant

if TYPE_CHECKING:
    from codex_runner.audit.trail import Trail

_ORIGIN: Final = ("actor", "trigger", "repository", "workflow_ref", "sha", "pipeline_run")
_CREDENTIAL: Final = (
    *("source", "place", "mount", "path", "field", "version", "owner", "workflow"),
    *("issued_at", "expires_at", "created_at", "auth_method", "auth_role"),
)
# Keys of a job that are a policy: what limits the agent, or who may start it.
_POLICIES: Final = ("rules", "limits", "budget", "trust", "retry", "concurrency", "secret_scan", "instructions", "gate")


def sections(trail: Trail) -> dict[str, Section]:
    """Return all sections, in their order."""
    return {
        "who": _who(trail),
        "what": _what(trail),
        "token": _token(trail),
        "touched": _touched(trail),
        "held": _held(trail),
        "logs": _logs(trail),
    }


def _fact(trail: Trail, *keys: str) -> Fact:
    return told(trail.state.facts, trail.seq_of(*keys), *keys)


def _who(trail: Trail) -> Section:
    origin = {name: _fact(trail, "provenance", "origin", name) for name in _ORIGIN}
    return {
        **origin,
        "link": _fact(trail, "provenance", "link"),
        "runner_host": _fact(trail, "provenance", "runner_host"),
    }


def _what(trail: Trail) -> Section:
    state, first = trail.state, at_record(trail.started)
    prompt = below(state.facts, "job", "prompt")
    verdict, end = state.verdict, at_record(trail.last.get(ev.RunEnded.kind))
    commit = _fact(trail, "tree", "head")
    if state.workspace is not None:
        commit = Fact(state.workspace.commit, f"{at_record(trail.last.get(ev.WorkspaceMade.kind))}, commit")
    return {
        "run_id": _of(state.run_id, first),
        "job": _of(state.job, first),
        "host": _of(str(state.host), first),
        "started": _of(format_instant(state.started), first),
        "prompt_sha256": _of(
            prompt_sha256(prompt),
            f"{first}, job.prompt as it is recorded",
        ),
        "model": _fact(trail, "model"),
        "codex_version": _fact(trail, "codex", "version"),
        "codex_path": _fact(trail, "codex", "path"),
        "codex_runner_version": _fact(trail, "provenance", "codex_runner"),
        "config_sha256": _fact(trail, "provenance", "config_sha256"),
        "settings_sha256": _fact(trail, "configuration"),
        "commit": commit,
        "attempts": listed(
            [attempt.number for attempt in state.attempts], at_record(trail.last.get("attempt.started"))
        ),
        "result": _of(verdict and verdict.result, end),
        "exit_code": _of(verdict and verdict.exit_code, end),
        "reason": _of(verdict and verdict.reason, end),
        "ended": _of(verdict and state.ended and format_instant(state.ended), end),
    }


def _of(value: Any, source: str) -> Fact:
    return NOT_KNOWN if value is None or value == "" or not source else Fact(value, source)


def _token(trail: Trail) -> Section:
    facts = {name: _fact(trail, "credential", name) for name in _CREDENTIAL}
    of_delivery = below(trail.state.facts, "job", "delivery", "credential")
    guard = trail.state.guards.get("vault-revocation")
    kind = _fact(trail, "job", "credential", "kind")
    return {
        "kind": kind if kind.is_known else _none(trail, "credential"),
        **facts,
        "login_given_back": _of(
            guard.passed if guard and guard.judged else None, at_record(trail.guards.get("vault-revocation"))
        ),
        "delivery_source": told(trail.state.facts, trail.started, "job", "delivery", "credential", "source"),
        "delivery_place": _of(_place(of_delivery), f"{at_record(trail.started)}, job.delivery.credential"),
    }


def _none(trail: Trail, key: str) -> Fact:
    """Return "none" if the job's record says that it has no such key. Not known without a record."""
    job = below(trail.state.facts, "job")
    has_none = isinstance(job, dict) and key in job and job[key] is None
    return Fact("none", f"{at_record(trail.started)}, job.{key}") if has_none and trail.started else NOT_KNOWN


def _place(credential: Any) -> str | None:
    """Return where a delivery's token is kept, as CredentialSpec.place has it."""
    match below(credential, "source"):
        case "vault":
            return f"{below(credential, 'mount')}/{below(credential, 'path')}"
        case "env":
            return f"${below(credential, 'variable')}"
        case "file":
            return str(below(credential, "file"))
        case _:
            return None


def _touched(trail: Trail) -> Section:
    state, changed = trail.state, trail.state.changes
    seen = at_record(trail.last.get(ev.Changed.kind))
    ready = at_record(trail.last.get(ev.DeliveryReady.kind))
    # The agent's own items are known once an attempt was there: an empty list then means that it did nothing.
    ran = at_record(trail.last.get(ev.AttemptEnded.kind) or trail.last.get(ev.AttemptStarted.kind))
    return {
        "changed_paths": _of(changed and changed.paths, f"{seen}, paths" if seen else ""),
        "changed_lines": _of(changed and changed.lines, f"{seen}, lines" if seen else ""),
        "changes": listed(changed.diffstat.splitlines() if changed else [], f"{seen}, diffstat" if seen else ""),
        "repositories": listed(changed.repositories if changed else [], f"{seen}, repositories" if seen else ""),
        "base_commit": _fact(trail, "tree", "head"),
        "tree": _of(state.ready.tree if state.ready else None, f"{ready}, tree" if ready else ""),
        "edits_by_agent": listed(list(trail.edits.values()), ran),
        "commands": listed(trail.commands, ran),
        "tool_calls": listed(trail.calls, ran),
        "web_searches": listed(trail.searches, ran),
        "sandbox": _fact(trail, "sandbox"),
        "permissions": _fact(trail, "permissions"),
        **_delivery(trail),
    }


def _delivery(trail: Trail) -> Section:
    done = trail.state.delivery
    source = at_record(trail.last.get(ev.DeliveryEnded.kind)) if done else ""
    names = ("state", "target", "repository", "base", "branch", "commit", "tree", "number", "link", "way", "signed")
    values = to_json(done) if done else {}
    facts = {name: _of(values.get(name), f"{source}, delivery.{name}" if source else "") for name in names}
    if done is None:
        facts["state"] = _none(trail, "delivery")
    return {f"delivery_{name}": fact for name, fact in facts.items()}


def _held(trail: Trail) -> Section:
    state, job = trail.state, below(trail.state.facts, "job")
    guards = [
        {"name": name, "outcome": guard.outcome, "failure": guard.failure, "source": at_record(trail.guards[name])}
        for name, guard in state.guards.items()
    ]
    checks = [
        {
            "name": name,
            "outcome": "passed" if check.passed else "failed",
            "exit_code": check.exit_code,
            "source": at_record(trail.checks[name]),
        }
        for name, check in state.checks.items()
        if name in trail.checks
    ]
    gate = at_record(trail.last.get(ev.Gated.kind)) if state.gate else ""
    rules = at_record(trail.last.get(ev.Changed.kind)) if state.changes else ""
    first = at_record(trail.started)
    return {
        "policies": _of(
            {name: job[name] for name in _POLICIES if job.get(name) is not None} if isinstance(job, dict) else None,
            f"{first}, job",
        ),
        "guards": listed(guards, first),
        "guards_without_outcome": _missing(trail, "guards", set(state.guards)),
        "checks": listed(checks, first),
        "checks_without_outcome": _missing(trail, "checks", set(state.checks)),
        "gate": _of(state.gate and {"decision": state.gate.decision, "reason": state.gate.reason}, gate),
        "broken_path_rules": listed(
            state.changes.findings if state.changes else [], f"{rules}, findings" * bool(rules)
        ),
        "leaks": listed(trail.leaks, at_record(trail.last.get(ev.RunEnded.kind))),
        "approvals": listed(trail.approvals, "events.jsonl") if trail.approvals else NOT_KNOWN,
    }


def _missing(trail: Trail, what: str, done: set[str]) -> Fact:
    planned = below(trail.state.facts, what)
    if not isinstance(planned, list | tuple):
        return NOT_KNOWN
    left = [str(name) for name in planned if name not in done]
    return listed(left, f"{at_record(trail.started)}, {what}")


def _logs(trail: Trail) -> Section:
    return {
        "audit_file": _fact(trail, "provenance", "audit_file"),
        "syslog": _fact(trail, "provenance", "syslog"),
        "pipeline": _fact(trail, "provenance", "link"),
    }
