"""The codec: what a native half may send, in pieces of any size, and nothing else."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.errors import WireError
from oobconsole.interceptors import wire
from oobconsole.interceptors.wire import (
    Access,
    ContextAppeared,
    ContextGone,
    Decoder,
    Event,
    Gap,
    GoneReason,
    Hello,
    Posted,
)
from tests.support.native_half import access, announced, appeared, gap, gone, posted, read_served, stats

RANGES = (wire.PortRange(0x3F8, 8, 1 << 4), wire.PortRange(0x60, 5, 0x1002, 7))
HELLO = wire.encode_hello("l1", 7, capabilities=15, ranges=RANGES)
FRAMES = [
    HELLO,
    appeared(1),
    announced(),
    access(1),
    access(2, direction=1, value=0x41),
    posted(b"hello"),
    gap(1, 9),
    read_served(1, 5, 0x3FA, 0xC2),
    read_served(1, 0xFFFFFFFF),
    stats(5, 6),
    gone(1),
    appeared(1),
    access(3, port=0xFFFC, size=4, direction=1, value=0xFFFFFFFF),
]
STREAM = b"".join(FRAMES)
EVENTS = [
    Hello(15, "l1", 7, RANGES),
    ContextAppeared(1, 0x1000, 0x2000),
    wire.Announced(),
    Access(1, 1, 0x3F8, 1, False, 0, 0),
    Access(1, 2, 0x3F8, 1, True, 0x41, 0),
    Posted(1, 0x3F8, b"hello", 0),
    Gap(1, 0x3F8, 9),
    wire.ReadServed(1, 0x3FA, 0xC2, 5),
    wire.ReadServed(1, 0x3F8, 0, 0xFFFFFFFF),
    wire.Stats({"reads": 5, "writes": 6}, (0,) * wire.LATENCY_BUCKETS),
    ContextGone(1, GoneReason.REPLACED),
    ContextAppeared(1, 0x1000, 0x2000),
    Access(1, 3, 0xFFFC, 4, True, 0xFFFFFFFF, 0),
]


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def outcome(parts: Iterable[bytes]) -> tuple[list[Event], str | None]:
    """The events, and the reason for which the stream was refused."""
    decoder = Decoder()
    events: list[Event] = []
    try:
        for part in parts:
            for event in decoder.feed(part):
                events.append(event)
            assert len(decoder._buffer) < wire.FRAME_MAX
    except WireError as error:
        with pytest.raises(WireError, match=re.escape(str(error))):
            list(decoder.feed(HELLO))
        return events, str(error)
    return events, None


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, len(STREAM)])
def test_a_stream_in_pieces(size: int) -> None:
    assert outcome(pieces(STREAM, size)) == (EVENTS, None)


REFUSED = [
    ([b"GET / HTTP/1.1\r\n"], "frame type 0x54"),
    ([appeared(1)], "the first frame is CONTEXT_APPEARED and not HELLO"),
    ([HELLO, HELLO], "HELLO came twice"),
    ([wire.encode_hello("l1", 7, version=9)], "version 9 of the protocol, this server 2"),
    ([wire.encode_hello("l1", 7, version=9)], "Install the server of the native half's release"),
    ([wire.encode_hello("l1", 7, version=1)], "Restart its QEMU with the oob_tcg.so of this server's release"),
    ([struct.pack("<HBBIIHHI48sI", 72, 1, 0, 0, wire.MAGIC, 1, 0, 0, b"l1", 7)], "version 1 of the protocol"),
    ([struct.pack("<H", len(HELLO) + 1) + HELLO[2:] + b"x"], "HELLO of 329 bytes"),
    ([HELLO[:14] + b"\x21" + HELLO[15:]], "HELLO announces 33 port ranges"),
    ([HELLO[:14] + b"\x01" + HELLO[15:]], "more port ranges than the 1 that it announces"),
    ([HELLO[:14] + b"\x03" + HELLO[15:]], "a port range that cannot be: PortRange(first=0"),
    *(
        ([wire.encode_hello("l1", 7, ranges=[one])], f"a port range that cannot be: {one}")
        for one in (
            wire.PortRange(0x3F8, 0, 1),
            wire.PortRange(0xFFFF, 2, 1),
            wire.PortRange(0x3F8, 8, 1, 8),
            wire.PortRange(0x3F8, 8, 1, 0),
            wire.PortRange(0x3F8, 8, 1, 1, 1),
        )
    ),
    ([wire.encode_hello("L1 ", 7)], "'L1 ', which is no machine name"),
    ([wire.encode_hello("", 7)], "'', which is no machine name"),
    ([wire.encode_hello("x" * 48, 7)], "not padded"),
    ([HELLO[:24] + b"l1\0x" + HELLO[28:]], "not padded"),
    ([wire.encode_hello("l1", 0)], "without instance"),
    ([HELLO[:8] + b"XXXX" + HELLO[12:]], "magic"),
    ([HELLO, access(1)], "context 1, which has not appeared"),
    ([HELLO, posted(b"x")], "context 1, which has not appeared"),
    ([HELLO, gap(1, 1)], "context 1, which has not appeared"),
    ([HELLO, read_served(1, 5)], "context 1, which has not appeared"),
    ([HELLO, gone(1)], "context 1, which has not appeared"),
    ([HELLO, appeared(0)], "about context 0"),
    ([HELLO, appeared(1), appeared(1)], "appeared twice"),
    ([HELLO, appeared(1), access(2)], "number 2 where 1 was due"),
    ([HELLO, appeared(1), access(1), access(1)], "number 1 where 2 was due"),
    ([HELLO, appeared(1), access(1, size=3)], "3 bytes"),
    ([HELLO, appeared(1), access(1, size=0)], "0 bytes"),
    ([HELLO, appeared(1), access(1, port=0xFFFF, size=2)], "at port 0xffff"),
    ([HELLO, appeared(1), access(1, direction=2)], "direction 2"),
    ([HELLO, appeared(1), access(1, direction=1, value=0x141)], "value 0x141"),
    ([HELLO, appeared(1), access(1, value=1)], "direction 0, value 0x1"),
    ([HELLO, appeared(1), posted(b"")], "POSTED of 16 bytes"),
    ([HELLO, appeared(1), posted(bytes(wire.POSTED_MAX + 1))], "POSTED of 2065 bytes"),
    ([HELLO, appeared(1), posted(b"ab", count=3)], "says it has 3"),
    ([HELLO, appeared(1), posted(b"ab", count=1)], "says it has 1"),
    ([HELLO, appeared(1), gap(1, 0)], "GAP is about 0 lost bytes"),
    ([HELLO, appeared(1), gone(1, 9)], "reason 9"),
    ([HELLO, appeared(1), gone(1, 4)], "reason 4"),
    ([HELLO, appeared(1), gone(1, 0)], "reason 0"),
    ([HELLO, appeared(1), gone(1), posted(b"x")], "has not appeared"),
    ([HELLO, struct.pack("<HBBI", 8, 2, 0, 1)], "ACCESS of 8 bytes"),
    ([HELLO, struct.pack("<HBBI", 65535, 3, 0, 1)], "POSTED of 65535 bytes"),
    ([HELLO, struct.pack("<HBBI", 0, 3, 0, 1)], "POSTED of 0 bytes"),
    ([HELLO, struct.pack("<HBBI", 24, 2, 1, 1)], "flags"),
    ([HELLO, struct.pack("<HBBI", 16, 0x82, 0, 1)], "frame type 0x82"),
    ([HELLO, *(appeared(n + 1) for n in range(wire.CONTEXTS_MAX + 1))], "more than 256 contexts"),
]


@pytest.mark.parametrize(("frames", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_what_is_not_allowed_is_refused_and_what_came_before_is_served(frames: list[bytes], reason: str) -> None:
    stream = b"".join(frames)
    events, why = outcome([stream])
    assert len(events) == len(frames) - 1
    assert why is not None
    assert reason in why
    assert outcome(pieces(stream, 1)) == (events, why)


RESERVED = {
    "access": (access(1), (22, 23)),
    "posted": (posted(b"x"), (14, 15)),
    "appeared": (appeared(2), tuple(range(24, 32))),
    "gone": (gone(1), (12, 13, 14, 15)),
    "gap": (gap(1, 1), tuple(range(10, 16))),
    "read served": (read_served(1, 5), (11,)),
    "announced": (announced(), (4, 5, 6, 7)),
    "stats": (stats(1), (4, 5, 6, 7, 12, 13, 14, 15)),
}


@pytest.mark.parametrize("name", RESERVED)
def test_reserved_bits_are_refused(name: str) -> None:
    frame, offsets = RESERVED[name]
    assert outcome([HELLO, appeared(1), frame])[1] is None
    for offset in (3, *offsets):
        damaged = frame[:offset] + b"\1" + frame[offset + 1 :]
        assert outcome([HELLO, appeared(1), damaged])[1] is not None, offset


@pytest.mark.parametrize("offset", [3, 4, 5, 6, 7, 15])
def test_reserved_bits_of_hello_are_refused(offset: int) -> None:
    assert outcome([HELLO])[1] is None
    assert outcome([HELLO[:offset] + b"\1" + HELLO[offset + 1 :]])[1] is not None


def test_latency_quantiles() -> None:
    latency = wire.Stats({}, (0,) * 12 + (98,) + (0,) * 19 + (2,) + (0,) * 31)
    assert 8 <= latency.latency_us(0.5) <= 9.6
    assert 256 <= latency.latency_us(0.99) <= 305
    assert latency.latency_us(0.98) == 2 ** (13 / 4), "as many as there are up to that bucket's end"
    assert latency.latency_us(1.0) == 2 ** (33 / 4)
    assert wire.Stats({}, ()).latency_us(0.5) > 0


def test_counters_of_a_newer_native_half_are_left_out() -> None:
    [*_, event] = Decoder().feed(HELLO + stats(*range(wire.STATS_MAX)))
    assert isinstance(event, wire.Stats)
    assert tuple(event.counters) == wire.STATS
    assert len(event.latency) == wire.LATENCY_BUCKETS


def test_counters_beyond_their_number_mean_nothing() -> None:
    frame = bytearray(stats(*range(1, wire.STATS_MAX + 1)))
    frame[8:12] = struct.pack("<I", 13)
    [*_, event] = Decoder().feed(HELLO + frame)
    assert event == wire.Stats(dict(zip(wire.STATS, range(1, 12), strict=True)), (12, 13) + (0,) * 62)


def test_more_counters_than_a_frame_has_are_refused() -> None:
    frame = bytearray(stats(*range(wire.STATS_MAX)))
    frame[8:12] = struct.pack("<I", wire.STATS_MAX + 1)
    assert f"{wire.STATS_MAX + 1} counters, of which there can be {wire.STATS_MAX}" in str(
        outcome([HELLO, bytes(frame)])[1]
    )


def test_what_counts_wraps_in_what_a_server_sends() -> None:
    """A guest that has accessed its ports 2**32 times is served as before."""
    for beyond in (0, 1 << 32):
        assert wire.IRQ.unpack(wire.encode_irq(1, 4, wire.IrqMode.HIGH, beyond + 7))[4:] == (4, 1, 0, 7)
        images = [(0xFF, 1, b"a" + bytes(7)), (0xFF, 0, bytes(8))]
        published = wire.encode_publish(1, beyond + 7, 0x3F8, beyond + 9, images)
        assert wire.PUBLISH.unpack_from(published)[4:] == (7, 9, 0x3F8, 2, 0)
        assert list(wire.IMAGE.iter_unpack(published[wire.PUBLISH.size :])) == images


def test_a_welcome_says_what_will_be_used() -> None:
    fields = wire.WELCOME.unpack(wire.encode_welcome(0x15, RANGES))[4:]
    packed = b"".join(wire.PORT_RANGE.pack(*one) for one in RANGES)
    assert fields == (
        wire.MAGIC,
        wire.VERSION,
        2,
        0x15,
        0,
        packed.ljust(wire.RANGES_MAX * wire.PORT_RANGE.size, b"\0"),
    )


def test_a_range_may_be_of_a_device_without_an_interrupt() -> None:
    registrar = wire.PortRange(0xE8, 4, 0)
    assert outcome([wire.encode_hello("l1", 7, ranges=[registrar])]) == ([Hello(0, "l1", 7, (registrar,))], None)


def test_the_sequence_number_wraps() -> None:
    decoder = Decoder()
    list(decoder.feed(HELLO + appeared(1)))
    decoder._seq = 0xFFFFFFFE
    events = decoder.feed(access(0xFFFFFFFF) + access(0) + access(1))
    assert [event.seq for event in events if isinstance(event, Access)] == [0xFFFFFFFF, 0, 1]


@given(st.binary(max_size=300), st.integers(1, 300))
def test_noise_is_refused_or_waited_on(data: bytes, size: int) -> None:
    outcome(pieces(data, size))
    outcome([HELLO, *pieces(data, size)])


@st.composite
def damaged_streams(draw: st.DrawFn) -> bytes:
    """Frames that are right, in any order, of which some bytes are changed, cut or put in."""
    frames = draw(st.lists(st.sampled_from(FRAMES[1:]), max_size=12))
    stream = bytearray(b"".join([HELLO, *frames]))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(stream)))
        stream[at : at + draw(st.integers(0, 9))] = draw(st.binary(max_size=9))
    return bytes(stream)


@given(damaged_streams(), st.integers(1, 100))
def test_a_damaged_stream_means_the_same_in_any_pieces(stream: bytes, size: int) -> None:
    assert outcome(pieces(stream, size)) == outcome([stream])


def test_why_a_guest_is_gone_is_said_in_these_words() -> None:
    """They are read at consoles, and searched for in logs."""
    assert {reason: reason.words for reason in GoneReason} == {
        GoneReason.REPLACED: "replaced",
        GoneReason.RESET: "reset",
        GoneReason.EVICTED: "evicted",
        GoneReason.DESTROYED: "destroyed",
    }
