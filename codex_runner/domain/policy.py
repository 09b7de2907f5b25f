"""What a job may spend, how often it may try, and for whom it works: limits as values. Durations are in seconds."""

from __future__ import annotations

from dataclasses import field
from decimal import Decimal  # noqa: TC003 - event.build() reads the hints at run time

from codex_runner.dataclass import dataclass
from codex_runner.domain.key import NO_KEY, Form, key

_RULE = key(form=Form.RULE)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, in all, and with how much time left.

    `attempts` counts starts of codex, the first one too; 1 means never again. `tries` counts starts of codex and the
    tries that codex made by itself. `total` bounds the seconds since the first start, waiting included; None leaves it
    to the job's timeout. `least` is the time that must be left after the pause for another attempt to be worth it.
    `checks` is how often the thread is told of checks that failed and gets another turn; `attempts` leaves these out.
    """

    attempts: int = 3
    tries: int = 30
    total: float | None = None
    least: float = 30.0
    checks: int = 0


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of one run, over all its attempts; None leaves one out. What reaches a limit is fine, more is not.

    `tokens` counts input and output together (cached and reasoning tokens are in them). `money` is in the currency of
    the price table and needs one. `tokens_per_day` bounds all runs of the workflow on a UTC day; `tokens` of it are set
    aside for each, so it needs that too.
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
        """Whether nothing bounds what the model may cost: worth a warning."""
        bounds = (self.tokens, self.input_tokens, self.output_tokens, self.turns, self.money)
        return all(bound is None for bound in bounds)


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens of a model cost. Nothing is known of prices but what is configured.

    Without `cached_input`, cached tokens are counted like any other input: never too cheap.
    """

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None
    currency: str = "USD"


@dataclass(frozen=True, slots=True)
class PathRules:
    """What an agent may change, and must. None leaves a rule out; an empty `allowed_paths` allows no change at all.

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
    """Whom a job with a credential works for.

    `events` are the CI system's own names of what may start it; None is the default of that system. `actors` are the
    only accounts that may; None is everyone who can cause a trusted event. `forks` are the repositories whose pull
    requests may, though somebody else writes what is in them. `base_config`: whether a pull or merge request may not
    change what the run is configured by.
    """

    events: tuple[str, ...] | None = field(default=None, metadata=key("trusted_events"))
    actors: tuple[str, ...] | None = field(default=None, metadata=key("trusted_actors"))
    forks: tuple[str, ...] = field(default=(), metadata=key("trusted_forks"))
    base_config: bool = field(default=False, metadata=NO_KEY)
