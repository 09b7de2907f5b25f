"""The page of a pull request at the small forge: plain HTML, without scripts."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from codex_runner.demo.forge_state import ForgeReply

if TYPE_CHECKING:
    from codex_runner.demo.forge_project import ForgeProject
    from codex_runner.demo.forge_state import Pull

_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title} · #{number}</title>
<style>
body {{ font: 16px/1.5 sans-serif; max-width: 50em; margin: 2em auto }}
pre {{ background: #f4f4f4; padding: 1em; overflow: auto }}
</style>
<h1>{title} <small>#{number}</small></h1>
<p><b>{state}</b>. {author} wants to merge <code>{branch}</code> into <code>{base}</code>.{labels}</p>
<pre>{body}</pre>
<h2>Changes</h2>
<pre>{diff}</pre>
</html>
"""


def pull_page(project: ForgeProject, pull: Pull) -> ForgeReply:
    """Return a pull request's page: its words as they came, and its diff."""
    kind = "merged" if pull.merged else f"{'draft, ' if pull.draft else ''}{pull.state}"
    diff = project.repository.git("diff", f"refs/heads/{pull.base}...{pull.tip}")
    values = {
        "title": pull.title,
        "number": str(pull.number),
        "state": kind.capitalize(),
        "author": pull.author,
        "branch": pull.branch,
        "base": pull.base,
        "labels": f" Labels: {', '.join(pull.labels)}." if pull.labels else "",
        "body": pull.body,
        "diff": diff.encode(errors="replace").decode(),
    }
    page = _PAGE.format(**{name: escape(value) for name, value in values.items()})
    headers = {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    }
    return ForgeReply(200, page.encode(), headers)
