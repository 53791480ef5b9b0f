"""A server that is late, away, or another one, step by step: `native/tcg`'s link.c, send.c, stream.c and resync.c."""

from __future__ import annotations

import select

import pytest

from oobconsole.interceptors import wire
from oobconsole.interceptors.wire import (
    Access,
    Announced,
    ContextAppeared,
    ContextGone,
    Event,
    Gap,
    GoneReason,
    IrqMode,
    Posted,
    Taken,
)
from tests.native.half import (
    COM1,
    COM2,
    DATA_READY,
    IDLE_LSR,
    IER,
    IIR,
    LCR,
    LSR,
    MCR,
    NOTHING_PENDING,
    PATIENCE_NS,
    RBR,
    SCR,
    STATUS,
    THR,
    THRE_PENDING,
    THRI,
    Half,
)

KEPT = 65536  # OOB_KEEP_MAX of away.h
SECOND_NS = 1_000_000_000
APPEARED = ContextAppeared(1, 0x2000, 0x1000)


def printed(events: list[Event], port: int, context: int = 1) -> bytes:
    """What reached THR: while DLAB is set, the port is the divisor's."""
    text, dlab = b"", False
    for event in events:
        if not isinstance(event, Posted) or event.context != context:
            continue
        if event.port == port + LCR:
            dlab = bool(event.data[-1] & 0x80)
        elif event.port == port and not dlab:
            text += event.data
    return text


def registers(events: list[Event], port: int) -> dict[int, int]:
    """The last write to each register, as the server was told; those of the divisor are 8 and 9."""
    known: dict[int, int] = {}
    for event in events:
        if isinstance(event, Posted) and 0 < event.port - port < 8:
            dlab = known.get(LCR, 0) & 0x80 and event.port - port == IER
            known[9 if dlab else event.port - port] = event.data[-1]
        elif isinstance(event, Posted) and event.port == port and known.get(LCR, 0) & 0x80:
            known[8] = event.data[-1]
    return known


def all_of(live: Half) -> list[Event]:
    """What is sent, in as many goes as it takes."""
    events: list[Event] = []
    while part := live.sent():
        events += part
        live.poll()
    return events


@pytest.fixture(params=[COM1, COM2], ids=["com1", "com2"])
def live(half: Half, request: pytest.FixtureRequest) -> Half:
    """Connected, the first guest known and programmed, nothing under way."""
    half.base, half.other = (request.param, COM1 + COM2 - request.param)
    half.begin()
    half.write(MCR, 0x0B)
    half.take()
    return half


# -- coming ------------------------------------------------------------------------------------------


def test_a_guest_is_announced_by_its_first_access(half: Half) -> None:
    half.begin()
    half.prints(b"a")
    half.read(SCR)
    assert half.take() == [APPEARED, Posted(1, half.base, b"a", 0), Access(1, 1, half.base + SCR, 1, False, 0, 0)]


def test_guests_are_announced_anew_on_each_connection(live: Half) -> None:
    live.hang_up()
    live.connect()
    assert live.sent() == [APPEARED, Announced()]
    assert not live.up, "where the output goes on is not known before READY"
    assert live.connected
    live.ready((1, live.base, 0))
    assert live.up
    live.read(SCR)
    assert isinstance(live.take()[-1], Access), "which counts from 1 again: the decoder looks"


def test_registers_are_handed_over_to_the_next_server(live: Half) -> None:
    for register, value in ((LCR, 0x83), (THR, 1), (IER, 0), (LCR, 0x03), (IER, 0x05), (SCR, 0x5A)):
        live.write(register, value)
    live.hang_up()
    live.connect()
    live.sent()
    live.ready()
    assert registers(live.take(), live.base) == {8: 1, 9: 0, LCR: 0x03, IER: 0x05, 2: 0, MCR: 0x0B, SCR: 0x5A}


def test_output_goes_on_where_the_server_has_it(live: Half) -> None:
    live.prints(b"0123456789")
    live.take()
    live.hang_up()
    live.prints(b"abc")
    live.connect()
    live.sent()
    live.ready((1, live.base, 4), (1, live.base + 8, 77))  # and of a port that is none of ours
    assert printed(live.take(), live.base) == b"456789abc"
    live.prints(b"d")
    assert printed(live.take(), live.base) == b"d"


def test_a_server_that_has_more_than_was_printed_is_not_believed(live: Half) -> None:
    live.prints(b"0123")
    live.take()
    live.hang_up()
    live.connect()
    live.ready((1, live.base, 99))
    live.prints(b"abc")
    assert printed(live.take(), live.base) == b"abc"


def test_a_server_that_knows_nothing_gets_all_that_is_kept(live: Half) -> None:
    live.prints(b"0123456789")
    live.take()
    live.hang_up()
    live.connect()
    live.sent()
    live.ready()
    assert printed(live.take(), live.base) == b"0123456789"
    live.hang_up()
    live.connect()
    live.ready((1, live.base, 7))  # of its own count
    assert printed(live.take(), live.base) == b"789"


def test_the_next_server_gets_all_that_is_kept_whatever_the_one_before_had(live: Half) -> None:
    live.prints(b"0123456789")
    live.take()
    live.hang_up()
    live.connect()
    live.ready((1, live.base, 4))
    assert printed(live.take(), live.base) == b"456789"
    live.hang_up()
    live.connect()
    live.ready()
    assert printed(live.take(), live.base) == b"0123456789"


def test_a_server_that_began_in_the_middle_is_late(live: Half) -> None:
    """It counts from the oldest byte that there was for it."""
    live.prints(b"x" * 1000)
    live.publish()
    live.hang_up()
    text = bytes(ord("a") + i % 26 for i in range(KEPT))
    live.prints(text)
    live.connect()
    live.ready()
    assert printed(all_of(live), live.base) == text
    live.be_late()
    live.prints(b"meanwhile")
    live.come_back()
    assert printed(all_of(live), live.base) == b"meanwhile"
    live.hang_up()
    live.connect()
    live.ready((1, live.base, KEPT + 4))
    assert printed(all_of(live), live.base) == b"while"


def test_a_guest_that_ends_before_it_is_known_what_the_server_has(live: Half) -> None:
    """Nothing that it printed comes twice."""
    live.prints(b"before")
    live.take()
    live.hang_up()
    live.connect()
    live.gone(1, GoneReason.DESTROYED)
    live.ready((1, live.base, 6))
    events = live.take()
    assert printed(events, live.base) == b""
    assert ContextGone(1, GoneReason.DESTROYED) in events


def test_a_new_server_that_is_late_at_once_gets_the_other_port_too(live: Half) -> None:
    """It goes on with the rest of the one port, and with all of the other."""
    one, two = b"1" * 40000, b"2" * 300
    live.prints(one)
    for byte in two:
        live.write(THR, byte, base=live.other)
    all_of(live)
    live.hang_up()
    live.connect()
    live.sent()
    live.silent = True
    live.ready()
    assert not live.up
    live.silent = False
    events = all_of(live)
    assert (printed(events, live.base), printed(events, live.other)) == (one, two)


def test_a_guest_that_was_only_reset_is_announced(half: Half) -> None:
    half.restart()
    half.connect()
    assert half.sent() == [APPEARED, Announced()]


def test_the_idle_uart_drives_all_guests_when_a_server_is_late_again(live: Half) -> None:
    """In the middle of telling it of the first guest, before the second was told of."""
    live.write(MCR, 0x0B, context=2)
    live.write(IER, THRI, context=2)
    live.be_late()
    live.prints(b"x" * 50000)
    live._server_turn()
    live.silent = True
    live.poll()
    assert not live.up
    assert live.level(context=2)


def test_what_a_server_missed_goes_out_soon(live: Half) -> None:
    live.be_late()
    live.service()
    live.prints(b"a")
    woken = live.woken
    live.come_back()
    assert live.woken > woken


def test_what_is_not_kept_any_more_is_a_gap(live: Half) -> None:
    text = bytes(ord("a") + i % 26 for i in range(KEPT + 1000))
    live.prints(b"x" * 10)
    live.publish()  # it has them
    live.hang_up()
    live.prints(text)
    live.connect()
    live.sent()
    live.silent = True
    live.ready((1, live.base, 10))
    live.silent = False
    events = all_of(live)
    assert [e for e in events if isinstance(e, Gap)] == [Gap(1, live.base, 1000)]
    at = next(i for i, e in enumerate(events) if isinstance(e, Gap))
    assert printed(events[:at], live.base) == b""
    assert printed(events, live.base) == text[1000:]
    assert live.stat("dropped") == 1000


def test_output_of_each_port_goes_on_by_itself(live: Half) -> None:
    live.prints(b"one")
    live.write(THR, ord("2"), base=live.other)
    live.write(THR, ord("z"), context=2)
    live.take()
    live.hang_up()
    live.prints(b"more")
    live.connect()
    live.sent()
    live.ready((1, live.base, 3), (2, live.base, 0), (1, live.other, 1))
    events = live.take()
    assert printed(events, live.base) == b"more"
    assert printed(events, live.other) == b""
    assert printed(events, live.base, 2) == b"z"


def test_nobody_is_told_of_a_connection_that_is_welcomed_late(live: Half, capfd: pytest.CaptureFixture[str]) -> None:
    live.hang_up()
    capfd.readouterr()
    live.connect()
    live.let_pass(SECOND_NS // 2)
    live.ready()
    assert capfd.readouterr().err == ""
    assert live.stat("reconnects") == 2


# -- late --------------------------------------------------------------------------------------------


def test_an_access_waits_for_so_long_and_no_longer(live: Half) -> None:
    start = live.clock_ns
    live.be_late()
    assert PATIENCE_NS <= live.clock_ns - start < PATIENCE_NS + 5_000_000
    assert live.connected, "late is not away"
    start = live.clock_ns
    live.read(SCR)
    assert live.clock_ns - start < 1_000_000, "nobody waits for it again"
    assert live.stat("away") == 2


def test_an_answer_within_that_time_is_waited_for(live: Half) -> None:
    """It sleeps meanwhile, and counts how long it took: 2 us each quarter of an octave."""
    live.answers[live.base + SCR] = 0x5A
    before = live.clock_ns
    assert live.read(SCR) == 0x5A
    took = live.clock_ns - before
    assert live.up
    assert sum(live.latency(bucket) for bucket in range(64)) == 2, "a write and a read"
    assert took < 1_000_000


@pytest.mark.parametrize("value", [0, 0x5A])
def test_a_guest_reads_what_it_wrote_while_the_server_is_late(live: Half, value: int) -> None:
    live.be_late()
    live.write(SCR, value)
    assert (live.read(SCR), live.read(LSR), live.read(MCR)) == (value, IDLE_LSR, 0x0B)


def test_nothing_more_is_sent_to_a_late_server(live: Half) -> None:
    live.be_late()
    live.sent()
    live.silent = True
    live.prints(b"kept")
    live.write(SCR, 9)
    live.read(LSR)
    assert live.sent() == []


def test_the_interrupt_that_a_guest_may_wait_for_is_due_when_the_server_is_late(live: Half) -> None:
    """Its last byte was on its way, or its last answer: an empty THR is said once more, rather than never."""
    live.write(IER, THRI)
    live.publish(IDLE_LSR)
    live.prints(b"a")
    assert live.read(IIR) == THRE_PENDING
    assert not live.level()
    live.be_late()
    assert live.level()
    assert live.read(IIR) == THRE_PENDING
    assert not live.level()
    assert live.read(IIR) == NOTHING_PENDING


def test_the_interrupt_that_a_guest_may_wait_for_is_due_when_the_server_is_away(live: Half) -> None:
    live.write(IER, THRI)
    live.publish(IDLE_LSR)
    live.prints(b"a")
    live.read(IIR)
    live.hang_up()
    assert live.level()
    assert live.read(IIR) == THRE_PENDING


def test_no_interrupt_is_due_that_was_not_asked_for(live: Half) -> None:
    live.irq(IrqMode.HIGH)  # of its input
    live.be_late()
    assert not live.level()
    assert live.read(IIR) == NOTHING_PENDING


def test_what_was_published_holds_no_more(live: Half) -> None:
    live.publish(0, valid=STATUS)
    live.be_late()
    assert live.read(LSR) == IDLE_LSR


def test_input_that_was_handed_over_is_read_while_the_server_is_late(live: Half) -> None:
    live.give(8, b"ab")
    live.be_late()
    assert (live.read(RBR), live.read(RBR), live.read(RBR)) == (ord("a"), ord("b"), 0)
    live.come_back()
    assert [e for e in live.take() if isinstance(e, Taken)] == [Taken(1, live.base, 10)]


def test_what_was_printed_meanwhile_is_sent_once_and_what_was_sent_is_not_sent_again(live: Half) -> None:
    live.prints(b"before ")
    live.be_late()
    live.prints(b"meanwhile")
    live.come_back()
    assert live.up
    assert printed(live.take(), live.base) == b"before meanwhile"
    live.prints(b" after")
    assert printed(live.take(), live.base) == b" after"
    live.be_late()
    live.come_back()
    assert printed(live.take(), live.base) == b""


def test_registers_are_made_up_for(live: Half) -> None:
    live.be_late()
    live.write(SCR, 0x5A)
    live.write(IER, 0x05)
    live.come_back()
    told = registers(live.take(), live.base)
    assert (told[SCR], told[IER], told[MCR]) == (0x5A, 0x05, 0x0B)


def test_a_server_is_back_when_it_has_answered_and_not_before(live: Half) -> None:
    live.be_late()
    live.say(wire.encode_attention(1, True))
    assert live.attended()
    assert not live.up, "the access has not been answered"
    live.come_back()
    assert live.up
    assert live.answers == {}


def test_what_was_answered_too_late_is_of_no_use(live: Half) -> None:
    live.silent = True
    live.answers[live.base + SCR] = 0x11
    live.write(SCR, 0x22)
    assert live.read(SCR) == 0x22
    live.silent = False
    live.come_back()
    assert live.up
    live.take()
    live.answers[live.base + SCR] = 0x33
    assert live.read(SCR) == 0x33


def test_lines_are_driven_as_the_server_said_meanwhile(live: Half) -> None:
    live.be_late()
    live.send(wire.encode_irq(1, live.line, IrqMode.HIGH, live.served()))
    live.say(wire.encode_attention(1, False))
    assert not live.level(), "the idle UART drives it"
    live.come_back()
    assert live.level()
    live.be_late()
    live.say(wire.encode_irq(1, live.line, IrqMode.LOW, live.served()))
    live.come_back()
    assert not live.level()


def test_what_a_server_said_of_lines_holds_for_its_connection(live: Half) -> None:
    live.irq(IrqMode.HIGH)
    live.hang_up()
    live.connect()
    live.ready()
    assert not live.level()


def test_lateness_is_spoken_of_after_a_second_and_its_end_too(live: Half, capfd: pytest.CaptureFixture[str]) -> None:
    live.be_late()
    live.silent = True
    live.poll()
    live.let_pass(SECOND_NS // 2)
    live.poll()
    assert capfd.readouterr().err == ""
    live.let_pass(SECOND_NS // 2)
    live.poll()
    live.poll()
    assert capfd.readouterr().err == (
        "oob_tcg: machine l1: the server has not answered for a second, the guests go on\n"
    )
    live.silent = False
    live.come_back()
    assert capfd.readouterr().err == "oob_tcg: machine l1: the server answers again\n"
    live.take()
    live.be_late()
    live.come_back()
    assert capfd.readouterr().err == ""
    live.take()
    live.be_late()
    live.poll()
    assert capfd.readouterr().err == "", "a second from when it became late, each time"


def test_a_vcpu_looks_for_a_late_server_now_and_then(live: Half) -> None:
    live.be_late()
    live._server_turn()
    live.let_pass(2_000_000)
    live.read(SCR)
    assert live.up


def test_a_byte_that_meets_the_servers_return_is_sent_once(live: Half) -> None:
    """The vCPU that writes it is the first to see that the server is back, and tells it of what it missed."""
    live.be_late()
    live.prints(b"a")
    live._server_turn()
    live.let_pass(2_000_000)
    live.prints(b"b")
    assert live.up
    live.prints(b"c")
    assert printed(live.take(), live.base) == b"abc"


def test_the_thread_looks_for_what_a_late_server_says(live: Half) -> None:
    assert live.interest == 0
    woken = live.woken
    live.be_late()
    assert live.woken > woken
    assert live.interest == select.POLLIN
    live.come_back()
    assert live.interest == 0
    live.service()
    woken = live.woken
    live.be_late()
    assert live.woken > woken, "each time"


# -- a server that does not take what is sent ----------------------------------------------------------


def fill(live: Half) -> bytes:
    """Print until the server, which takes nothing, is late. Returns what was printed."""
    live.silent = True
    text = bytes(ord("a") + i % 26 for i in range(40000))
    live.prints(text)
    assert not live.up
    return text


def test_no_room_is_waited_for_and_nothing_is_lost_or_doubled(live: Half) -> None:
    start = live.clock_ns
    text = fill(live)
    assert live.clock_ns - start < PATIENCE_NS + 40000 * 60_000  # each byte looks at the clock
    assert live.interest == select.POLLIN | select.POLLOUT
    live.silent = False
    events = all_of(live)
    assert printed(events, live.base) == text
    assert live.up
    live.prints(b"!")
    assert printed(live.take(), live.base) == b"!"


def test_a_server_that_is_late_again_while_it_learns_what_it_missed(live: Half) -> None:
    """What it has of it counts; the rest is for the next time."""
    live.be_late()
    text = bytes(ord("a") + i * 7 % 26 for i in range(50000))
    live.prints(text)
    live._server_turn()
    events = live.received.copy()
    live.received.clear()
    live.silent = True
    start = live.clock_ns
    live.poll()
    assert not live.up
    assert live.clock_ns - start < PATIENCE_NS + 5_000_000, "all that is to be learnt may wait so long together"
    live.silent = False
    events += all_of(live)
    assert printed(events, live.base) == text
    assert live.up


def test_pieces_and_signals_change_nothing(half: Half) -> None:
    half.pieces(3)
    half.begin()
    half.prints(b"hello")
    half.answers[half.base + SCR] = 0x5A
    assert half.read(SCR) == 0x5A
    half.say(wire.encode_input(1, half.base, 0, b"ab") + wire.encode_attention(1, True))
    while not half.attended():
        half.poll()
    assert (half.read(RBR), half.read(RBR)) == (ord("a"), ord("b"))
    assert printed(half.take(), half.base) == b"hello"


def test_a_frame_that_fits_in_no_more_waits_for_room(live: Half) -> None:
    """An access behind as much as there is room for goes out behind it, in order."""
    live.prints(b"x" * 511)
    live.write(THR, ord("y"), base=live.other)
    live.read(SCR)
    kinds = [(type(e), len(e.data) if isinstance(e, Posted) else 0) for e in live.take()]
    assert kinds == [(Posted, 511), (Posted, 1), (Access, 0)]


# -- what ends a link ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        (wire.encode_answer(1, 1, 0), "the server answered what was not asked"),
        (wire.encode_ready(), "the server answered what was not asked"),
        (wire.encode_welcome(0x1F), "the server welcomed us twice"),
        (b"\xff" * 8, "the server broke the protocol: "),
    ],
)
def test_a_server_that_says_what_it_may_not(
    live: Half, capfd: pytest.CaptureFixture[str], frames: bytes, why: str
) -> None:
    live.write(IER, THRI)
    capfd.readouterr()
    live.say(frames + wire.encode_attention(1, True))
    assert not live.connected
    assert not live.attended(), "what comes behind that is not believed"
    assert capfd.readouterr().err.startswith(f"oob_tcg: machine l1: {why}")
    assert live.level(), "the idle UART drives the line"
    live.prints(b"goes on")
    assert live.read(LSR) == IDLE_LSR


def test_an_answer_to_another_access_is_none(live: Half) -> None:
    live.be_late()
    live.say(wire.encode_answer(1, 77, 0))
    assert not live.connected


def test_a_server_that_ends_is_spoken_of_once(live: Half, capfd: pytest.CaptureFixture[str]) -> None:
    live.hang_up()
    assert capfd.readouterr().err == "oob_tcg: machine l1: the server went away, the guests go on\n"
    live.prints(b"a")
    live.read(SCR)
    live.poll()
    assert capfd.readouterr().err == ""


def test_a_server_that_ends_while_it_is_waited_for(live: Half) -> None:
    assert live._server is not None
    live._server.close()
    live._server = None
    live.write(SCR, 7)
    start = live.clock_ns
    assert live.read(SCR) == 7
    assert not live.connected
    assert live.clock_ns - start < PATIENCE_NS


def test_what_it_said_last_counts(live: Half) -> None:
    live.send(wire.encode_attention(1, True))
    live.hang_up()
    assert live.attended()


def test_the_end_of_another_connection_is_none_of_this_one(live: Half) -> None:
    live.hung_up(live.fd + 1000)
    assert live.connected
    assert live.up


def test_frames_for_guests_that_are_gone_cost_nothing(live: Half) -> None:
    live.say(wire.encode_attention(99, True) + wire.encode_attention(2, True))
    assert live.up
    assert (live.attended(1), live.attended(2)) == (False, True)


# -- guests that end, or begin again --------------------------------------------------------------------


def test_a_guest_that_is_gone_is_told(live: Half) -> None:
    live.prints(b"bye")
    live.gone(1, GoneReason.DESTROYED)
    assert live.take() == [Posted(1, live.base, b"bye", 0), ContextGone(1, GoneReason.DESTROYED)]


def test_a_guest_that_was_never_announced_is_not_told(live: Half) -> None:
    live.gone(2, GoneReason.RESET)
    assert live.take() == []


def test_last_words_reach_a_late_server(live: Half) -> None:
    live.prints(b"first ")
    live.be_late()
    live.prints(b"last words")
    live.gone(1, GoneReason.RESET)
    live.come_back()
    events = live.sent()
    assert printed(events, live.base) == b"first last words"
    assert events[-1] == ContextGone(1, GoneReason.RESET)


def test_a_guest_that_is_reset_begins_with_its_registers(live: Half) -> None:
    live.write(SCR, 0x5A)
    live.publish(IDLE_LSR)
    live.irq(IrqMode.HIGH)
    live.restart()
    told = registers(live.take(), live.base)
    assert (told[SCR], told[MCR], told[IER]) == (0, 0, 0)
    assert not live.level()
    assert live.asks(LSR) == (True, 0)


def test_a_guest_that_is_reset_while_the_server_is_late(live: Half) -> None:
    live.write(SCR, 0x5A)
    live.be_late()
    live.sent()
    live.silent = True
    live.restart()
    live.silent = False
    assert live.sent() == []
    live.come_back()
    assert registers(live.take(), live.base)[SCR] == 0


# -- statistics, and the end ------------------------------------------------------------------------------


def stats(live: Half) -> list[wire.Stats]:
    live._server_turn()
    found = [event for event in live.received if isinstance(event, wire.Stats)]
    live.received.clear()
    return found


def test_statistics_go_once_a_second_and_only_with_news(live: Half) -> None:
    live.let_pass(SECOND_NS)
    live.service()
    [first] = stats(live)
    assert first.counters["writes"] == 1
    live.let_pass(SECOND_NS)
    live.service()
    assert stats(live) == []
    live.read(SCR)
    live.service()
    live.let_pass(SECOND_NS // 2)
    live.read(SCR)
    live.service()
    assert len(stats(live)) <= 1
    live.let_pass(SECOND_NS)
    live.service()
    [last] = stats(live)
    assert last.counters["reads"] == 2
    live.be_late()
    live.let_pass(SECOND_NS)
    live.silent = True
    live.service()
    live.silent = False
    assert stats(live) == []


def test_the_end_sends_what_waits(live: Half) -> None:
    live.prints(b"bye")
    live.end()
    live._server_turn()
    assert printed(live.received, live.base) == b"bye"
    assert stats(live)


def test_the_end_waits_for_a_late_server_and_not_for_ever(live: Half) -> None:
    live.be_late()
    live.prints(b"bye")
    live.end()
    live._server_turn()
    assert printed(live.received, live.base) == b"bye"
    live.take()
    live.be_late()
    live.silent = True
    start = live.clock_ns
    live.end()
    assert SECOND_NS <= live.clock_ns - start < SECOND_NS + SECOND_NS // 10


def test_the_end_without_a_server(half: Half) -> None:
    half.end()
    half.poll()
    half.prints(b"a")
    assert half.read(LSR) == IDLE_LSR
    half.connect()
    half.sent()
    half.ready()
    assert printed(half.take(), half.base) == b"a"
    assert not half.read(LSR) & DATA_READY
