"""Policies of a job: retries, budget, prices, path rules, trust. Durations are in seconds."""

from __future__ import annotations

from dataclasses import field
from decimal import Decimal  # noqa: TC003 - event.build() reads the hints at run time

from codex_runner.dataclass import dataclass
from codex_runner.domain.key import NO_KEY, Form, key

_RULE = key(form=Form.RULE)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits on retries.

    `attempts` limits starts of codex, the first one included; 1 means no retry. `tries` limits starts of codex plus its
    own retries. `total` limits the seconds since the first start, waiting included; None means the job's timeout.
    `least` is the seconds that must be left after the pause. `checks` is how often the thread gets another turn after
    failed checks; `attempts` does not count these.
    """

    attempts: int = 3
    tries: int = 30
    total: float | None = None
    least: float = 30.0
    checks: int = 0


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of one run, over all its attempts. None is no limit; a run may reach a limit, but not exceed it.

    `tokens` counts input and output together (cached and reasoning tokens are in them). `money` is in the currency of
    the price table and needs one. `tokens_per_day` limits all runs of the workflow on a UTC day. Each run reserves
    `tokens` of it, so it needs that key too.
    """

    tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    turns: int | None = None
    commands: int | None = None
    changed_files: int | None = None
    changed_lines: int | None = None
    money: Decimal | None = None
    tokens_per_day: int | None = None

    @property
    def unlimited(self) -> bool:
        """Whether no limit bounds the model's cost: that gets a warning."""
        bounds = (self.tokens, self.input_tokens, self.output_tokens, self.turns, self.money)
        return all(bound is None for bound in bounds)


@dataclass(frozen=True, slots=True)
class Price:
    """The configured price of a million tokens of a model.

    Without `cached_input`, cached tokens cost as much as other input: rather too much than too little.
    """

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None
    currency: str = "USD"


@dataclass(frozen=True, slots=True)
class PathRules:
    """The paths that an agent may or must change. None is no rule; an empty `allowed_paths` allows no change.

    `must_change`: True asks for any change; globs ask for at least one change under each. `max_changed_lines` counts
    lines added and deleted together. Globs are relative to the repository's top.
    """

    allowed_paths: tuple[str, ...] | None = field(default=None, metadata=_RULE)
    forbidden_paths: tuple[str, ...] = field(default=(), metadata=_RULE)
    max_changed_lines: int | None = None
    must_change: bool | tuple[str, ...] = field(default=False, metadata=_RULE)

    @property
    def any(self) -> bool:
        """Whether there is any rule."""
        return self != PathRules()


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """Which triggers may start a job with a credential.

    `events` are the CI system's own names of the events that may start it; None means the system's default. `actors`
    are the only accounts that may start it; None means every account that can cause a trusted event. `forks` are the
    repositories whose pull requests may start it, although other people write their content. `base_config`: a pull or
    merge request must not change the run's configuration.
    """

    events: tuple[str, ...] | None = field(default=None, metadata=key("trusted_events"))
    actors: tuple[str, ...] | None = field(default=None, metadata=key("trusted_actors"))
    forks: tuple[str, ...] = field(default=(), metadata=key("trusted_forks"))
    base_config: bool = field(default=False, metadata=NO_KEY)
