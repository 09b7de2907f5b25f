"""Quoted secrets: patterns that match a secret quoted for HTML, a shell, YAML, CSV, SQL, Python, or any JSON.

Letters and digits are the same in all of them. So the longest row of these is a cheap first test. One pattern matches
each other character in any form, escaped once or several times.
"""

from __future__ import annotations

import re

_ROW = re.compile(r"[A-Za-z0-9]+")
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*")
# A longer secret is a document: its parts are searched instead, since a pattern of the whole would be too large.
_LONGEST = 400
# Bounded, since a long row of backslashes would take quadratic time.
_SLASHES = rb"\\{0,16}+"
_NAMES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos|#39"}
# Replacements of a quote by shells and tables, longest first.
_LONGER = {
    "'": rb"'\\{0,16}\"'\\{0,16}\"'|'\\{1,16}''|'(?:\\{0,16}')?",
    '"': rb"\"(?:\\{0,16}\")?",
    "=": rb"=(?:3[dD])?",
    " ": rb"[ +]",
    "\n": rb"(?:\r?\n|(?:r\\{1,16})?n)",
    "\t": rb"[\tt]",
}


def anchor_of(text: str) -> bytes | None:
    """Return the part of `text` that no quoting changes. Returns None if it has no pattern, or needs none."""
    if len(text) > _LONGEST or not text.isascii() or _PLAIN.fullmatch(text):
        return None
    row = max(_ROW.findall(text), key=len, default="")
    return row.encode() or None


def pattern_of(text: str) -> re.Pattern[bytes]:
    """Return the pattern that matches an ASCII text, quoted or not."""
    parts = re.findall(r"\\+|[A-Za-z0-9_.~-]+|.", text, re.DOTALL)
    return re.compile(b"".join(_part(part) for part in parts))


def _part(part: str) -> bytes:
    if part[0] == "\\":
        count = len(part)
        return rb"(?:\\{%d,%d}+|(?:%%(?:25)*5[cC]|&#92;|\\{1,16}+x5[cC]|\\{1,16}+u005[cC]){%d})" % (
            count,
            16 * count,
            count,
        )
    if _PLAIN.fullmatch(part):
        return re.escape(part.encode())
    code = b"%02x" % ord(part)
    names = _NAMES.get(part, "")
    entity = b"&(?:amp;)*(?:%s#0*%d|(?i:#x0*%s));" % (f"{names}|".encode() if names else b"", ord(part), code)
    plain = _LONGER.get(part, re.escape(part.encode()))
    return _SLASHES + b"(?:" + entity + b"|" + plain + b"|(?i:u00%s|x%s|%%(?:25)*%s))" % (code, code, code)
