"""A secret, and the promise that printing it prints a mask."""

from __future__ import annotations

from dataclasses import field

from codex_runner.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that must never be shown, and the name under which its absence is shown.

    `name` is what a mask says (`***NAME***`), so it must not itself be secret.
    `reveal()` is the only way to the value; it is called where bytes leave for codex or Vault, and in the redactor.
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
        """Whether there is a value at all."""
        return bool(self._value)

    def __reduce__(self) -> str:
        """Refuse to be pickled: a pickle is a file with the value in it."""
        raise TypeError("a Secret cannot be pickled")
