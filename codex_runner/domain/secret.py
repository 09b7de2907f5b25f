"""Secret values that print as a mask."""

from __future__ import annotations

from dataclasses import field

from codex_runner.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that must never be shown. `name` is public: the mask `***NAME***` shows it.

    `reveal()` is the only access to the value. Call it only for bytes that go to codex or Vault, and in the redactor.
    """

    name: str
    _value: str = field(repr=False)

    def reveal(self) -> str:
        """Return the value itself."""
        return self._value

    def __str__(self) -> str:
        """Return the mask."""
        return f"***{self.name}***"

    def __repr__(self) -> str:
        """Return the mask."""
        return f"Secret({self.name!r}, '***')"

    def __bool__(self) -> bool:
        """Whether the value is not empty."""
        return bool(self._value)

    def __reduce__(self) -> str:
        """Refuse to be pickled: a pickle is a file with the value in it."""
        raise TypeError("a Secret cannot be pickled")
