"""The codec: what a native half may send, byte by byte, and nothing else."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.errors import WireError
from oobconsole.interceptors import wire
from oobconsole.interceptors.wire import Access, ContextAppeared, ContextGone, Decoder, Gap, GoneReason, Hello, Posted

HELLO = wire.encode_hello("l1", 7, capabilities=15)


def appeared(context: int) -> bytes:
    return wire.CONTEXT_APPEARED.pack(wire.CONTEXT_APPEARED.size, 4, 0, context, 0x1000, 0x2000, 0)


def access(
    seq: int, *, context: int = 1, port: int = 0x3F8, size: int = 1, direction: int = 0, value: int = 0
) -> bytes:
    return wire.ACCESS.pack(wire.ACCESS.size, 2, 0, context, seq, port, size, direction, value, 0, 0)


def posted(data: bytes, *, context: int = 1, count: int | None = None) -> bytes:
    head = wire.POSTED.pack(16 + len(data), 3, 0, context, 0x3F8, len(data) if count is None else count, 0, 0)
    return head + data


def gone(context: int, reason: int = 1) -> bytes:
    return wire.CONTEXT_GONE.pack(wire.CONTEXT_GONE.size, 5, 0, context, reason, 0)


def gap(context: int, lost: int) -> bytes:
    return wire.GAP.pack(wire.GAP.size, 6, 0, context, 0x3F8, 0, 0, lost)


STATS = wire.STATS_FRAME.pack(wire.STATS_FRAME.size, 7, 0, 0, 2, 0, 5, 6, *[0] * (wire.STATS_MAX - 2))
STREAM = (
    HELLO
    + appeared(1)
    + access(1)
    + access(2, direction=1, value=0x41)
    + posted(b"hello")
    + gap(1, 9)
    + STATS
    + gone(1)
    + appeared(1)
)
EVENTS = [
    Hello(15, "l1", 7),
    ContextAppeared(1, 0x1000, 0x2000),
    Access(1, 1, 0x3F8, 1, False, 0, 0),
    Access(1, 2, 0x3F8, 1, True, 0x41, 0),
    Posted(1, 0x3F8, b"hello", 0),
    Gap(1, 0x3F8, 9),
    wire.Stats({"reads": 5, "writes": 6}, (0,) * wire.LATENCY_BUCKETS),
    ContextGone(1, GoneReason.REPLACED),
    ContextAppeared(1, 0x1000, 0x2000),
]


def test_a_stream_at_once() -> None:
    assert Decoder().feed(STREAM) == EVENTS


def test_a_stream_byte_by_byte() -> None:
    decoder = Decoder()
    assert [event for i in range(len(STREAM)) for event in decoder.feed(STREAM[i : i + 1])] == EVENTS


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        (b"GET / HTTP/1.1\r\n", "frame type"),
        (appeared(1), "first frame is not HELLO"),
        (HELLO + HELLO, "HELLO came twice"),
        (wire.encode_hello("l1", 7, version=9), "version 9, this server 1"),
        (wire.encode_hello("l 1", 7), "no machine name"),
        (wire.encode_hello("l1", 0), "without instance"),
        (HELLO[:8] + b"XXXX" + HELLO[12:], "magic"),
        (HELLO + access(1), "has not appeared"),
        (HELLO + appeared(0), "context 0"),
        (HELLO + appeared(1) + appeared(1), "appeared twice"),
        (HELLO + appeared(1) + access(2), "access 2 after access 0"),
        (HELLO + appeared(1) + access(1, size=3), "3 bytes"),
        (HELLO + appeared(1) + access(1, port=0xFFFF, size=4), "at port 0xffff"),
        (HELLO + appeared(1) + access(1, direction=2), "direction 2"),
        (HELLO + appeared(1) + access(1, direction=1, value=0x141), "value 0x141"),
        (HELLO + appeared(1) + posted(b""), "POSTED of 16 bytes"),
        (HELLO + appeared(1) + posted(bytes(wire.POSTED_MAX + 1)), "POSTED of 2065 bytes"),
        (HELLO + appeared(1) + posted(b"ab", count=3), "says it has 3"),
        (HELLO + appeared(1) + gap(1, 0), "GAP of nothing"),
        (HELLO + appeared(1) + gone(1, 9), "reason 9"),
        (HELLO + appeared(1) + gone(1) + posted(b"x"), "has not appeared"),
        (HELLO + struct.pack("<HBBI", 8, 2, 0, 1), "ACCESS of 8 bytes"),
        (HELLO + struct.pack("<HBBI", 65535, 3, 0, 1), "POSTED of 65535 bytes"),
        (HELLO + struct.pack("<HBBI", 24, 2, 1, 1), "flags"),
        (HELLO + struct.pack("<HBBI", 16, 0x82, 0, 1), "frame type 0x82"),
        (HELLO + b"".join(appeared(n + 1) for n in range(wire.CONTEXTS_MAX + 1)), "more than 256 contexts"),
    ],
)
def test_what_is_not_allowed_is_refused_for_good(frames: bytes, reason: str) -> None:
    decoder = Decoder()
    with pytest.raises(WireError, match=reason):
        decoder.feed(frames)
    with pytest.raises(WireError, match=reason):
        decoder.feed(b"")


def test_latency_quantiles() -> None:
    stats = wire.Stats({}, (0,) * 12 + (98,) + (0,) * 19 + (2,) + (0,) * 31)
    assert 8 <= stats.latency_us(0.5) <= 9.6
    assert 256 <= stats.latency_us(0.99) <= 305
    assert wire.Stats({}, ()).latency_us(0.5) > 0


def test_the_sequence_number_wraps() -> None:
    decoder = Decoder()
    decoder.feed(HELLO + appeared(1))
    decoder._seq = 0xFFFFFFFE
    events = decoder.feed(access(0xFFFFFFFF) + access(0) + access(1))
    assert [event.seq for event in events if isinstance(event, Access)] == [0xFFFFFFFF, 0, 1]


@given(st.binary(max_size=300))
def test_noise_is_refused_or_waited_on(data: bytes) -> None:
    decoder = Decoder()
    decoder.feed(HELLO)
    try:
        decoder.feed(data)
    except WireError:
        return
    assert len(decoder._buffer) < wire.FRAME_MAX


@given(st.integers(0, len(STREAM) - 1), st.integers(0, 255), st.integers(1, 50))
def test_a_damaged_stream_raises_nothing_else(at: int, value: int, step: int) -> None:
    damaged = STREAM[:at] + bytes((value,)) + STREAM[at + 1 :]
    decoder = Decoder()
    try:
        for i in range(0, len(damaged), step):
            decoder.feed(damaged[i : i + step])
    except WireError:
        return
    assert len(decoder._buffer) < wire.FRAME_MAX
