"""`wire.Decoder` against a model: right streams mean what was put into them; damaged ones are refused or waited on.

python -m tests.fuzz.wire_hypothesis SECONDS
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from oobconsole.config.table import NAME
from oobconsole.interceptors import wire
from oobconsole.interceptors.wire import Event
from tests.fuzz.wire_properties import check, decode, encode

#: Examples between two looks at the clock.
ROUND = 500
FUZZ = settings(
    max_examples=ROUND,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.target, Phase.shrink),
    print_blob=True,
)

u16, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (16, 32, 64))
Make = Callable[[st.DrawFn, "Native"], Event]


class Native:
    """What a native half must keep in mind to send only what is allowed."""

    def __init__(self) -> None:
        self.contexts: list[int] = []
        self.seq = 0


@st.composite
def port_ranges(draw: st.DrawFn) -> wire.PortRange:
    """Ports that a native half may intercept."""
    length = draw(st.integers(1, 0xFFFF))
    first = draw(st.integers(0, 0x10000 - length))
    return wire.PortRange(first, length, draw(st.integers(0, 0xFFFF)), draw(st.integers(1, 7)))


def hello(draw: st.DrawFn) -> Event:
    name = draw(st.from_regex(NAME, fullmatch=True))
    ranges = draw(st.lists(port_ranges(), max_size=wire.RANGES_MAX))
    return wire.Hello(draw(u32), name, draw(u32.filter(bool)), tuple(ranges))


def access(draw: st.DrawFn, native: Native) -> Event:
    native.seq += 1
    size, write = draw(st.sampled_from((1, 2, 4))), draw(st.booleans())
    value = draw(st.integers(0, wire.VALUE_MAX[size])) if write else 0
    port = draw(st.integers(0, 0x10000 - size))
    return wire.Access(draw(st.sampled_from(native.contexts)), native.seq, port, size, write, value, draw(u16))


def posted(draw: st.DrawFn, native: Native) -> Event:
    size = draw(st.sampled_from((1, 2, 7, 300, wire.POSTED_MAX)))
    data = draw(st.binary(min_size=1, max_size=size))
    return wire.Posted(draw(st.sampled_from(native.contexts)), draw(u16), data, draw(u16))


def appeared(draw: st.DrawFn, native: Native) -> Event:
    number = draw(u32.filter(lambda n: n and n not in native.contexts))
    native.contexts.append(number)
    return wire.ContextAppeared(number, draw(u64), draw(u64))


def gone(draw: st.DrawFn, native: Native) -> Event:
    number = draw(st.sampled_from(native.contexts))
    native.contexts.remove(number)
    return wire.ContextGone(number, draw(st.sampled_from(wire.GoneReason)))


def gap(draw: st.DrawFn, native: Native) -> Event:
    return wire.Gap(draw(st.sampled_from(native.contexts)), draw(u16), draw(u64.filter(bool)))


def read_served(draw: st.DrawFn, native: Native) -> Event:
    return wire.ReadServed(draw(st.sampled_from(native.contexts)), draw(u16), draw(st.integers(0, 255)), draw(u32))


def stats(draw: st.DrawFn, native: Native) -> Event:
    counters = draw(st.lists(u64, max_size=len(wire.STATS)))
    return wire.Stats(dict(zip(wire.STATS, counters, strict=False)), (0,) * wire.LATENCY_BUCKETS)


OF_A_CONTEXT: tuple[Make, ...] = (access, posted, gone, gap, read_served)


@st.composite
def right(draw: st.DrawFn) -> list[Event]:
    """What a native half may send."""
    native, events = Native(), [hello(draw)]
    for _ in range(draw(st.integers(0, 12))):
        makes: tuple[Make, ...] = (appeared, stats, *(OF_A_CONTEXT if native.contexts else ()))
        events.append(draw(st.sampled_from(makes))(draw, native))
    return events


@st.composite
def damages(draw: st.DrawFn, size: int) -> list[tuple[int, int, bytes]]:
    """Where, how many bytes are taken out, and what is put in."""
    places = st.tuples(st.integers(0, size), st.integers(0, 40), st.binary(max_size=40))
    return draw(st.lists(places, min_size=1, max_size=4))


@FUZZ
@given(right(), st.integers(1, 4096))
def right_streams_mean_what_was_sent(events: list[Event], size: int) -> None:
    """Every event comes out as it went in."""
    assert check(b"".join(map(encode, events)), size) == events


@FUZZ
@given(right(), st.integers(1, 4096), st.data())
def damage_spares_what_came_before_it(events: list[Event], size: int, data: st.DataObject) -> None:
    """Frames that are whole before the first damaged byte mean what they meant."""
    frames = [encode(event) for event in events]
    stream = bytearray(b"".join(frames))
    first = len(stream)
    for at, taken, put in data.draw(damages(len(stream))):
        stream[at : at + taken] = put
        first = min(first, at)
    seen = check(bytes(stream), size)
    whole = decode([bytes(stream[:first])])[0]
    assert whole == events[: len(whole)] == seen[: len(whole)]
    assert first - len(b"".join(frames[: len(whole)])) < wire.FRAME_MAX


@FUZZ
@given(st.binary(max_size=2 * wire.FRAME_MAX), st.booleans(), st.integers(1, 300))
def noise_is_refused_or_waited_on(data: bytes, greeted: bool, size: int) -> None:
    """No bytes do harm."""
    check((wire.encode_hello("l1", 7) if greeted else b"") + data, size)


def main(seconds: float) -> None:
    """Run every property in turn until the time is up; the first failure ends the run."""
    properties = (right_streams_mean_what_was_sent, damage_spares_what_came_before_it, noise_is_refused_or_waited_on)
    deadline, examples = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        for fuzz in properties:
            fuzz()
            examples += ROUND
    print(f"Done {examples} examples of {len(properties)} properties")


if __name__ == "__main__":
    main(float(sys.argv[1]))
