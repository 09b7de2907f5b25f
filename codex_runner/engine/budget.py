"""What a run may spend, and what its tokens cost. Pure: a state comes in, the limit that it passes comes out."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codex_runner.domain.policy import Budget, Price
    from codex_runner.domain.run import Usage
    from codex_runner.domain.state import RunState

_MILLION = Decimal(1_000_000)


def cost(usage: Usage, price: Price | None) -> Decimal | None:
    """Return what the tokens cost, exactly, in the price's currency; None where no price is known."""
    if price is None:
        return None
    cached = min(usage.cached_input, usage.input)
    cached_price = price.input if price.cached_input is None else price.cached_input
    total = (usage.input - cached) * price.input + cached * cached_price + usage.output * price.output
    return total / _MILLION


def over(budget: Budget, state: RunState, price: Price | None = None) -> str | None:
    """Name the first limit that the run has passed, with the figures; None while it keeps them all.

    A limit on tokens or money is not kept if codex did not count what it used. Files and lines are those that git saw.
    Before it was asked, the files that the agent says it changed are counted, and no lines.
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
            return f"budget.{name} is passed: {spent:,} of {limit:,}"
    # What a rule forbids is told by the rule.
    if budget.changed_lines is not None and changes is not None and changes.uncounted and not changes.findings:
        return f"budget.changed_lines cannot be told: nobody can count the lines of {', '.join(changes.uncounted)}"
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
