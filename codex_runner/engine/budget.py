"""What a run may spend, and what its tokens cost. Pure: a state comes in, the limit that it passes comes out."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from codex_runner.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codex_runner.domain.change import Change
    from codex_runner.domain.policy import Budget
    from codex_runner.domain.run import Usage
    from codex_runner.domain.state import RunState

_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens of a model cost, in one currency. Nothing is known of prices but what is configured.

    Without `cached_input`, cached tokens are counted like any other input: never too cheap.
    """

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None

    def __post_init__(self) -> None:
        """Refuse what is no price: ConfigurationError."""
        for name, value in (("input", self.input), ("output", self.output), ("cached_input", self.cached_input)):
            if value is not None and not (value.is_finite() and value >= 0):
                raise ConfigurationError(f"The price {name} = {value} is no price.")


def cost(usage: Usage, model: str | None, prices: Mapping[str, Price]) -> Decimal | None:
    """Return what the tokens cost, exactly; None where no price is configured for the model."""
    price = prices.get(model) if model is not None else None
    if price is None:
        return None
    cached = min(usage.cached_input, usage.input)
    cached_price = price.input if price.cached_input is None else price.cached_input
    total = (usage.input - cached) * price.input + cached * cached_price + usage.output * price.output
    return total / _MILLION


def over(
    budget: Budget, state: RunState, *, changed: Sequence[Change] | None = None, money: Decimal | None = None
) -> str | None:
    """Name the first limit that the run has passed, with the figures; None while it keeps them all.

    `changed` is what git sees; without it the files that the agent says it changed are counted, and no lines. `money`
    is what `cost` made of the usage.
    """
    usage = state.usage
    files = len(state.files) if changed is None else len(changed)
    lines = None if changed is None else sum(change.lines for change in changed)
    used: tuple[tuple[str, int | Decimal | None, int | Decimal | None], ...] = (
        ("tokens", usage.total, budget.tokens),
        ("input_tokens", usage.input, budget.input_tokens),
        ("output_tokens", usage.output, budget.output_tokens),
        ("turns", state.turns, budget.turns),
        ("commands", state.commands, budget.commands),
        ("changed_files", files, budget.changed_files),
        ("changed_lines", lines, budget.changed_lines),
        ("money", money, budget.money),
    )
    for name, spent, limit in used:
        if limit is not None and spent is not None and spent > limit:
            return f"budget.{name} is passed: {spent:,} of {limit:,}"
    return None
