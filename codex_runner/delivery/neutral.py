"""An agent's words without effect at a forge: they mention, close, command, load and hide nothing.

All of them stay readable. `@` becomes `(at)`. What a forge or a bot would obey becomes a code span. In code, which
has no spans, parentheses break it. The result has no HTML, no image, and no link but addresses that show where they
lead. It is safe as Markdown, as a commit message, and raw, as bots read it.

Two rules make that hold. A code span is in one line, has single backticks, and no backtick is outside of one. A block
of code begins and ends at the first column, and no line of it looks like a fence. So each parser sees code where this
module does.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

from codex_runner.text.clean import BLANKS, clean

if TYPE_CHECKING:
    from collections.abc import Iterator

FENCE = "```"
# Languages whose blocks are shown as text. Forges draw pictures from others (mermaid, plantuml, math, geojson).
_LANGUAGES = frozenset(
    (
        *("bash", "c", "console", "cpp", "css", "csv", "diff", "go", "html", "ini", "java", "javascript", "js", "json"),
        *("kotlin", "lua", "make", "markdown", "md", "perl", "php", "py", "python", "rb", "rs", "ruby", "rust", "sh"),
        *("shell", "sql", "swift", "text", "toml", "ts", "typescript", "xml", "yaml", "yml", "zsh"),
    )
)

# GitHub's keywords, and GitLab's, which has more.
_CLOSES = r"(?i:clos(?:e[sd]?|ing)|fix(?:e[sd]|ing)?|resolv(?:e[sd]?|ing)|implement(?:s|ed|ing)?)"
_URL = r"(?i:https?)://[^\s|<>\[\]\\]+"
_JIRA = r"[A-Z][A-Z0-9_]+-\d+"
_ISSUE = rf"(?:[\w./-]{{0,200}}[#!]\d+|GH-\d+|{_JIRA}|{_URL})"

# In any text, code too.
_SKIPS = re.compile(r"\[\s*((?:skip|no)(?:[ _-]+\w+){1,2}|\w+[ _-]+skip)\s*\]", re.IGNORECASE)
_NO_CI = re.compile(r"\*{3}(NO_CI)\*{3}", re.IGNORECASE)
_TRAILER = re.compile(r"^([^\S\n]*)([A-Za-z0-9]+(?:-[A-Za-z0-9]+)+|BREAKING CHANGE|[Cc]c)(?=[^\S\n]*:)", re.MULTILINE)
_PHRASES = r"bors (?:r[+-]|try|merge|retry|ping|d\+|delegate)\S*|(?:re)?test this please|ok to test"
# A selector of a variant makes a sign an emoji. Alone or in rows, it only hides data.
_HIDDEN = re.compile(rf"(?<=[^\x00-\x7f{BLANKS}])[\ufe0e\ufe0f](?![{BLANKS}])|\ufe0f(?=\u20e3)|([{BLANKS}])")

# In code.
_CLOSES_IN_CODE = re.compile(rf"({_CLOSES}:?\s+(?:issues?\s+)?)({_ISSUE})")
_ACTION_IN_CODE = re.compile(rf"^(\s*)(/[A-Za-z]\w*|(?i:{_PHRASES}))", re.MULTILINE)
_RUNS_OF_TICKS = re.compile(r"`{3,}|~{3,}")

# In prose, in the order in which they are looked for.
_TASK = re.compile(r"^(\s*(?:[-*+]|\d{1,9}[.)])\s+)\[([ xX])\](?=\s|$)")
_RULE = re.compile(r"\s*(?:-{3,}|\+{3,}|;{3,})\w*\s*")
_PLACE = r"\(\s*<?(?P<{0}>[^\s()<>|]*)>?(?:\s+(?:\"[^\"|]*\"|'[^'|]*'))?\s*\)"
_LIVE = re.compile(
    rf"!\[(?P<alt>[^\[\]|]*)\]{_PLACE.format('image')}"
    rf"|\[(?P<text>[^\[\]|]*)\]{_PLACE.format('link')}"
    rf"|<(?P<auto>(?i:https?)://[^\s<>|]+)>"
    r"|(?P<tag><[A-Za-z/!?][^<>|]*>)"
    rf"|(?P<url>{_URL})"
    rf"|(?P<keyword>{_CLOSES}:?\s+(?:issues?\s+)?)(?P<jira>{_JIRA})"
    r"|(?P<code>"
    r"\[[^\[\]|]*\]|[\[\]<]"
    r"|(?<![\w./:~-])[\w./:~-]{0,200}\\[^\s|\[\]<$]*|\\[^\s|]?|\$[^\s|$\[\]<\\]*\$?|&\#?\w+;"
    r"|(?<![\w./-])[\w./-]{0,200}[#!](?=\w)[\w-]+|[#!]\w[\w-]*|\bGH-\d+"
    r"|(?<![^\s|(])/[A-Za-z][^\s|\[\]<\\$]*"
    rf"|\bci\.(?:skip|no_pipeline)\b|\b(?i:{_PHRASES})|~{{3,}}|>{{3,}}|::\w\S*"
    r")"
)
_DANGEROUS_URL = re.compile(
    r"[#$&]|\.(?:mp4|mov|webm|gif|png|jpe?g|svg)\b|user-(?:attachments|images)"
    r"|/(?:issues|pulls?|merge_requests|work_items|incidents|epics|discussions|commits?|snippets|designs)(?:/|$)"
    rf"|{_CLOSES}:?$",
    re.IGNORECASE,
)
_TICKS = re.compile(r"`+")
_OPENING = re.compile(r"\s*(`{3,}|~{3,})\s*([^`]*)")


def markdown(text: str, *, mentions: bool = False) -> str:
    """Return Markdown of an agent without effect, as a block of its own. Idempotent.

    Headings, lists, tables, emphasis and code stay. With `mentions`, `@` stays too. The result ends with a newline if
    it ends with code: nothing may follow on that line.
    """
    lines = _cleaned(text, mentions=mentions).strip("\n").split("\n")
    out: list[str] = []
    at = 0
    while at < len(lines):
        opening = _OPENING.fullmatch(lines[at])
        if opening is None:
            out.append(_prose(lines[at]))
            at += 1
            continue
        end = _closing(lines, at + 1, opening[1])
        out += _block(lines[at + 1 : end], opening[2])
        at = end + 1
    whole = "\n".join(out).strip("\n")
    return f"{whole}\n" if whole.endswith(FENCE) else whole


def line(text: str, *, mentions: bool = False) -> str:
    """Return the words of an agent without effect, in one line: for titles, and within other text. Idempotent."""
    before, text = None, _cleaned(text, mentions=mentions)
    while text != before:
        before, text = text, _prose(" ".join(text.split()))
    return text


def block(text: str, *, mentions: bool = False) -> str:
    """Return foreign text as a block of code, which ends with a newline. Returns "" if it is blank."""
    lines = _block(_cleaned(text, mentions=mentions).strip("\n").split("\n"), "")
    return "\n".join(lines) + "\n" if lines else ""


def _cleaned(text: str, *, mentions: bool) -> str:
    """Do what must be done in any text, code or not."""
    text = _seen(clean(text))
    if not mentions:
        text = text.replace("@", "(at)")
    return _NO_CI.sub(r"(\1)", _SKIPS.sub(r"(\1)", text))


def _seen(text: str) -> str:
    """Name the characters that show nothing."""
    if text.isascii():
        return text
    return _HIDDEN.sub(lambda found: f"\u27e8U+{ord(found[1]):04X}\u27e9" if found[1] else found[0], text)


# --- code ------------------------------------------------------------------------------------------------------------


def _closing(lines: list[str], start: int, fence: str) -> int:
    """Return the index of the line that closes the fence, or the end."""
    closes = re.compile(rf"\s*{re.escape(fence[0])}{{{len(fence)},}}\s*")
    return next((at for at in range(start, len(lines)) if closes.fullmatch(lines[at])), len(lines))


def _block(lines: list[str], language: str) -> list[str]:
    """Return the lines of a block of code. Returns none if it is blank: GitLab takes the next fence for its end."""
    if not any(each.strip() for each in lines):
        return []
    code = _in_code("\n".join(lines))
    code = _ACTION_IN_CODE.sub(r"\1(\2)", _TRAILER.sub(r"\1(\2)", code))
    code = _RUNS_OF_TICKS.sub(lambda run: "'" * len(run[0]), code)
    word = language.strip().lower()
    return [f"{FENCE}{word if word in _LANGUAGES else ''}", *code.split("\n"), FENCE]


def _in_code(text: str) -> str:
    """Break what is obeyed in code too: GitLab and bots read it raw."""
    return _CLOSES_IN_CODE.sub(r"\1(\2)", text.replace("<!--", "<! --"))


# --- prose -----------------------------------------------------------------------------------------------------------


def _prose(text: str) -> str:
    """Return one line of prose, read again until nothing in it changes: code parts words that were one before."""
    if _RULE.fullmatch(text):
        return "* * *"  # three dashes at the beginning of a text are front matter for GitLab
    before, text = None, _TASK.sub(lambda task: f"{task[1]}{'☐' if task[2] == ' ' else '☑'}", text)
    while text != before:
        before, text = text, _joined(_tokens(_seen(text))).rstrip()
    return text


def _tokens(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of a line in their order, and whether each is code."""
    trailer = _TRAILER.match(text)
    if trailer is not None:
        yield trailer[1], False
        yield trailer[2], True
        text = text[trailer.end() :]
    runs = list(_TICKS.finditer(text))
    done = at = 0
    while at < len(runs):
        end = next((each for each in range(at + 1, len(runs)) if len(runs[each][0]) == len(runs[at][0])), None)
        yield from _words(text[done : runs[at].start()])
        if end is None:
            yield "'" * len(runs[at][0]), False
            done, at = runs[at].end(), at + 1
        else:
            yield text[runs[at].end() : runs[end].start()], True
            done, at = runs[end].end(), end + 1
    yield from _words(text[done:])


def _words(prose: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of text without backticks: what would have an effect becomes code."""
    done = 0
    for found in _LIVE.finditer(prose):
        yield prose[done : found.start()], False
        done = found.end()
        match found.lastgroup:
            case "image":
                yield "image ", False
                yield from _linked(found["alt"], found["image"])
            case "link":
                yield from _linked(found["text"], found["link"])
            case "auto":
                yield from _words(found["auto"])
            case "url":
                yield found["url"], _DANGEROUS_URL.search(found["url"]) is not None
            case "jira":
                yield found["keyword"], False
                yield found["jira"], True
            case _:
                yield found[0], True
    yield prose[done:], False


def _linked(text: str, target: str) -> Iterator[tuple[str, bool]]:
    """Yield a link's text, and its target if that is another."""
    if text == target:
        yield from _words(target)
        return
    yield from _words(text.strip())
    yield " (" if text.strip() else "(", False
    yield target, True
    yield ")", False


def _joined(tokens: Iterator[tuple[str, bool]]) -> str:
    """Join the parts. Code that follows code becomes one span: two backticks in a row would be another fence."""
    pieces = ((text, is_code) for text, is_code in tokens if text)
    whole = (
        (is_code, "".join(text for text, _ in same)) for is_code, same in groupby(pieces, key=lambda each: each[1])
    )
    return "".join(_span(text) if is_code else text for is_code, text in whole)


def _span(code: str) -> str:
    """Return a code span. It has no backtick, and no `|`, which would split it in a table."""
    code = _in_code(" ".join(code.replace("`", "'").replace("|", "¦").split()))
    return f"`{code}`" if code else ""
