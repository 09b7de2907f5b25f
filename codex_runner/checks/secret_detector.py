"""Detection of credentials by detect-secrets. Needs the `scan` extra; the library is loaded with the first line.

All of its detectors run, except those of entropy and of IP addresses, which report hashes and addresses as secrets.
There is no allow list: an agent that writes a credential could write `pragma: allowlist secret` beside it. No service
is asked whether a credential works.
"""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING

from codex_runner.domain.errors import ConfigurationError
from codex_runner.engine.secret_scan import pieces

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detect_secrets.plugins.base import BasePlugin

_LEFT_OUT = frozenset({"Base64HighEntropyString", "HexHighEntropyString", "IPPublicDetector"})

# The detector of names (`password = "..."`) takes quadratic time in a line's length.
_NAMES = "KeywordDetector"
_PIECE = 512


class DetectSecrets:
    """Implements ports.Detector."""

    def __init__(self) -> None:
        """Raises ConfigurationError if the library is not installed."""
        if find_spec("detect_secrets") is None:
            raise ConfigurationError(
                "needs detect-secrets, which is not installed.",
                remedy="Install it into codex-runner's environment: pip install 'codex-runner[scan]'.",
            )

    @cached_property
    def _detectors(self) -> list[BasePlugin]:
        from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

        classes: Mapping[str, type[BasePlugin]] = get_mapping_from_secret_type_to_class()
        return [each() for each in classes.values() if each.__name__ not in _LEFT_OUT]

    def kinds(self, path: str, text: str) -> set[str]:
        """See Detector.kinds."""
        return {each.secret_type for each in self._detectors if _sees_one(each, path, text)}


def _sees_one(detector: BasePlugin, path: str, text: str) -> bool:
    by_name = type(detector).__name__ == _NAMES
    return any(
        not _is_innocent(detector, found.secret_value or "", part, by_name=by_name)
        for part in (pieces(text, _PIECE) if by_name else (text,))
        for found in detector.analyze_line(filename=path, line=part)
    )


def _is_innocent(detector: BasePlugin, value: str, line: str, *, by_name: bool) -> bool:
    """Whether detect-secrets judges a find to be a false positive: `{password}`, `secret: read(secret)`."""
    from detect_secrets.filters import heuristic

    return (
        heuristic.is_sequential_string(value)
        or heuristic.is_templated_secret(value)
        or heuristic.is_not_alphanumeric_string(value)
        or heuristic.is_potential_uuid(value)
        or heuristic.is_likely_id_string(value, line, detector)
        or (by_name and heuristic.is_indirect_reference(line))
    )
