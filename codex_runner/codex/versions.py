"""The versions of codex: those that the tests run, the oldest one, and those that are known to be bad.

This table is the one owner. The preflight refuses a codex by it before codex gets a token, and `doctor` reports it.
docs/compatibility.md is generated from it. The tests and the nightly workflow run the versions that it names.
"""

from __future__ import annotations

import enum
import re
from typing import Final

from codex_runner.dataclass import dataclass

_NUMBERS = re.compile(r"(\d+)\.(\d+)\.(\d+)(\S*)")


class Standing(enum.Enum):
    """What the table says of a version. A run refuses `BAD`, `TOO_OLD` and `UNKNOWN`."""

    SUPPORTED = "supported"
    UNTESTED = "untested"
    BAD = "known to be bad"
    TOO_OLD = "too old"
    UNKNOWN = "unknown"

    @property
    def is_refused(self) -> bool:
        """Whether a run with such a codex does not begin."""
        return self not in {Standing.SUPPORTED, Standing.UNTESTED}


@dataclass(frozen=True, slots=True)
class Release:
    """A version that the tests run, and the package that brings it."""

    version: str
    package: str
    index: str


@dataclass(frozen=True, slots=True)
class Bad:
    """Versions that a run refuses, from `first` to `last`, both included: for a reason, and with what to do instead.

    `reason` follows "codex 0.165.0 is known to be bad: ", without a full stop. `remedy` is an imperative sentence.
    """

    first: str
    last: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class VersionVerdict:
    """What the table says of one version. `why` is half a sentence, `remedy` a sentence; it is empty if all is well."""

    standing: Standing
    why: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Versions:
    """A table. `tested` goes from the oldest supported version to the newest tested one.

    A prerelease or build (`0.169.0-alpha.3`) is older or newer by its three numbers alone.
    """

    tested: tuple[Release, ...]
    bad: tuple[Bad, ...] = ()

    @property
    def oldest(self) -> Release:
        """The oldest version that is supported."""
        return self.tested[0]

    @property
    def newest(self) -> Release:
        """The newest version that the tests run."""
        return self.tested[-1]

    def judge(self, version: str) -> VersionVerdict:
        """Judge a version as codex says it, without its name: `0.163.0`."""
        numbers, oldest, newest = _numbers(version), self.oldest.version, self.newest.version
        if numbers is None:
            return VersionVerdict(Standing.UNKNOWN, "this is no version", f"Install {newest}.")
        if numbers < _known(oldest):
            return VersionVerdict(
                Standing.TOO_OLD, f"too old: the oldest supported version is {oldest}", f"Install {oldest} or later."
            )
        for bad in self.bad:
            if _known(bad.first) <= numbers <= _known(bad.last):
                return VersionVerdict(Standing.BAD, f"known to be bad: {bad.reason}", bad.remedy)
        if numbers > _known(newest):
            return VersionVerdict(
                Standing.UNTESTED,
                f"untested: the newest version that was tested is {newest}",
                f"If a run with it fails and you find no other cause, install {newest}.",
            )
        return VersionVerdict(Standing.SUPPORTED, f"supported: {oldest} to {newest}")


def _numbers(version: str) -> tuple[int, ...] | None:
    found = _NUMBERS.fullmatch(version)
    return tuple(map(int, found.groups()[:3])) if found else None


def _known(version: str) -> tuple[int, ...]:
    numbers = _numbers(version)
    if numbers is None:
        raise ValueError(version)
    return numbers


VERSIONS: Final = Versions(
    tested=(
        Release("0.163.0", "openai-codex-cli-bin", "PyPI"),
        Release("0.171.0", "@openai/codex", "npm"),
    ),
)
