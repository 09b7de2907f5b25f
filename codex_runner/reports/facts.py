"""Access to a run's facts for the reports. Facts come from a file: they may be another version's, or missing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from codex_runner.domain.event import Warned, build
from codex_runner.domain.folder import PATCH
from codex_runner.domain.policy import Price
from codex_runner.engine.budget import cost

if TYPE_CHECKING:
    from decimal import Decimal

    from codex_runner.domain.state import RunState

_LINK = re.compile(r"https?://[\w.:/#?=&%~+-]+", re.ASCII)


def planned(state: RunState, what: str) -> list[str]:
    """Return the names of the run's planned `checks` or `guards`, in order, each once."""
    names = state.facts.get(what)
    return list(dict.fromkeys(str(name) for name in names)) if isinstance(names, list | tuple) else []


def every(state: RunState, what: str) -> list[str]:
    """Return the planned names of `checks` or `guards`, then those that were done without a plan."""
    done = state.checks if what == "checks" else state.guards
    return list(dict.fromkeys([*planned(state, what), *done]))


def fact(state: RunState, *names: str) -> str:
    """Return the first known fact of these names as text, from the run, its job, or the job's codex; else empty."""
    job = _mapping(state.facts.get("job"))
    for source in (state.facts, job, _mapping(job.get("codex"))):
        for name in names:
            value = source.get(name)
            if isinstance(value, str | int | float) and value != "":
                return str(value)
    return ""


def pull_link(state: RunState) -> str:
    """Return the address of the delivery's pull request; empty without one, and if it is no plain http(s) address."""
    link = state.delivery.link if state.delivery else ""
    return link if is_link(link) else ""


def is_link(text: str) -> bool:
    """Whether a text is a plain http(s) address, which a report may show as it is."""
    return _LINK.fullmatch(text) is not None


def is_settled(state: RunState) -> bool:
    """Whether `codex-runner deliver` has delivered later what the run itself did not, so that nothing is left to do."""
    return state.delivery is not None and state.delivery.later and state.delivery.is_done


def warnings(state: RunState) -> list[Warned]:
    """Return the run's warnings, and those of a later delivery, which are in its result alone."""
    late = state.delivery.warnings if state.delivery and state.delivery.later else ()
    told = {warning.message for warning in state.warnings}
    return [*state.warnings, *(Warned("delivery", sentence) for sentence in late if sentence not in told)]


def own_patch(state: RunState) -> str:
    """Return the path of the run's own changes.patch in its folder; empty if it kept none."""
    mine = (f"artifacts/run-{PATCH}", f"artifacts/{PATCH}")  # the job may have kept a file of that name itself
    return next((path for path in mine if path in state.artifacts), "")


def prompt(state: RunState) -> str:
    """Return the agent's prompt."""
    return fact(state, "prompt")


def model(state: RunState) -> str:
    """Return the model that the job names; empty if codex chose it."""
    return fact(state, "model")


def codex_version(state: RunState) -> str:
    """Return the version of the codex that ran."""
    version = _mapping(state.facts.get("codex")).get("version")
    return str(version) if isinstance(version, str) else ""


def commit(state: RunState) -> str:
    """Return the commit that the agent began with; empty if git was not asked."""
    if state.workspace is not None:
        return state.workspace.commit
    head = _mapping(state.facts.get("tree")).get("head")
    return head if isinstance(head, str) else ""


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def money(state: RunState) -> tuple[Decimal, str] | None:
    """Return the cost of the run's tokens and its currency. Returns None if its model has no configured price."""
    price = _mapping(_mapping(state.facts.get("job")).get("price"))
    try:
        known: Price = build(Price, price)
        amount = cost(state.usage, known)
    except (TypeError, ValueError, ArithmeticError):  # no price, or another version's
        return None
    return None if amount is None else (amount, known.currency)
