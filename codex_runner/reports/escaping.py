"""HTML escaping of foreign text."""

from __future__ import annotations

import html

from codex_runner.text.clean import clean


def html_text(text: str) -> str:
    """Clean `text` for an HTML page, its attributes included: whatever it holds is shown as text."""
    return html.escape(clean(text))
