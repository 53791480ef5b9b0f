"""The ring against the simplest model there is: all bytes ever appended."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.console.ringbuffer import SHARED_MAX, SHARED_MIN, RingBuffer

appends = st.lists(st.binary(max_size=40), max_size=20)


@given(capacity=st.integers(1, 32), pieces=appends, offset=st.integers(0, 900), limit=st.integers(0, 64))
def test_reads_what_a_list_of_all_bytes_would_give(
    capacity: int, pieces: list[bytes], offset: int, limit: int
) -> None:
    ring = RingBuffer(capacity)
    for piece in pieces:
        ring.append(piece)
    everything = b"".join(pieces)
    start = max(0, len(everything) - capacity)

    chunk = ring.read(offset, limit)

    assert (ring.start, ring.end) == (start, len(everything))
    wanted = min(offset, len(everything))
    assert chunk.offset == max(wanted, start)
    assert chunk.skipped == chunk.offset - wanted
    assert chunk.data == everything[chunk.offset : chunk.offset + limit]


@given(pieces=appends)
def test_a_cursor_that_keeps_up_gets_every_byte_once(pieces: list[bytes]) -> None:
    ring = RingBuffer(64)
    got = b""
    for piece in pieces:
        ring.append(piece)
        chunk = ring.read(len(got), 64)
        assert chunk.skipped == 0
        got += chunk.data
    assert got == b"".join(pieces)


def test_a_ring_needs_room() -> None:
    with pytest.raises(ValueError, match="0 bytes"):
        RingBuffer(0)


@given(st.integers(0, 100), st.binary(max_size=40), st.lists(st.binary(max_size=20), max_size=10))
def test_one_that_goes_on_where_another_ended(end: int, before: bytes, parts: list[bytes]) -> None:
    before = before[:end]
    ring = RingBuffer(16)
    ring.append(b"of another life")
    ring.restart(end, before)
    for part in parts:
        ring.append(part)
    everything = before + b"".join(parts)
    assert ring.end == end + sum(map(len, parts))
    assert ring.read(0, 100).data == everything[-16:]


def test_many_readers_of_one_place_are_given_the_same_bytes_and_little_is_kept() -> None:
    ring = RingBuffer(1 << 20)
    ring.append(bytes(range(256)) * 4096)
    first = ring.read(0, SHARED_MAX)
    assert ring.read(0, SHARED_MAX).data is first.data
    for offset in range(0, 1 << 20, SHARED_MAX):
        assert ring.read(offset, SHARED_MAX).data == bytes(range(256)) * (SHARED_MAX // 256)
    assert len(ring.read(0, 1 << 20).data) == 1 << 20
    assert sum(map(len, ring._shared.values())) <= 4 * SHARED_MAX
    ring.append(b"x" * SHARED_MAX)
    assert ring.read(0, SHARED_MAX).skipped == SHARED_MAX
    assert ring.read(1 << 20, SHARED_MAX).data == b"x" * SHARED_MAX
    ring.forget_chunks()
    assert not ring._shared


def test_offsets_that_change_their_meaning_are_read_anew() -> None:
    ring = RingBuffer(1 << 20)
    ring.append(b"a" * SHARED_MIN + b"b" * SHARED_MIN)
    assert ring.read(SHARED_MIN, SHARED_MIN).data == b"b" * SHARED_MIN
    ring.shift(SHARED_MIN)
    assert ring.read(SHARED_MIN, SHARED_MIN).data == b"a" * SHARED_MIN
    ring.restart(2 * SHARED_MIN, b"c" * SHARED_MIN)
    assert ring.read(SHARED_MIN, SHARED_MIN).data == b"c" * SHARED_MIN
