import subprocess

from hypothesis import given
from hypothesis import strategies as st

from codex_runner.domain import cksum


@given(st.binary(max_size=3000))
def test_agrees_with_the_system(data):
    said = subprocess.run(["cksum"], input=data, capture_output=True, check=True).stdout.split()
    assert [int(said[0]), int(said[1])] == [cksum.cksum(data), len(data)]


@given(st.lists(st.binary(max_size=50)))
def test_pieces_give_what_the_whole_gives(pieces):
    state = cksum.START
    for piece in pieces:
        state = cksum.advance(state, piece)
    whole = b"".join(pieces)
    assert cksum.finish(state, len(whole)) == cksum.cksum(whole)
