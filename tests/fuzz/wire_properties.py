"""What holds for every stream of bytes that `wire.Decoder` may be fed, in pieces of any size."""

from __future__ import annotations

from collections.abc import Iterable

from oobconsole.errors import WireError
from oobconsole.interceptors import wire
from oobconsole.interceptors.wire import Decoder, Event, FrameType
from tests.support.native_half import announced


def encode(event: Event) -> bytes:
    """The frame that an event came from. STATS leaves out the counters that this server does not know."""
    match event:
        case wire.Hello(capabilities, machine, instance, ranges):
            return wire.encode_hello(machine, instance, capabilities, ranges=ranges)
        case wire.Access(context, seq, port, size, write, value, vcpu):
            head = (wire.ACCESS.size, FrameType.ACCESS, 0, context)
            return wire.ACCESS.pack(*head, seq, port, size, write, value, vcpu, 0)
        case wire.Posted(context, port, data, vcpu):
            head = (wire.POSTED.size + len(data), FrameType.POSTED, 0, context)
            return wire.POSTED.pack(*head, port, len(data), vcpu, 0) + data
        case wire.ContextAppeared(context, vmcb, ncr3):
            head = (wire.CONTEXT_APPEARED.size, FrameType.CONTEXT_APPEARED, 0, context)
            return wire.CONTEXT_APPEARED.pack(*head, vmcb, ncr3, 0)
        case wire.ContextGone(context, reason):
            head = (wire.CONTEXT_GONE.size, FrameType.CONTEXT_GONE, 0, context)
            return wire.CONTEXT_GONE.pack(*head, reason, 0)
        case wire.Gap(context, port, lost):
            return wire.GAP.pack(wire.GAP.size, FrameType.GAP, 0, context, port, 0, 0, lost)
        case wire.ReadServed(context, port, value, number):
            head = (wire.READ_SERVED.size, FrameType.READ_SERVED, 0, context)
            return wire.READ_SERVED.pack(*head, port, value, 0, number)
        case wire.Stats(counters, latency):
            known = (*counters.values(), *latency)
            padding = (0,) * (wire.STATS_MAX - len(known))
            head = (wire.STATS_FRAME.size, FrameType.STATS, 0, 0)
            return wire.STATS_FRAME.pack(*head, len(counters), 0, *known, *padding)
        case wire.Announced():
            return announced()


def decode(parts: Iterable[bytes]) -> tuple[list[Event], str | None]:
    """The events, and the reason for which the stream was refused. Any other exception leaves this function."""
    decoder = Decoder()
    events: list[Event] = []
    for part in parts:
        reason = _feed(decoder, part, events)
        if reason is not None:
            again = [_feed(decoder, more, events) for more in (b"", wire.encode_hello("l1", 7))]
            assert again == [reason, reason], f"after {reason!r} came {again}"
            assert not decoder._buffer
            return events, reason
    return events, None


def _feed(decoder: Decoder, part: bytes, events: list[Event]) -> str | None:
    """Why the decoder refuses this part, if it does."""
    try:
        events.extend(decoder.feed(part))
    except WireError as error:
        return str(error)
    assert len(decoder._buffer) < wire.FRAME_MAX
    assert len(decoder._contexts) <= wire.CONTEXTS_MAX
    return None


def pieces(data: bytes, size: int) -> list[bytes]:
    """`data` in pieces of `size` bytes."""
    return [data[at : at + size] for at in range(0, len(data), size)]


def _check_meaning(stream: bytes, events: list[Event]) -> None:
    """The events are the frames that stand at the beginning of the stream, each byte of them."""
    at = 0
    for event in events:
        frame = encode(event)
        sent = stream[at : at + len(frame)]
        known = len(frame) if not isinstance(event, wire.Stats) else wire.HEADER.size
        assert sent[:known] == frame[:known], f"{event} does not stand at {at}"
        at += len(frame)


def _check_order(events: list[Event]) -> None:
    """docs/wire-protocol.md: what may follow what."""
    live: set[int] = set()
    accesses = 0
    for event in events:
        if isinstance(event, wire.ContextAppeared):
            assert event.context
            assert event.context not in live
            live.add(event.context)
        elif not isinstance(event, wire.Hello | wire.Stats | wire.Announced):
            assert event.context in live
        if isinstance(event, wire.ContextGone):
            live.remove(event.context)
        if isinstance(event, wire.Access):
            accesses += 1
            assert event.seq == accesses
    assert [isinstance(event, wire.Hello) for event in events[:2]] in ([], [True], [True, False])


def check(stream: bytes, size: int) -> list[Event]:
    """Feed `stream` whole, in pieces of `size`, and byte by byte; returns the events."""
    whole = decode([stream])
    assert decode(pieces(stream, size)) == whole
    assert decode(pieces(stream, 1)) == whole
    _check_meaning(stream, whole[0])
    _check_order(whole[0])
    return whole[0]
