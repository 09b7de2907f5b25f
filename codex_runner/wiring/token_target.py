"""What a token is for: one workflow, and the codex that will use it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from codex_runner.domain.job import CodexSettings

if TYPE_CHECKING:
    from codex_runner.domain.credential import CredentialSpec
    from codex_runner.vault.token_metadata import TokenPlace


@dataclass(frozen=True, slots=True)
class Target:
    """A workflow's token: its name, where it lies, and the codex that will use it.

    `job` is the one that the configuration has for it, with its `timeout` in seconds; None if it has none.
    """

    workflow: str
    spec: CredentialSpec
    codex: CodexSettings = field(default_factory=CodexSettings)
    job: str | None = None
    timeout: float = 0.0

    @property
    def place(self) -> TokenPlace:
        """Where it lies."""
        from codex_runner.vault.token_metadata import TokenPlace

        return TokenPlace(self.spec.mount, self.spec.path)
