"""The redactor: masks secrets in bytes, a line at a time, before any other code sees them.

It searches for each secret as it is, and in the forms in which programs usually print one: JSON escapes, percent-
encoding, all or some characters escaped, base64 in each of its three alignments, hexadecimal. A secret that is a
document is searched part by part, too. A mask of fixed width, with the secret's name, replaces each find; overlapping
finds get one mask. Text that only looks like a token becomes `***token***`. Invisible text within a secret (colours,
controls) does not hide it.
"""

from __future__ import annotations

import base64
import bisect
import itertools
import json
import re
import urllib.parse
from typing import TYPE_CHECKING

from codex_runner.redaction import escaped, quoted, shown, token_shapes, unseen, wrapped
from codex_runner.redaction.secret_parts import PLAIN, SHORTEST, parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from codex_runner.domain.secret import Secret
    from codex_runner.redaction.derived import Text

_Span = tuple[int, int, bytes]

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*', re.DOTALL)
_PERCENT = re.compile(r"%[0-9A-F]{2}")
_HTML = re.compile("[&<>']")
_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{4}|.)", re.DOTALL)

# Shorter rows of letters are too common to narrow the search.
_NARROW = 16

# How far from invisible text an unknown token is searched, in bytes.
_REACH = 256


class Redactor:
    """Knows all secrets of a run: their values, and their `names`."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        """Learn these secrets. Those (or lines of them) shorter than SHORTEST characters are not searched."""
        self._masks: dict[bytes, bytes] = {}
        # Needles with a long row of token letters, with that row, and all other needles.
        self._rows: dict[bytes, bytes] = {}
        self._others: list[bytes] = []
        # Secrets that programs quote, each with the part that no quoting changes.
        self._quoted: dict[str, bytes] = {}
        # Compiled when first needed. Per instance, since a cache of the module would keep secrets after their run.
        self._patterns: dict[str, re.Pattern[bytes]] = {}
        self._shortest = token_shapes.SHORTEST
        self._alphabet = token_shapes.ALPHABET
        self.longest = 0
        """The length in bytes of the longest secret, in any form; 0 if there is none."""
        self.names: set[str] = set()
        self._spared: set[str] = set()
        self._raw = 0
        # The needles of documents' parts, and those among them that are common words.
        self._parts: set[bytes] = set()
        self._passed: set[bytes] = set()
        for secret in secrets:
            self.learn(secret)

    def learn(self, secret: Secret) -> None:
        """Mask this secret too from now on, and each part of it that is secret by itself: see `secret_parts`."""
        self.names.add(secret.name)
        mask = f"***{secret.name}***".encode()
        value = secret.reveal()
        whole = {value, value.strip()}
        for text in whole | parts(value):
            if len(text) < SHORTEST:
                continue
            self._raw = max(self._raw, len(text.encode("utf-8", "surrogateescape")))
            made = forms(text)
            if anchor := quoted.anchor_of(text):
                self._quoted[text] = anchor
            for form in made:
                self._masks.setdefault(form, mask)
            if text not in whole:
                self._parts |= made
                self._passed |= made if PLAIN.fullmatch(text) else set()
        self._sort()

    def pass_over(self, said: bytes) -> None:
        """Exempt parts of secrets that are in the configuration `said` from `names_in`. They are still masked."""
        self._passed |= {part for part in self._parts if part in said}

    def spare(self, names: Iterable[str]) -> None:
        """Exempt the secrets of these names from `names_in`. They are still masked."""
        self._spared |= set(names)

    def _sort(self) -> None:
        rows = {each: token_shapes.longest_row(each) for each in self._masks}
        self._rows = {each: row for each, row in rows.items() if len(row) >= _NARROW}
        self._others = [each for each in self._masks if each not in self._rows]
        self._shortest = min([token_shapes.SHORTEST, *map(len, self._rows.values())])
        self.longest = max([*map(len, self._masks), escaped.WIDEST * self._raw])
        self._alphabet = bytes({*token_shapes.ALPHABET, *b"".join(self._masks)})

    def __call__(self, data: bytes) -> bytes:
        """Return `data` with every secret in it masked; unchanged if there is none.

        A line of JSON stays valid, unless a secret looks like JSON's own punctuation.
        """
        spans = self.spans(data)
        if not spans:
            return data
        masked = _covered(data, spans)
        if data[:1] not in (b"{", b"[") or _is_json(masked) or not _is_json(data):
            return masked
        # A secret began or ended within an escape ("n..." in `\\n...`), or it is a number.
        covered = _covered(data, _within_tokens(data, spans))
        return masked if self.found(covered) else covered

    def spans(self, data: bytes) -> list[_Span]:
        """Return the spans to mask, from left to right: begin, end and mask.

        Overlapping finds are one span, with the mask of the first.
        """
        classes = token_shapes.classes_of(data)
        narrowed = self._narrowed(data, classes)
        found = self._finds(data, narrowed)
        for begin, part, reading in self._around_unseen(data, classes):
            seen = reading.seen(part)
            if hidden := self._finds(seen, self._narrowed(seen)):
                at = reading.origins(part)
                # Only finds with invisible text within them: others are found already, or begin at a cut of this part.
                found += [
                    (begin + at[start], begin + at[end - 1] + 1, mask)
                    for start, end, mask in hidden
                    if at[end - 1] - at[start] > end - 1 - start
                ]
        for begin, text in self._unescaped(data):
            if hidden := self._finds(text.plain, self._narrowed(text.plain)):
                starts, ends = text.origins()
                # Only finds with an escape within them: others are found already.
                found += [
                    (begin + starts[start], begin + ends[end - 1], mask)
                    for start, end, mask in hidden
                    if ends[end - 1] - starts[start] > end - start
                ]
        for text in wrapped.readings(data) if narrowed else ():
            # Only known secrets, no token shapes: the next line does not continue a token.
            starts, ends = text.origins()
            found += [
                (starts[at], ends[at + len(needle) - 1], self._masks[needle])
                for needle in self._present(text.plain, self._narrowed(text.plain))
                for at in _all(text.plain, needle)
                if ends[at + len(needle) - 1] - starts[at] > len(needle)
            ]
        found.sort(key=lambda hit: (hit[0], -hit[1]))
        spans: list[_Span] = []
        for start, end, mask in found:
            if spans and start < spans[-1][1]:
                begin, before, name = spans[-1]
                spans[-1] = (begin, max(before, end), name)
            else:
                spans.append((start, end, mask))
        return spans

    def _finds(self, data: bytes, narrowed: bytes) -> list[_Span]:
        """Find the needles, and token shapes that no needle covers, in any order."""
        found = [
            (start, start + len(needle), self._masks[needle])
            for needle in self._present(data, narrowed)
            for start in _all(data, needle)
        ]
        found += [
            (*match.span(), self._masks[text.encode()])
            for text in self._perhaps_quoted(data, narrowed)
            for match in self._pattern(text).finditer(data)
        ]
        found.sort()
        begins = [begin for begin, _, _ in found]
        reached = list(itertools.accumulate((behind for _, behind, _ in found), max))
        for start, end in token_shapes.spans(data, narrowed):
            before = bisect.bisect_left(begins, end)
            # A private key without an end extends to the end of the string: a needle within it does not mask the rest.
            if not before or reached[before - 1] <= start or data.startswith(token_shapes.KEY_BEGINS, start):
                found.append((start, end, token_shapes.MASK))
        return found

    def _narrowed(self, data: bytes, classes: bytes | None = None) -> bytes:
        return token_shapes.rows(data, token_shapes.classes_of(data) if classes is None else classes, self._shortest)

    def _around_unseen(self, data: bytes, classes: bytes) -> Iterator[tuple[int, bytes, unseen.Reading]]:
        """Yield the parts of `data` in which invisible text may split a secret, each with its offset and reading."""
        reach = max(self.longest, _REACH)
        parts: list[tuple[int, int]] = []
        for start, end in unseen.joints(data, self._alphabet, controls=token_shapes.CONTROL in classes):
            begin = max(0, start - reach)
            if parts and begin <= parts[-1][1]:
                begin = parts.pop()[0]
            parts.append((begin, end + reach))
        for begin, behind in parts:
            part = data[begin:behind]
            for reading in (*unseen.READINGS, *(unseen.EXACT if b"\\\\" in part else ())):
                yield begin, part, reading

    def _unescaped(self, data: bytes) -> Iterator[tuple[int, Text]]:
        """Yield the parts of `data` with escapes, each with its offset, unescaped.

        Yields the visible text of all of it, too, if it has a terminal sequence that may contain quotes or backslashes.
        """
        for text in shown.readings(data):
            yield 0, text
        for begin, behind in escaped.regions(data, max(self.longest, _REACH)):
            for text in escaped.readings(data[begin:behind]):
                yield begin, text

    def _present(self, data: bytes, narrowed: bytes) -> Iterator[bytes]:
        """Yield the needles in `data`. `narrowed` are its long rows of token letters."""
        yield from (needle for needle in self._others if needle in data)
        if narrowed:
            yield from (needle for needle, row in self._rows.items() if row in narrowed and needle in data)

    def _needles(self, data: bytes, narrowed: bytes) -> Iterator[bytes]:
        """Yield the needles in `data`, quoted ones too."""
        yield from self._present(data, narrowed)
        for text in self._perhaps_quoted(data, narrowed):
            if self._pattern(text).search(data):
                yield text.encode()

    def _pattern(self, text: str) -> re.Pattern[bytes]:
        if text not in self._patterns:
            self._patterns[text] = quoted.pattern_of(text)
        return self._patterns[text]

    def _perhaps_quoted(self, data: bytes, narrowed: bytes) -> Iterator[str]:
        """Yield the secrets that may be in `data` in a quoted form."""
        for text, anchor in self._quoted.items():
            if anchor in (narrowed if len(anchor) >= self._shortest else data):
                yield text

    def text(self, text: str) -> str:
        """Return `text` with every secret in it masked."""
        return self(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def found(self, data: bytes) -> bool:
        """Whether any secret is in `data`, in any form."""
        return bool(self.names_in(data))

    def names_in(self, data: bytes) -> set[str]:
        """Return the names of the secrets that are in `data`, in any form, without the exempted ones."""
        classes = token_shapes.classes_of(data)
        narrowed = self._narrowed(data, classes)
        found = set(self._needles(data, narrowed))
        for _, part, reading in self._around_unseen(data, classes):
            seen = reading.seen(part)
            found |= {*self._needles(seen, self._narrowed(seen))}
        for _, text in self._unescaped(data):
            plain = text.plain
            found |= {*self._needles(plain, self._narrowed(plain))}
        for text in wrapped.readings(data) if narrowed else ():
            found |= {*self._present(text.plain, self._narrowed(text.plain))}
        return {self._masks[needle].decode()[3:-3] for needle in found - self._passed} - self._spared


def forms(text: str) -> set[bytes]:
    """Return the bytes of `text` in all forms that are searched."""
    raw = text.encode("utf-8", "surrogateescape")
    escaped = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    # As Go and others write JSON that is safe in an HTML page.
    escaped |= {_HTML.sub(lambda found: f"\\u{ord(found[0]):04x}", before) for before in escaped}
    # A command's output is escaped once more in its event, and JSON may contain a string of JSON.
    for _ in range(2):
        escaped |= {json.dumps(before, ensure_ascii=False)[1:-1] for before in escaped}
    quoted = {urllib.parse.quote(raw, safe=safe) for safe in ("", "/", "~-._!*'()")} | {urllib.parse.quote_plus(raw)}
    quoted |= {_PERCENT.sub(lambda found: found[0].lower(), each) for each in quoted}
    return {
        raw,
        *(form.encode("utf-8", "surrogateescape") for form in escaped),
        *(form.encode("ascii") for form in quoted),
        raw.hex().encode(),
        raw.hex().upper().encode(),
        *_base64(raw),
    }


def _base64(raw: bytes) -> Iterator[bytes]:
    """Yield the part of each of the three alignments that does not depend on the neighbouring bytes."""
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw)
        # The first characters have bits of the preceding bytes; the last group may have bits of the following ones.
        head = (0, 2, 3)[shift]
        whole = (shift + len(raw)) * 8 // 6
        core = encoded[head:whole]
        if len(core) >= SHORTEST:
            yield core
            yield core.replace(b"+", b"-").replace(b"/", b"_")


def _covered(data: bytes, spans: Iterable[_Span]) -> bytes:
    out, done = [], 0
    for start, end, mask in spans:
        out += [data[done:start], mask]
        done = end
    return b"".join([*out, data[done:]])


def _within_tokens(data: bytes, spans: Sequence[_Span]) -> Iterator[_Span]:
    """Cut spans to the strings of a JSON text, and widen them to whole escapes. Masks a number as a string."""
    first = 0
    for token in _TOKEN.finditer(data):
        while first < len(spans) and spans[first][1] <= token.start():
            first += 1
        behind = first
        while behind < len(spans) and spans[behind][0] < token.end():
            behind += 1
        if first == behind:
            continue
        if token[0][:1] == b'"':
            yield from _within_string(data, token.start() + 1, token.end() - 1, spans[first:behind])
        else:
            yield token.start(), token.end(), b'"%b"' % spans[first][2]


def _within_string(data: bytes, start: int, end: int, spans: Sequence[_Span]) -> Iterator[_Span]:
    escapes = _ESCAPE.finditer(data, start, end)
    escape, done = next(escapes, None), start
    for begins, ends, mask in spans:
        begin, behind = max(begins, done), min(ends, end)
        while escape and escape.end() <= begin:
            escape = next(escapes, None)
        if escape and escape.start() < begin:
            begin = escape.start()
        while escape and escape.end() <= behind:
            escape = next(escapes, None)
        if escape and escape.start() < behind:
            behind = escape.end()
        if begin < behind:
            yield max(begin, done), behind, mask
            done = behind


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _all(data: bytes, needle: bytes) -> Iterator[int]:
    start = data.find(needle)
    while start >= 0:
        yield start
        start = data.find(needle, start + 1)
