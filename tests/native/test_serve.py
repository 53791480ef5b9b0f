"""What a guest reads and is interrupted for, step by step: `native/core/serve.c`, `uart_ahead.c`, `lines.c`."""

from __future__ import annotations

import pytest

from oobconsole.interceptors import wire
from oobconsole.interceptors.wire import Access, IrqMode, Posted, ReadServed
from tests.native.half import (
    COM1,
    COM2,
    CONNECTED,
    DATA_READY,
    FCR,
    IDLE_LSR,
    IER,
    IIR,
    LCR,
    LSR,
    MCR,
    MSR,
    NOTHING_PENDING,
    RBR,
    SCR,
    THR,
    THRE_PENDING,
    THRI,
    Half,
)

RDI, RLSI, MSI = 0x01, 0x04, 0x08
BREAK = IDLE_LSR | DATA_READY | 0x10
RECEIVED, TIMEOUT, LINE_STATUS = 0x04, 0x0C, 0x06


@pytest.fixture
def live(half: Half) -> Half:
    """Connected, with the first guest known: FIFOs on, one character makes an interrupt."""
    half.begin()
    half.write(MCR, 0x0B)
    half.write(FCR, 0x01)
    half.write(IER, RDI)
    half.publish()
    return half


def served(live: Half) -> list[ReadServed]:
    """What the server was told that the guest has read."""
    return [event for event in live.take() if isinstance(event, ReadServed)]


# -- what is known without the server ----------------------------------------------------------------


def test_registers_that_only_the_guest_changes_are_read_without_asking(half: Half) -> None:
    """Also before the server has said anything."""
    half.begin()
    for register, value in (
        (LCR, 0x83),
        (THR, 0x0C),
        (IER, 0x01),
        (LCR, 0x03),
        (IER, 0x05),
        (MCR, 0x0B),
        (SCR, 0x5A),
    ):
        half.write(register, value)
    assert [half.asks(r) for r in (IER, LCR, MCR, SCR)] == [
        (False, 0x05),
        (False, 0x03),
        (False, 0x0B),
        (False, 0x5A),
    ]
    half.write(LCR, 0x83)
    assert [half.asks(r) for r in (THR, IER)] == [(False, 0x0C), (False, 0x01)]
    assert half.asked == 0


def test_of_the_receiver_the_server_is_asked_once(half: Half) -> None:
    half.begin()
    half.write(IER, RDI)
    half.answers = {COM1 + LSR: IDLE_LSR, COM1 + IIR: NOTHING_PENDING}
    assert (half.asks(LSR), half.asks(IIR)) == ((True, IDLE_LSR), (True, NOTHING_PENDING))
    half.publish()
    assert (half.asks(LSR), half.asks(IIR), half.asks(MSR)) == (
        (False, IDLE_LSR),
        (False, NOTHING_PENDING),
        (False, CONNECTED),
    )
    assert half.stat("published") == 3


def test_rbr_is_never_asked_for(half: Half) -> None:
    """An answer that came too late would be a character that is lost."""
    half.begin()
    assert half.asks(RBR) == (False, 0)


def test_what_is_published_is_of_one_port(live: Half) -> None:
    live.answers[COM2 + LSR] = 0x55
    assert live.read(LSR, base=COM2) == 0x55
    live.publish(b"x", port=COM1 + 1)  # no port of ours begins there
    assert live.asks(LSR) == (False, IDLE_LSR)


def test_no_write_waits(live: Half) -> None:
    for register, value in ((IER, 0x07), (FCR, 0x07), (LCR, 0x03), (MCR, 0x0B), (SCR, 1), (THR, 65), (IER, 0x05)):
        live.write(register, value)
    assert live.asked == 0
    told = [(e.port - COM1, e.data) for e in live.take() if isinstance(e, Posted)]
    assert told == [(1, b"\x07"), (2, b"\x07"), (3, b"\x03"), (4, b"\x0b"), (7, b"\x01"), (0, b"A"), (1, b"\x05")]


def test_a_write_that_the_server_wants_to_answer_waits(half: Half) -> None:
    half.posted = 1 << THR
    half.begin()
    half.write(SCR, 1)
    assert half.take()[-1] == Access(1, 1, COM1 + SCR, 1, True, 1, 0)
    half.write(THR, 65)
    assert half.take() == [Posted(1, COM1, b"A", 0)]


def test_a_byte_for_the_guests_own_receiver_waits(live: Half) -> None:
    """In loopback it is input: the server's publication tells of it."""
    live.write(MCR, 0x1B)
    live.take()
    live.write(THR, 65)
    assert live.take() == [Access(1, 1, COM1 + THR, 1, True, 65, 0)]


# -- printing ----------------------------------------------------------------------------------------


def test_printed_bytes_join_one_frame_in_order(live: Half) -> None:
    live.prints(b"hello")
    live.write(THR, ord("2"), base=COM2)
    live.write(THR, ord("x"), context=2)
    live.prints(b" again")
    live.service()
    posted = [(e.context, e.port, e.data) for e in live.take() if isinstance(e, Posted)]
    assert posted == [(1, COM1, b"hello"), (1, COM2, b"2"), (2, COM1, b"x"), (1, COM1, b" again")]


def test_posted_bytes_go_out_in_time_or_in_company(live: Half) -> None:
    """The thread is woken for the first; so many of them go at once."""
    woken = live.woken
    live.service()
    live.prints(b"a")
    assert live.woken == woken + 1
    live.prints(b"b" * 510)
    assert live.sent() == []
    live.prints(b"c")
    assert [len(e.data) for e in live.sent() if isinstance(e, Posted)] == [512]
    assert live.woken == woken + 1, "the thread is woken once"


def test_thre_is_served_without_asking(live: Half) -> None:
    live.write(IER, THRI)
    live.prints(b"a")
    assert live.level()
    assert live.asks(IIR) == (False, 0xC0 | THRE_PENDING)
    assert not live.level()
    assert live.asks(IIR) == (False, 0xC0 | NOTHING_PENDING)
    assert live.asks(LSR) == (False, IDLE_LSR)
    live.prints(b"b")
    assert live.level()
    assert live.asks(IIR) == (False, 0xC0 | THRE_PENDING)


def test_the_server_is_told_of_the_last_thre_only(live: Half) -> None:
    """A guest that fills FIFO behind FIFO is one frame."""
    live.write(IER, THRI)
    live.take()
    for _ in range(3):
        live.prints(b"abcd")
        live.read(IIR)
    assert live.take() == [Posted(1, COM1, b"abcd" * 3, 0), ReadServed(1, COM1 + IIR, THRE_PENDING, 0)]


def test_a_guest_that_has_nothing_more_to_do_has_printed(live: Half) -> None:
    """The end of its interrupt handler: what waits for company goes out at once."""
    live.write(IER, THRI)
    live.prints(b"a")
    live.read(IIR)
    live.write(IER, 0)
    live.take()
    live.prints(b"b")
    assert live.sent() == []
    live.read(IIR)
    assert [e.data for e in live.sent() if isinstance(e, Posted)] == [b"b"]


def test_thre_that_is_told_comes_before_what_the_guest_does_next(live: Half) -> None:
    live.write(IER, THRI)
    live.prints(b"a")
    live.read(IIR)
    live.write(IER, 0)
    told = live.take()
    assert told[-2:] == [ReadServed(1, COM1 + IIR, THRE_PENDING, 0), Posted(1, COM1 + IER, b"\0", 0)]


@pytest.mark.parametrize(("before", "after", "level"), [(0, THRI, True), (THRI, 0, False), (RDI, RDI | THRI, True)])
def test_ier_changes_the_line_at_once(live: Half, before: int, after: int, level: bool) -> None:
    live.write(IER, before)
    live.write(IER, after)
    assert live.level() is level


def test_out2_holds_the_line_back(live: Half) -> None:
    live.write(MCR, 0x03)
    live.write(IER, THRI)
    live.prints(b"a")
    assert not live.level()
    live.write(MCR, 0x0B)
    assert live.level()


# -- input -------------------------------------------------------------------------------------------


def test_input_is_read_as_its_driver_does_without_asking(live: Half) -> None:
    """Linux's interrupt handler: IIR, then LSR and RBR by turns, then MSR, then IIR."""
    live.publish(b"ab", 5)
    assert live.level()
    read = [live.read(register) for register in (IIR, LSR, RBR, LSR, RBR, LSR, MSR, IIR)]
    ready = IDLE_LSR | DATA_READY
    assert read == [0xC4, ready, ord("a"), ready, ord("b"), IDLE_LSR, CONNECTED, 0xC1]
    assert not live.level()
    assert live.asked == 0
    assert served(live) == [ReadServed(1, COM1, ord("b"), 7)]


def test_readings_of_a_receiver_are_one_frame_as_long_as_nothing_else_is_sent(live: Half) -> None:
    live.publish(b"abcd", 5)
    live.read(RBR)
    live.read(RBR)
    live.prints(b"x")
    live.read(RBR)
    told = live.take()
    assert told == [ReadServed(1, COM1, ord("b"), 7), Posted(1, COM1, b"x", 0), ReadServed(1, COM1, ord("c"), 8)]


def test_an_emptied_receiver_is_told_at_once(live: Half) -> None:
    """The server has more for it."""
    live.publish(b"ab", 5)
    live.read(RBR)
    assert live.sent() == []
    live.read(RBR)
    assert live.sent() == [ReadServed(1, COM1, ord("b"), 7)]


def test_what_was_read_is_not_read_again(live: Half) -> None:
    live.publish(b"abc", 5)
    live.read(RBR)
    live.publish(b"abcd", 5)
    assert bytes(live.read(RBR) for _ in range(3)) == b"bcd"
    live.publish(b"bcd", 6)
    assert live.read(RBR) == 0
    live.publish(b"x", 0x70000000)  # another server's, which counts from somewhere
    assert live.read(RBR) == ord("x")


def test_numbers_wrap(half: Half) -> None:
    half.begin()
    half.write(MCR, 0x0B)
    half.publish(b"ab", 0xFFFFFFFF)
    assert (half.read(RBR), half.read(RBR)) == (ord("a"), ord("b"))
    assert served(half) == [ReadServed(1, COM1, ord("b"), 1)]


def test_what_another_server_has_given_comes_before_what_the_next_one_gives(live: Half) -> None:
    """And the guest is told of it at once: nobody else will."""
    live.write(FCR, 0xC1)
    live.publish(b"ab", 5, iir=0xC1)
    assert not live.level()
    live.read(RBR)
    live.publish(b"cd", 0x70000000)
    assert live.level()
    assert live.read(IIR) == 0xC0 | TIMEOUT
    assert live.read(RBR) == ord("b")
    assert served(live), "the server publishes again behind each of these"
    live.publish(b"cd", 0x70000000)
    assert [live.read(RBR), live.read(RBR), live.read(RBR)] == [ord("c"), ord("d"), 0]


def test_what_the_guest_has_emptied_is_not_read(live: Half) -> None:
    """Neither what it has, nor what the server has published before it knew of that."""
    live.publish(b"ab", 5)
    before = live.served()
    live.write(FCR, 0x03)
    assert (live.read(RBR), live.asks(LSR)) == (0, (False, IDLE_LSR))
    live.publish(b"abc", 5, writes=before)
    assert (live.read(RBR), live.asks(LSR), live.level()) == (0, (False, IDLE_LSR), False)
    live.publish(b"d", 8)
    assert (live.read(RBR), live.level()) == (ord("d"), False)


def test_what_comes_after_the_guest_has_emptied_its_receiver_is_read_though_the_server_was_late(live: Half) -> None:
    live.publish(b"ab", 5)
    live.be_late()
    live.write(FCR, 0x03)
    live.come_back()
    told = [event for event in served(live) if event.port == COM1]
    assert told == [ReadServed(1, COM1, 0, 7)], "both were emptied, and nothing else"
    live.publish(b"c", 7)
    assert live.read(RBR) == ord("c")


@pytest.mark.parametrize(("fcr", "iir", "there"), [(0x01, 0xC4, True), (0x41, 0xC1, False), (0x81, 0xC1, False)])
def test_the_trigger_level_counts_at_once(live: Half, fcr: int, iir: int, there: bool) -> None:
    live.publish(b"ab", 5)
    live.write(FCR, fcr)
    assert (live.asks(IIR), live.level()) == ((False, iir), there)


def test_a_timeout_ends_with_the_next_reading(live: Half) -> None:
    live.write(FCR, 0xC1)
    live.publish(b"ab", 5, iir=0xC0 | TIMEOUT)
    assert live.asks(IIR) == (False, 0xC0 | TIMEOUT)
    live.read(RBR)
    assert live.asks(IIR) == (False, 0xC0 | NOTHING_PENDING)


def test_what_the_receiver_asks_for_is_asked_where_no_publication_shows_it(live: Half) -> None:
    """While its interrupt was off."""
    live.write(IER, 0)
    live.publish(b"ab", 5, ier=0, iir=0xC1)
    live.irq(IrqMode.LOW)
    live.write(IER, RDI)
    live.answers[COM1 + IIR] = 0xC0 | TIMEOUT
    assert live.asks(IIR) == (True, 0xC0 | TIMEOUT)
    live.irq(IrqMode.HIGH)
    assert live.level(), "the line is as the server says"
    live.publish(b"ab", 5, iir=0xC0 | TIMEOUT)
    assert live.asks(IIR) == (False, 0xC0 | TIMEOUT)


def test_the_server_learns_of_a_thre_before_it_is_asked(live: Half) -> None:
    live.write(IER, 0)
    live.publish(b"ab", 5, ier=0, iir=0xC1)
    live.write(IER, THRI)
    assert live.asks(IIR) == (False, 0xC0 | THRE_PENDING)
    live.write(IER, RDI)
    live.answers[COM1 + IIR] = 0xC0 | THRE_PENDING
    live.write(IER, RDI | THRI)
    assert live.asks(IIR) == (True, 0xC0 | THRE_PENDING)
    live.publish(b"ab", 5, ier=RDI | THRI, iir=0xC1)
    assert live.asks(IIR) == (False, 0xC0 | NOTHING_PENDING), "what the guest was told once is not told again"


@pytest.mark.parametrize("ier", [0, RLSI])
def test_errors_are_read_once_and_told(live: Half, ier: int) -> None:
    live.write(IER, ier)
    live.take()
    images = [live._image(b"\0x", lsr=BREAK), live._image(b"x"), live._image(b"")]
    live.say(wire.encode_publish(1, live.served(), COM1, 5, images))
    assert live.level() is bool(ier)
    assert live.asks(IIR) == (False, 0xC0 | (LINE_STATUS if ier else NOTHING_PENDING))
    assert [live.asks(LSR), live.asks(LSR)] == [(False, BREAK), (False, IDLE_LSR | DATA_READY)]
    assert not live.level()
    assert served(live) == [ReadServed(1, COM1 + LSR, BREAK, 5)]


def test_modem_lines_that_changed_are_read_once_and_told(live: Half) -> None:
    live.write(IER, MSI)
    live.publish(msr=CONNECTED | 0x01)
    assert live.level()
    assert [live.read(register) for register in (IIR, MSR, MSR)] == [0xC0, CONNECTED | 0x01, CONNECTED]
    assert not live.level()
    assert served(live) == [ReadServed(1, COM1 + MSR, CONNECTED | 0x01, 0)]


def test_loopback_makes_inputs_of_outputs(live: Half) -> None:
    """As Linux tests for a UART."""
    live.read(MSR)
    live.write(MCR, 0x1A)
    assert live.asks(MSR)[1] & 0xF0 == 0x90
    live.write(MCR, 0x0B)
    assert live.asks(MSR)[1] & 0xF0 == CONNECTED
    assert live.asked == 0


def test_a_publication_of_some_registers_is_none(live: Half) -> None:
    live.publish(b"x", valid=0x7F)
    assert live.asks(LSR) == (False, IDLE_LSR)
    live.publish(b"x", valid=0xFC)  # DLAB
    assert live.asks(LSR) == (False, IDLE_LSR | DATA_READY)


def test_a_guest_that_only_polls_hears_of_its_input(live: Half) -> None:
    """Once in a millisecond somebody looks."""
    live.let_pass(2_000_000)
    live.read(LSR)
    images = [live._image(b"x"), live._image(b"")]
    live.send(wire.encode_publish(1, live.served(), COM1, 0, images))
    assert live.read(LSR) == IDLE_LSR
    live.let_pass(2_000_000)
    assert live.read(LSR) == IDLE_LSR | DATA_READY
    assert live.read(RBR) == ord("x")


# -- interrupt lines ---------------------------------------------------------------------------------


def test_lines_are_driven_as_the_server_says_where_it_alone_knows(half: Half) -> None:
    half.begin()
    for base in (COM1, COM2):
        half.write(MCR, 0x0B, base=base)
        half.write(IER, RDI, base=base)
    half.irq(IrqMode.HIGH)
    assert (half.level(COM1), half.level(COM2)) == (True, False)
    half.irq(IrqMode.HIGH, line=3)
    half.irq(IrqMode.LOW)
    assert (half.level(COM1), half.level(COM2)) == (False, True)
    half.irq(IrqMode.PULSE)
    assert half.level()


def test_what_the_server_says_of_a_line_is_no_news_where_more_is_known(live: Half) -> None:
    live.write(IER, THRI)
    live.prints(b"a")
    live.read(IIR)
    live.irq(IrqMode.HIGH)
    assert not live.level()


# -- wide, foreign and silent accesses ---------------------------------------------------------------


def test_wide_accesses_are_bytes_on_the_bus(live: Half) -> None:
    live.write(SCR, 0x5A)
    assert live.read(LSR, size=2) == IDLE_LSR | CONNECTED << 8
    assert live.read(SCR, size=2) == 0x5A | 0xFF00
    live.take()
    live.write(LCR, 0x0B83, size=2)
    assert live.take() == [Posted(1, COM1 + LCR, b"\x83", 0), Posted(1, COM1 + MCR, b"\x0b", 0)]
    live.write(THR, 0x4142, size=2)
    assert live.take() == [Posted(1, COM1, b"B", 0), Posted(1, COM1 + IER, b"A", 0)]
    assert live.read(THR) == 0x42  # DLAB: the divisor
