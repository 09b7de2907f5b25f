"""The audit as one document: the sections, the files, and what is wrong. Its version is a contract."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from codex_runner.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from codex_runner.audit.fact import Fact, Section
    from codex_runner.audit.files import FileFact

VERSION: Final = 1

# An accessor revokes its token, and messages of guards name it.
_ACCESSOR: Final = re.compile(r"(\baccessor[ =:`'\"]+)[A-Za-z0-9._-]{8,}")


@dataclass(frozen=True, slots=True)
class Audit:
    """An audit of a run: its facts by section, its files, and the sentences about what is wrong."""

    run_id: str
    sections: dict[str, Section]
    files: Sequence[FileFact]

    @property
    def problems(self) -> list[str]:
        """A sentence for each file that is not what the run has left."""
        return [f"{each.path}: {each.match}: {each.why}" for each in self.files if each.is_wrong]

    def document(self, mask: Callable[[str], str]) -> dict[str, Any]:
        """Return the document as JSON types. `mask` hides secrets in a text, also in those that records quote."""
        whole = {
            "version": VERSION,
            "run_id": self.run_id or None,
            **{name: {key: _fact(fact) for key, fact in section.items()} for name, section in self.sections.items()},
            "files": [_file(each) for each in self.files],
            "problems": self.problems,
        }
        shown: dict[str, Any] = _masked(whole, mask)
        return shown


def _fact(fact: Fact) -> dict[str, Any]:
    return {"value": fact.value if fact.is_known else None, "source": fact.source or None}


def _file(each: FileFact) -> dict[str, Any]:
    return {
        "path": each.path,
        "kind": each.kind,
        "match": str(each.match),
        "size": each.size,
        "sha256": each.sha256,
        "source": each.source or None,
        "why": each.why or None,
    }


def _masked(value: Any, mask: Callable[[str], str]) -> Any:
    """Return JSON types with masked texts. A path may have bytes outside UTF-8: they are escaped."""
    match value:
        case str():
            text = _ACCESSOR.sub(r"\1***", mask(value))
            return text.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {_masked(str(key), mask): _masked(each, mask) for key, each in value.items()}
        case list() | tuple():
            return [_masked(each, mask) for each in value]
        case _:
            return value
