"""No room for a frame (`native/core`'s send.c and resync.c): a server takes nothing, and the buffer is full.

The native half then counts the server as late, whatever it was about to say. When the server is back it gets
everything once: no frame is lost, and none comes twice.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from oobconsole.interceptors import wire
from oobconsole.interceptors.wire import (
    Access,
    ContextAppeared,
    ContextGone,
    Event,
    Gap,
    GoneReason,
    Posted,
    ReadServed,
)
from tests.native.frames import KEPT, SECOND_NS, all_of, printed, registers
from tests.native.half import IER, MCR, RBR, SCR, THRI, Half

TX_MAX = 16384  # OOB_TX_MAX of stream.h
POSTED_BYTES = 17  # a POSTED frame of one byte


def fill(live: Half, context: int = 1) -> None:
    """The guest writes to one scratch register after the other, so that no two writes share a frame, until there is
    no room for another frame. The server takes nothing from now on."""
    live.silent = True
    value = 0
    while TX_MAX - live.unsent >= POSTED_BYTES:
        value += 1
        live.write(SCR, value & 0xFF, base=live.other if value & 1 else live.base, context=context)
    assert live.up, "nobody has had to wait for room yet"


def back(live: Half) -> list[Event]:
    """The server takes everything, and is told what it has missed. Returns all that it gets."""
    live.silent = False
    events: list[Event] = []
    for _ in range(20):
        events += live.sent()
        live.poll()
    assert live.up
    return events + all_of(live)


def test_an_access_for_which_there_is_no_room(live: Half) -> None:
    fill(live)
    before = live.clock_ns
    assert live.ask(SCR) is None
    assert not live.up
    assert live.clock_ns - before < 150_000_000
    assert not [event for event in back(live) if isinstance(event, Access)]
    live.answers[live.base + SCR] = 0x33
    assert live.ask(SCR) == 0x33, "the next one has its answer"


def test_a_write_for_which_there_is_no_room(live: Half) -> None:
    fill(live)
    live.write(SCR, 0xA5)
    assert not live.up
    assert live.stat("away") == 1
    assert registers(back(live), live.base)[SCR] == 0xA5


def test_output_for_which_there_is_no_room_arrives_once(live: Half) -> None:
    live.prints(b"before ")
    fill(live)
    live.prints(b"meanwhile")
    assert not live.up
    assert printed(back(live), live.base) == b"before meanwhile"


def test_a_byte_that_would_share_a_frame_for_which_there_is_no_room(live: Half) -> None:
    """Bytes in one frame are sent soon enough not to fill the buffer, unless the frame is begun where the buffer
    ends."""
    live.silent = True
    value = 0
    while TX_MAX - live.unsent >= 2 * POSTED_BYTES:
        value += 1
        live.write(SCR, value & 0xFF, base=live.other if value & 1 else live.base)
    text = bytes(range(65, 65 + 26))
    live.prints(text)
    assert not live.up
    assert printed(back(live), live.base) == text


def test_a_reading_for_which_there_is_no_room_is_told_afterwards(live: Half) -> None:
    live.publish(b"ab", number=8)
    fill(live)
    assert live.read(RBR) == ord("a")
    assert not live.up
    told = [event for event in back(live) if isinstance(event, ReadServed) and event.port == live.base]
    assert told == [ReadServed(1, live.base, 0, 9)]


def test_a_guest_for_whose_first_access_there_is_no_room(half: Half) -> None:
    half.begin()
    half.write(MCR, 0x0B)
    half.take()
    fill(half)
    half.write(SCR, 0x42, context=2)
    assert not half.up
    events = [event for event in back(half) if getattr(event, "context", 0) == 2]
    assert isinstance(events[0], ContextAppeared)
    assert registers([event for event in events if isinstance(event, Posted)], half.base)[SCR] == 0x42


def test_a_reset_for_which_there_is_no_room(live: Half) -> None:
    live.write(IER, THRI)
    fill(live)
    live.restart()
    assert not live.up
    told = registers(back(live), live.base)
    assert (told[IER], told[MCR], told[SCR]) == (0, 0, 0)


@pytest.mark.parametrize("context", [1, 2])
def test_an_end_for_which_there_is_no_room(live: Half, context: int) -> None:
    """A guest that the server does not know is not told of at all."""
    fill(live)
    live.gone(context, GoneReason.DESTROYED)
    known = context == 1
    assert live.up is not known
    events = back(live)
    assert [event for event in events if isinstance(event, ContextGone)] == (
        [ContextGone(1, GoneReason.DESTROYED)] if known else []
    )
    assert not live.keeps(context)


def test_statistics_for_which_there_is_no_room_are_sent_later(live: Half) -> None:
    fill(live)
    live.let_pass(2 * SECOND_NS)
    live.service()
    assert not live.up
    back(live)
    live.let_pass(2 * SECOND_NS)
    live.write(SCR, 1)
    live.service()
    live.silent = False
    live._server_turn()
    assert [event for event in live.received if isinstance(event, wire.Stats)]


def test_frames_of_two_guests_and_two_ports_are_not_joined(live: Half) -> None:
    """Neither bytes that are printed, nor readings of the base register."""
    live.write(SCR, 1, context=2)
    live.take()
    for context in (1, 2):
        live.publish(b"ab", context=context)
        live.publish(b"xy", context=context, port=live.other)
    for context, base in ((1, live.base), (2, live.base), (2, live.other)):
        live.print_at_once(b"p", base=base, context=context)
    told = [event for event in live.take() if isinstance(event, Posted)]
    assert [(event.context, event.port, event.data) for event in told] == [
        (1, live.base, b"p"),
        (2, live.base, b"p"),
        (2, live.other, b"p"),
    ]
    for context, base in ((1, live.base), (2, live.base), (2, live.other)):
        live.read(RBR, base=base, context=context)
    read = [event for event in live.take() if isinstance(event, ReadServed)]
    assert [(event.context, event.port, event.number) for event in read] == [
        (1, live.base, 1),
        (2, live.base, 1),
        (2, live.other, 1),
    ]


# -- a server that comes back, and takes nothing again -----------------------------------------------


def text_of(length: int, first: int) -> bytes:
    """A text in which no piece comes twice soon."""
    return b"".join(b"%07d " % (first + i) for i in range(length // 8 + 1))[:length]


@pytest.mark.parametrize("lost", [0, 100], ids=["all is kept", "some is lost"])
@pytest.mark.parametrize("gone", [False, True], ids=["lives", "is gone"])
@pytest.mark.parametrize("part", range(4))
def test_a_server_that_is_late_again_while_it_is_told(
    library: Path, tmp_path: Path, lost: int, gone: bool, part: int
) -> None:
    """The buffer is full at each place of what the server is to be told, one after the other. The guest has
    printed at both ports, has read and written, and has perhaps ended."""
    for n, length in enumerate(range(15_000 + 20 * part, 16_600, 80)):
        folder = tmp_path / str(n)
        folder.mkdir()
        late_again(Half(library, folder), text_of(length, length), text_of(KEPT + lost if lost else 40, 7), gone)


def late_again(half: Half, first: bytes, second: bytes, gone: bool) -> None:
    """The guest prints one text at each port while the server is late. The server is late again when it is told."""
    half.begin()
    half.write(MCR, 0x0B)
    half.publish(b"ab", number=8)
    half.take()
    half.be_late()
    half.print_at_once(first)
    half.print_at_once(second, base=half.other)
    half.read(RBR)
    half.write(SCR, 0x5A, base=half.other)
    if gone:
        half.gone(1, GoneReason.DESTROYED)
    half.silent = True  # it has taken what it was late for, and takes nothing of what it is told now
    half.serve_once()
    half.poll()
    events = back(half)
    assert printed(events, half.base) == first
    kept = second[-KEPT:]
    assert printed(events, half.other) == kept
    assert sum(event.lost for event in events if isinstance(event, Gap)) == len(second) - len(kept)
    if gone:
        assert events[-1] == ContextGone(1, GoneReason.DESTROYED)
        assert not half.keeps(1)
    else:
        assert registers(events, half.other)[SCR] == 0x5A
        told = [event.number for event in events if isinstance(event, ReadServed) and event.port == half.base]
        assert set(told) == {9}, "it may be told twice, and says the same then"
