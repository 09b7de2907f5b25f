"""Judges the pages of a built site: their links, what they load, and whether they show what GitHub shows."""

from __future__ import annotations

import os
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a browser loads without being asked, by tag and attribute. A `link` loads by its `rel`.
LOADS = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "iframe": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "track": ("src",),
    "use": ("href", "xlink:href"),
    "image": ("href", "xlink:href"),
}
LOADING_LINKS = {"stylesheet", "icon", "preload", "prefetch", "modulepreload", "preconnect", "dns-prefetch", "manifest"}
BLOCKS = ("h1", "h2", "h3", "h4", "li", "tr", "pre", "blockquote", "img")
IN_STYLE = re.compile(r"""(?:url\(|@import\s)\s*["']?([^"')\s;]+)""")


class Page(HTMLParser):
    """A page as a browser reads it: anchors, links, what it loads, how many blocks of each kind, and words of code."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.blocks: Counter[str] = Counter()
        self.code: list[str] = []
        self._article = self._style = self._pre = self._code = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._style = tag == "style"
        self._article |= tag == "article"
        if self._article and tag in BLOCKS:
            self.blocks[tag] += 1
        self._pre |= tag == "pre"
        if tag == "code" and self._article and not self._pre:
            self._code = True
            self.code.append("")
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and LOADING_LINKS & set(given.get("rel", "").split()):
            self.loads.append(given.get("href", ""))
        for name in LOADS.get(tag, ()):
            if name in given:
                several = given[name].split(",") if name == "srcset" else [given[name]]
                self.loads += [part.split()[0] for part in several if part.strip()]
        self.loads += IN_STYLE.findall(given.get("style", ""))

    def handle_endtag(self, tag: str) -> None:
        self._style = False
        self._article &= tag != "article"
        self._pre &= tag != "pre"
        self._code &= tag != "code"

    def handle_data(self, data: str) -> None:
        if self._style:
            self.loads += IN_STYLE.findall(data)
        if self._code:
            self.code[-1] += data


def judge(site: Path, url: str) -> list[str]:
    """Return what is wrong with a built site: links and anchors that lead nowhere, and what comes from elsewhere."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    wrong = []
    for path, each in pages.items():
        name = path.relative_to(site)
        wrong += [f"{name}: loads {load} from elsewhere" for load in each.loads if _is_elsewhere(load)]
        for target in (*each.links, *(load for load in each.loads if not _is_elsewhere(load))):
            there, fragment = _place(site, path, target, url)
            if there is None:
                continue
            if not there.is_file():
                wrong.append(f"{name}: {target} leads nowhere")
            elif fragment and there in pages and fragment not in pages[there].anchors:
                wrong.append(f"{name}: {target} has no such anchor")
    for path in sorted(site.rglob("*.css")):
        loads = IN_STYLE.findall(path.read_text(encoding="utf-8"))
        wrong += [f"{path.relative_to(site)}: loads {load} from elsewhere" for load in loads if _is_elsewhere(load)]
    return wrong


def _is_elsewhere(target: str) -> bool:
    parts = urlsplit(target)
    return bool(parts.netloc) or parts.scheme not in {"", "data"}


def _place(site: Path, page: Path, target: str, url: str) -> tuple[Path | None, str]:
    """Return the file of the site that a link means, or None if it is another site's, and the fragment."""
    if target.startswith(url):
        target = urlsplit(url).path + target.removeprefix(url)
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:  # another site's, and data
        return None, ""
    if not parts.path:
        return page, unquote(parts.fragment)
    base = urlsplit(url).path
    below = site / parts.path.removeprefix(base) if parts.path.startswith("/") else page.parent / parts.path
    there = Path(os.path.normpath(unquote(str(below))))
    return (there / "index.html" if there.is_dir() else there), unquote(parts.fragment)


def unlike(pages: Mapping[str, tuple[Path, Path]]) -> list[str]:
    """Return where a page has other headings, lists, tables, blocks or code than GitHub shows for its document.

    CommonMark, which GitHub reads, and Python-Markdown differ in lists and in what stands within them. `pages` has the
    page and the document by the document's name.
    """
    github = MarkdownIt("commonmark").enable("table")
    wrong = []
    for name, (built, document) in pages.items():
        found = Page(built.read_text(encoding="utf-8"))
        expected = Page(f"<article>{github.render(document.read_text(encoding='utf-8'))}</article>")
        wrong += [
            f"{name}: {found.blocks[tag]} of <{tag}> on the page, {expected.blocks[tag]} on GitHub"
            for tag in BLOCKS
            if found.blocks[tag] != expected.blocks[tag]
        ]
        pairs = ([" ".join(word.split()) for word in pair] for pair in zip(found.code, expected.code, strict=False))
        wrong += [f"{name}: `{here}` on the page, `{there}` on GitHub" for here, there in pairs if here != there][:1]
    return wrong
