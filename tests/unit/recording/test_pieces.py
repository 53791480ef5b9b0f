from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from oobconsole.recording.pieces import BLOCK, Pieces

SIZES = st.one_of(st.integers(0, 100), st.integers(BLOCK - 2, BLOCK + 2))


@given(st.lists(st.builds(lambda size, byte: bytes((byte,)) * size, SIZES, st.integers(0, 255)), max_size=20))
def test_all_of_it_comes_in_order(pieces: list[bytes]) -> None:
    written = Pieces()
    for piece in pieces:
        written.add(piece)
    assert b"".join(written.blocks()) == b"".join(pieces)
    assert len(written) == len(b"".join(pieces))


def test_small_pieces_are_joined_and_large_ones_are_not_copied() -> None:
    written, large = Pieces(), bytes(BLOCK + 1)
    for piece in (b"a", b"b", large, b"c", b"d"):
        written.add(piece)
    first, second, third = written.blocks()
    assert (first, third) == (b"ab", b"cd")
    assert second is large
