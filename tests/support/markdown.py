"""What a reader of Markdown makes of a text: markdown-it-py is the judge, not our own patterns."""

from markdown_it import MarkdownIt

READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def parts(text):
    """Yield every token: blocks, and what is within a line."""
    for token in READER.parse(text):
        yield from token.children if token.type == "inline" else [token]


def has_effect(text):
    """Return what would be loaded, hidden, or shown as something else."""
    return [part.type for part in parts(text) if part.type in {"image", "html_block", "html_inline", "link_open"}]


def prose(text):
    """Return the text outside of code, a piece a line."""
    return "\n".join(part.content for part in parts(text) if part.type == "text")
