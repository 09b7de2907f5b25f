"""An agent's words: whatever it writes, no output mentions, closes, commands, loads or hides anything."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.markdown import has_effect, parts, prose

from codex_runner.delivery import neutral

BAIT = [
    *("@ada", "@acme/team", "Fixes #12", "fixes: acme/app#3", "Closes https://github.com/a/b/issues/4", "close GH-7"),
    *("Resolves ABC-12", "Implements #5", "Fixing issue #9", "#12", "!5", "acme/app#1"),
    *("/merge", "/approve", "/lgtm", "/assign me", "@dependabot merge", "bors r+", "retest this please", "ok to test"),
    *("[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[skip-ci]", "***NO_CI***", "-o ci.skip"),
    *("Signed-off-by: A <a@b>", "Co-authored-by: x", "skip-checks: true", "BREAKING CHANGE: x"),
    *("<img src=x>", "<!-- hi -->", "<!--", "-->", "<details>", "</details>", "<b>", "<", ">", "<a\nhref='x'>"),
    *("![a](http://x/y.png)", "![a][r]", "[a](http://evil)", '[a](<x> "t")', "[r]: http://evil", "[a][r]", "[^1]"),
    *("<mailto:a@b>", "<https://x.y/z>", "https://x.y/z", "https://x.y/#f", "[https://x.y](https://x.y)"),
    *("```", "````", "~~~", "`", "``", "```python", "```mermaid", "~~~ a`b", "> ", "- ", "1. ", "    ", "\t", ">>>"),
    *("| a | b |", "|---|---|", "|", "\n", "\n\n", " ", "\\", "&#64;ada", "&commat;ada", "&lt;b&gt;", "$x$", "$$"),
    *("---", "+++", "===", "[ ]", "- [x] t", "# h", "*", "**", "_", "(", ")", "[", "]", "!", "#", "/", "&", ";"),
    *("\u202e", "\ufe0f", "\u200b", "\u2028", "\r\n", "\x1b[31m", "\x00", "🌈", "❤️", "::include{file=x}", "[[_TOC_]]"),
]
TEXTS = st.lists(st.sampled_from(BAIT) | st.text(max_size=4), max_size=14).map("".join)

KEYWORD = r"\b(?i:clos(?:e[sd]?|ing)|fix(?:e[sd]|ing)?|resolv(?:e[sd]?|ing)|implement(?:s|ed|ing)?)"
ISSUE = r"(?:[\w./-]*[#!]\d|GH-\d|[A-Z][A-Z0-9_]+-\d|https?://\S+/issues/)"
# What a reader of the raw text would obey: GitLab, a bot, git itself.
OBEYED = {
    "a mention": r"@",
    "a closing keyword": rf"{KEYWORD}:?\s+(?:issues?\s+)?{ISSUE}",
    "a quick action": r"(?m)^\s*/[a-zA-Z]",
    "a skipped pipeline": r"(?i)\[\s*(?:skip|no)[ _-]+\w+\s*\]|\[\s*\w+[ _-]+skip\s*\]|\*\*\*NO_CI",
    "a trailer": r"(?m)^\s*(?:[A-Za-z0-9]+(?:-[A-Za-z0-9]+)+|BREAKING CHANGE)\s*:",
    "a phrase of a bot": r"(?m)^\s*(?:bors r\+|ok to test|retest this please)",
    "a comment": r"(?m)^[^`\n]*<!--",
    "a control character": r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2028\u2029]",
}


def check(text):
    assert {name for name, pattern in OBEYED.items() if re.search(pattern, text)} == set()
    assert has_effect(text) == []
    assert re.findall(r"#\w|[<\[\]\\$`]|&\w+;", prose(text)) == []


@given(TEXTS)
def test_no_text_has_an_effect(text):
    said = neutral.markdown(text)
    check(said)
    assert neutral.markdown(said) == said


@given(TEXTS)
@example("[ ]@ada")
def test_no_line_has_an_effect(text):
    said = neutral.line(text)
    check(said)
    assert "\n" not in said
    assert neutral.line(said) == said


@given(TEXTS)
def test_no_block_has_an_effect(text):
    said = neutral.block(text)
    check(said)
    assert [part.type for part in parts(said)] == (["fence"] if said else [])


@given(TEXTS, TEXTS)
def test_what_follows_is_not_swallowed(text, other):
    """The agent's text ends where it ends: no block of code, list or quote goes on behind it."""
    whole = f"{neutral.markdown(text)}\n\n## Ours\n\n{neutral.markdown(other)}\n\n## Ours too\n"
    told = [part.content for part in parts(whole) if part.type == "text"]
    assert told.count("Ours") == told.count("Ours too") == 1
    assert has_effect(whole) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("thanks @ada and a@b.c", "thanks (at)ada and a(at)b.c"),
        ("`@x` stays code", "`(at)x` stays code"),
        ("Fixes #12, closes acme/app#3", "Fixes `#12`, closes `acme/app#3`"),
        ("Closes https://github.com/a/b/issues/4", "Closes `https://github.com/a/b/issues/4`"),
        ("Resolves ABC-12 and UTF-8", "Resolves `ABC-12` and UTF-8"),
        ("`Fixes #12`", "`Fixes (#12)`"),
        ("/merge it", "`/merge` it"),
        ("in /usr/bin", "in `/usr/bin`"),
        ("[skip ci]", "(skip ci)"),
        ("Signed-off-by: Ada", "`Signed-off-by`: Ada"),
        ("bors r+", "`bors r+`"),
        ("a <b>bold</b> word", "a `<b>`bold`</b>` word"),
        ("<!-- hidden -->", "`<! -- hidden -->`"),
        ("![logo](http://t.co/p.png)", "image logo (`http://t.co/p.png`)"),
        ("see [the docs](https://x.y/z)", "see the docs (`https://x.y/z`)"),
        ("[https://x.y/z](https://x.y/z)", "https://x.y/z"),
        ("<https://x.y/z>", "https://x.y/z"),
        ("<mailto:a@b>", "`<mailto:a(at)b>`"),
        ("[r]: http://evil", "`[r]`: http://evil"),
        ("- [ ] one\n- [x] two", "- ☐ one\n- ☑ two"),
        ("a `b|c` d", "a `b¦c` d"),
        ("one ` tick", "one ' tick"),
        ("costs $5", "costs `$5`"),
        ("&#64;ada", "`&#64;`ada"),
        ("a\\@b", "`a\\(at)b`"),
        ("C:\\Users\\ada and \\*", "`C:\\Users\\ada` and `\\*`"),
        ("x\u202ey\u200bz", "x⟨U+202E⟩y⟨U+200B⟩z"),
        ("❤️ 1️⃣ a\ufe0f", "❤️ 1️⃣ a⟨U+FE0F⟩"),
        ("---", "* * *"),
        ("a | b\n---|---\n1 | 2", "a | b\n---|---\n1 | 2"),
        ("```mermaid\na\n```", "```\na\n```\n"),
        ("  ~~~~ python\n@x\n/merge\nFixes #1\n```\n~~~~", "```python\n(at)x\n(/merge)\nFixes (#1)\n'''\n```\n"),
        ("> ```\n> @x", "> '''\n> (at)x"),
        ("```\n```\n/merge", "`/merge`"),
        ("# Head\n\n| a | b |\n|---|---|\n| **c** | _d_ |", "# Head\n\n| a | b |\n|---|---|\n| **c** | _d_ |"),
        ("", ""),
    ],
)
def test_words_stay_readable(text, said):
    assert neutral.markdown(text) == said


def test_mentions_may_be_meant():
    assert neutral.markdown("by @ada, Fixes #1", mentions=True) == "by @ada, Fixes `#1`"
    assert neutral.line("by @ada", mentions=True) == "by @ada"


@pytest.mark.parametrize(
    "piece", ["<img>`#12 ", "[a](b)", "`", "<", "\\", "``` `` ` ", "fix ", "#1", "a" * 9, "[", "$"]
)
def test_a_long_line_takes_no_quadratic_time(piece):
    """A pattern that backtracks would take hours here."""
    assert neutral.line(piece * 20_000)
