"""What the reports read from a run's facts, which come from a file and may be of another version or missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codex_runner.domain.state import RunState


def planned(state: RunState, what: str) -> list[str]:
    """Return the names of the `checks` or `guards` that the run set out to do, in order, each once."""
    names = state.facts.get(what)
    return list(dict.fromkeys(str(name) for name in names)) if isinstance(names, list | tuple) else []


def every(state: RunState, what: str) -> list[str]:
    """Return the planned names of `checks` or `guards`, then those that were done without a plan."""
    done = state.checks if what == "checks" else state.guards
    return list(dict.fromkeys([*planned(state, what), *done]))


def fact(state: RunState, *names: str) -> str:
    """Return the first of these facts that is there, as text; of the run itself, of its job, or of the job's codex."""
    job = _mapping(state.facts.get("job"))
    for source in (state.facts, job, _mapping(job.get("codex"))):
        for name in names:
            value = source.get(name)
            if isinstance(value, str | int | float) and value != "":
                return str(value)
    return ""


def prompt(state: RunState) -> str:
    """Return what the agent was asked."""
    return fact(state, "prompt")


def model(state: RunState) -> str:
    """Return the model that the job names; empty where codex chose."""
    return fact(state, "model")


def codex_version(state: RunState) -> str:
    """Return the version of the codex that ran."""
    version = _mapping(state.facts.get("codex")).get("version")
    return str(version) if isinstance(version, str) else ""


def commit(state: RunState) -> str:
    """Return the commit that the agent began with; empty where git was not asked."""
    head = _mapping(state.facts.get("tree")).get("head")
    return head if isinstance(head, str) else ""


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
