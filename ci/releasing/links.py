"""Relative links of a document, made absolute: other sites show the README and the changelog, too."""

from __future__ import annotations

import re

_LINK = re.compile(r"(!?)(\[[^\]\n]*\])\((?![a-z]+:)([^)\s]*)\)")


def absolute(text: str, document: str, repository: str, tag: str) -> str:
    """Return the text of a document at the repository's top, with absolute links: images as bytes, all others as pages.

    `repository` is its address, without a slash at the end. `tag` is the version whose files the links name.
    """

    def link(found: re.Match[str]) -> str:
        mark, words, target = found.groups()
        kind = "raw" if mark else "blob"
        place = f"{document}{target}" if target.startswith("#") else target
        return f"{mark}{words}({repository}/{kind}/{tag}/{place})"

    return _LINK.sub(link, text)
