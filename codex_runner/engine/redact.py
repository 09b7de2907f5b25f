"""Takes secrets out of bytes, a line at a time, before anything else sees them.

A secret is looked for as it is, and in the forms in which programs usually print one: escaped as in JSON, percent-
encoded, base64 in each of its three alignments, hexadecimal. What is found is replaced by a mask of fixed width that
names the secret. Overlapping finds are masked as one.
"""

from __future__ import annotations

import base64
import json
import urllib.parse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from codex_runner.domain.secret import Secret

# Shorter ones would mask half of every log and protect nothing.
SHORTEST = 6


class Redactor:
    """Knows every secret of a run: their values, and in `names` what they are called."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        """Secrets (or lines of them) shorter than SHORTEST characters are not looked for."""
        self._masks: dict[bytes, bytes] = {}
        self.names: set[str] = set()
        for secret in secrets:
            self.learn(secret)

    def learn(self, secret: Secret) -> None:
        """Look for this one too from now on. Each line of a secret of several lines counts by itself."""
        self.names.add(secret.name)
        mask = f"***{secret.name}***".encode()
        value = secret.reveal()
        for text in {value, value.strip(), *value.splitlines()}:
            if len(text) >= SHORTEST:
                for form in forms(text):
                    self._masks.setdefault(form, mask)

    def __call__(self, data: bytes) -> bytes:
        """Return `data` with every secret in it masked. The same bytes come back where there is none."""
        found = [
            (start, start + len(needle), mask) for needle, mask in self._masks.items() for start in _all(data, needle)
        ]
        if not found:
            return data
        found.sort(key=lambda hit: (hit[0], -hit[1]))
        out, done = [], 0
        for start, end, mask in found:
            if start >= done:
                out += [data[done:start], mask]
            done = max(done, end)
        return b"".join([*out, data[done:]])

    def text(self, text: str) -> str:
        """Do the same for text."""
        return self(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def found(self, data: bytes) -> bool:
        """Whether any secret is in `data`, in any form."""
        return any(needle in data for needle in self._masks)


def forms(text: str) -> set[bytes]:
    """Return the bytes under which `text` may appear."""
    raw = text.encode("utf-8", "surrogateescape")
    escaped = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    quoted = {urllib.parse.quote(raw, safe=safe) for safe in ("", "/", "~-._!*'()")} | {urllib.parse.quote_plus(raw)}
    return {
        raw,
        *(form.encode("utf-8", "surrogateescape") for form in escaped),
        *(form.encode("ascii") for form in quoted),
        raw.hex().encode(),
        raw.hex().upper().encode(),
        *_base64(raw),
    }


def _base64(raw: bytes) -> Iterator[bytes]:
    """Yield the part of each alignment that does not depend on the neighbours."""
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw)
        # The first characters hold bits of what stands before; the last group may hold bits of what follows.
        head = (0, 2, 3)[shift]
        whole = (shift + len(raw)) * 8 // 6
        core = encoded[head:whole]
        if len(core) >= SHORTEST:
            yield core
            yield core.replace(b"+", b"-").replace(b"/", b"_")


def _all(data: bytes, needle: bytes) -> Iterator[int]:
    start = data.find(needle)
    while start >= 0:
        yield start
        start = data.find(needle, start + 1)
