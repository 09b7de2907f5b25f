"""What Vault needs for one workflow: planned, printed, or made with a Vault token that has the rights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_runner.app.tokens import operators_vault
from codex_runner.vault.lease import logged_in
from codex_runner.vault.oidc import repository_id
from codex_runner.vault.provision import apply
from codex_runner.vault.rendering import SetupFormat, render
from codex_runner.vault.setup import DEFAULT_MOUNT, SetupRequest, Step, plan, require_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from codex_runner.config import Config
    from codex_runner.engine.bounded import StopFlag

__all__ = ["DEFAULT_MOUNT", "SetupRequest", "Step", "make", "plan", "rendered", "repository_id", "require_safe"]


def rendered(steps: Sequence[Step], form: str) -> str:
    """Return the steps as text: `form` is sh, hcl or terraform."""
    return render(steps, SetupFormat(form))


def make(  # noqa: PLR0913, PLR0917 - what, where, and three ways to tell
    steps: Sequence[Step],
    config: Config | None,
    environ: Mapping[str, str],
    done: Callable[[str], None],
    tell: Callable[[str], None],
    interruption: AbstractContextManager[StopFlag],
) -> None:
    """Carry out the steps. `done` gets a line for each, `tell` progress; `interruption`: see `logged_in`."""
    with logged_in(operators_vault(config, environ), environ, interruption, on_retry=tell) as client:
        for line in apply(client, steps):
            done(line)
