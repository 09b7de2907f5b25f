"""Positions in a TOML file, held against tomllib: what stands at each is the key and the value that tomllib finds."""

import json
import tomllib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codex_runner.config.first_file import STARTER
from codex_runner.config.positions import Positions

WHOLE = """\
# A comment with [brackets] and a "quote
version = 1
"quoted key" . 'an other'.bare = "a # \\" b" # and after
when = 1979-05-27 07:32:00   # a space within
"a\\u0062" = '''one ''two''' # two quotes of the text
text = \"\"\"
[no.table]
x = 1 \\\"\"\" still ""\"\"\"
[[jobs]]
name = "first"
steps = [ "a", # ]
  [1, 2,], { x.y = 1, "z" = [ {} ] }, ]
[jobs.more]
x = true
[[jobs.more.each]]
deep = 1
[[jobs.more.each]]
deep = 2
[[jobs]]
name = 'second'
[ after . "it" ]
empty = ""
"""


def flat(value, path=()):
    """Yield each path of what tomllib has read, with the value there."""
    if path:
        yield path, value
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in below:
        yield from flat(each, (*path, key))


def hold(text):
    read, found = dict(flat(tomllib.loads(text))), Positions(text)
    for path, span in found.values.items():
        assert tomllib.loads(f"v = {text[span.start : span.end]}")["v"] == read[path], path
    for path, span in found.keys:
        assert path in read
        written = text[span.start : span.end]
        names = [part for part in path if isinstance(part, str)]
        assert tomllib.loads(f"{written} = 0") == {names[-1]: 0}
    # Nothing is left out: each value has a place of its own, or is a table or an array with a header.
    assert read.keys() == found.values.keys() | {path for path, _ in found.keys}


_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\t\"'\\#[]{}=,."), max_size=6)
_BARE = st.from_regex(r"[A-Za-z0-9_-]{1,4}", fullmatch=True)
_SPACE = st.sampled_from(["", " ", "\t "])
_ENDS = ("\n", "\r\n")
_BREAK = st.sampled_from(["", " ", "\n", " # ]}\"'\n", "\r\n"])


def basic(text):
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


_NAMES = st.one_of(_BARE, _TEXT.map(basic), _TEXT.filter(lambda t: "'" not in t).map("'{}'".format))
_LINES = st.lists(_TEXT.filter(lambda t: "'" not in t), max_size=3).map("\n".join)
_LEAVES = st.one_of(
    _TEXT.map(basic),
    _TEXT.filter(lambda t: "'" not in t).map("'{}'".format),
    st.tuples(_LINES, st.sampled_from(["", "'", "''"])).map(lambda two: f"'''{two[0]}{two[1]}'''"),
    st.tuples(_LINES.map(lambda t: basic(t)[1:-1]), st.sampled_from(["", '"', '""', "\\\n  x"])).map(
        lambda two: f'"""{two[0]}{two[1]}"""'
    ),
    st.sampled_from(["1", "0x1f", "1e5", "inf", "true", "1979-05-27 07:32:00Z", "07:32:00.5", "1_000"]),
)


@st.composite
def arrays(draw, each):
    items = draw(st.lists(each, max_size=3))
    parts = [f"{draw(_BREAK)}{item}{draw(_BREAK)}" for item in items]
    return f"[{','.join(parts)}{draw(st.sampled_from(['', ','])) if parts else ''}{draw(_BREAK)}]"


@st.composite
def inlines(draw, each):
    names = draw(st.lists(_NAMES, max_size=3, unique_by=lambda name: next(iter(tomllib.loads(f"{name} = 0")))))
    return "{" + ", ".join(f"{name}{draw(_SPACE)}={draw(_SPACE)}{draw(each)}" for name in names) + draw(_SPACE) + "}"


_VALUES = st.recursive(_LEAVES, lambda below: arrays(below) | inlines(below), max_leaves=6)


@st.composite
def documents(draw):
    """Lines that are often valid together: pairs with dotted keys, headers, headers of arrays, comments."""
    lines = []
    for _ in range(draw(st.integers(0, 8))):
        key = f"{draw(_SPACE)}.{draw(_SPACE)}".join(draw(st.lists(_NAMES, min_size=1, max_size=3)))
        kind = draw(st.sampled_from(["pair", "pair", "table", "array", "comment"]))
        space, after = draw(_SPACE), draw(st.sampled_from(["", " # [x] = 'y'"]))
        lines.append(
            {
                "pair": f"{space}{key}{space}={space}{draw(_VALUES)}{after}",
                "table": f"{space}[{space}{key}{space}]{after}",
                "array": f"[[{space}{key}]]{after}",
                "comment": '# x = 1 [y] "',
            }[kind]
        )
    text = ""
    for line in lines:
        longer = f"{text}{line}{draw(st.sampled_from(_ENDS))}"
        try:
            tomllib.loads(longer)
        except tomllib.TOMLDecodeError:
            continue
        text = longer
    return text


@given(documents())
@example(WHOLE)
@example(WHOLE.replace("\n", "\r\n"))
@example(STARTER)
@example("")
def test_what_stands_at_each_position_is_what_tomllib_reads(text):
    hold(text)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("version",), (2, 1)),
        (("quoted key", "an other"), (3, 16)),
        (("jobs", 0, "steps", 1, 1), (12, 7)),
        (("jobs", 0, "steps", 2, "x", "y"), (12, 16)),
        (("jobs", 0, "more", "each", 1), (17, 13)),
        (("jobs", 0, "more", "each", 1, "deep"), (18, 1)),
        (("jobs", 1), (19, 3)),
        (("jobs", 1, "missing"), (19, 3)),
        (("after", "it", "empty"), (22, 1)),
        (("nowhere",), (1, 1)),
    ],
)
def test_lines_and_columns_count_from_one(path, place):
    assert Positions(WHOLE).of(path) == place
