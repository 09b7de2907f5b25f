"""Budgets: whether a run has exceeded a limit, and what its tokens cost. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codex_runner.domain.policy import Budget, Price
    from codex_runner.domain.run import Usage
    from codex_runner.domain.state import RunState

_MILLION = Decimal(1_000_000)


def cost(usage: Usage, price: Price | None) -> Decimal | None:
    """Return the exact cost of the tokens, in the price's currency. Returns None if there is no price."""
    if price is None:
        return None
    cached = min(usage.cached_input, usage.input)
    cached_price = price.input if price.cached_input is None else price.cached_input
    total = (usage.input - cached) * price.input + cached * cached_price + usage.output * price.output
    return total / _MILLION


def over(budget: Budget, state: RunState, price: Price | None = None) -> str | None:
    """Return the first limit that the run has exceeded, with the figures. Returns None if it keeps all of them.

    A limit on tokens or money counts as exceeded if codex did not count its tokens. Files and lines are git's figures.
    Before git has been asked, the files are those that the agent says it changed, and lines are not counted.
    """
    usage, changes = state.usage, state.changes
    if (unknown := _uncounted(budget, state)) is not None:
        return unknown
    used: tuple[tuple[str, int | Decimal | None, int | Decimal | None], ...] = (
        ("tokens", usage.total, budget.tokens),
        ("input_tokens", usage.input, budget.input_tokens),
        ("output_tokens", usage.output, budget.output_tokens),
        ("turns", state.turns, budget.turns),
        ("commands", state.commands, budget.commands),
        ("changed_files", len(state.files) if changes is None else changes.paths, budget.changed_files),
        ("changed_lines", None if changes is None else changes.lines, budget.changed_lines),
        ("money", cost(usage, price), budget.money),
    )
    for name, spent, limit in used:
        if limit is not None and spent is not None and spent > limit:
            return f"budget.{name} is exceeded: {spent:,} of {limit:,}"
    # If a path rule is broken, its own message says more.
    if budget.changed_lines is not None and changes is not None and changes.uncounted and not changes.findings:
        return f"budget.changed_lines cannot be judged: git cannot count the lines of {', '.join(changes.uncounted)}"
    return None


def _uncounted(budget: Budget, state: RunState) -> str | None:
    limits = {
        "tokens": budget.tokens,
        "input_tokens": budget.input_tokens,
        "output_tokens": budget.output_tokens,
        "money": budget.money,
        "tokens_per_day": budget.tokens_per_day,
    }
    name = next((name for name, limit in limits.items() if limit is not None), None)
    if name is None or not state.uncounted:
        return None
    return f"budget.{name} cannot be judged: codex ended its turn without saying how many tokens it used"
