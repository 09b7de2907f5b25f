from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from codex_runner.text.line_splitter import Line, LineSplitter, Part


def split(pieces, offset=0, bound=10**9):
    splitter = LineSplitter(offset, bound)
    lines = [line for piece in pieces for line in splitter.feed(piece)]
    return [*lines, *splitter.finish()]


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


text = st.binary(max_size=200) | st.lists(st.sampled_from([b"\n", b"a", b"\r\n", b"\xff", b"{}"])).map(b"".join)


@given(text, st.lists(st.integers(min_value=0)))
def test_any_split_gives_the_same_lines(data, places):
    assert split(cut(data, places)) == split([data])


@given(text, st.integers(min_value=0, max_value=10**12))
def test_the_lines_are_the_bytes(data, offset):
    lines = split([data], offset)
    assert b"".join(line.data + (b"\n" if line.whole else b"") for line in lines) == data
    assert [line.whole for line in lines[:-1]] == [True] * (len(lines) - 1)
    if lines:
        assert lines[-1].end == offset + len(data)


def test_half_a_line_at_the_end_is_told_as_such():
    assert split([b"one\ntw", b"o"]) == [Line(b"one", 4), Line(b"two", 7, whole=False)]


def test_nothing_gives_nothing():
    assert split([]) == []
    assert split([b""]) == []


def test_a_long_line_in_many_pieces_is_joined_once():
    (line,) = split([b"x" * 1000] * 5000 + [b"\n"])
    assert len(line.data) == 5_000_000


def whole(lines):
    """The lines, with the parts of each that is too long put together."""
    made, parts = [], []
    for line in lines:
        if isinstance(line, Part):
            parts.append(line.data)
            assert line.size == sum(map(len, parts))
            if not line.last:
                continue
            made.append(Line(b"".join(parts), line.end, line.whole))
            parts.clear()
        else:
            made.append(line)
    assert not parts
    return made


@given(text, st.lists(st.integers(min_value=0)), st.integers(1, 20))
def test_a_line_beyond_the_bound_comes_in_parts_and_none_other_does(data, places, bound):
    lines = split(cut(data, places), 7, bound)
    assert whole(lines) == split([data], 7)
    assert all(len(line.data) <= bound for line in lines if isinstance(line, Line))
    assert all(line.size > bound for line in lines if isinstance(line, Part))


@given(st.lists(st.binary(max_size=50), max_size=50), st.integers(1, 20))
def test_no_more_is_held_than_the_bound(pieces, bound):
    splitter, told, came = LineSplitter(0, bound), 0, 0
    for piece in pieces:
        for line in splitter.feed(piece):
            told = line.end
        came += len(piece)
        assert splitter.received == came
        assert came - told <= bound
