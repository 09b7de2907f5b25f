"""HTML escaping of foreign text."""

from __future__ import annotations

import html

from codex_runner.text.clean import clean


def html_text(text: str) -> str:
    """Return `text` cleaned and escaped for an HTML page, attributes included."""
    return html.escape(clean(text))
