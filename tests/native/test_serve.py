"""What a guest reads and is interrupted for, step by step: `native/core/serve.c`."""

from __future__ import annotations

import pytest

from oobconsole.interceptors import wire
from oobconsole.interceptors.wire import Access, IrqMode, Posted, Taken, ThreServed
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
    STATUS,
    THR,
    THRE_PENDING,
    THRI,
    Half,
)

#: A character that was received with a parity error, which is shown when it is next.
PARITY_ERROR = IDLE_LSR | DATA_READY | 0x04


@pytest.fixture
def live(half: Half) -> Half:
    """Connected, with the first guest known."""
    half.begin()
    half.write(MCR, 0x0B)
    half.take()
    return half


def test_what_is_published_is_read_without_asking(live: Half) -> None:
    live.publish(IDLE_LSR, iir=0xC1, valid=STATUS | 1 << IIR)
    assert [live.asks(register) for register in (LSR, MSR, IIR)] == [
        (False, IDLE_LSR),
        (False, CONNECTED),
        (False, 0xC1),
    ]
    live.answers[COM1 + SCR] = 0x77
    assert live.asks(SCR) == (True, 0x77)
    assert live.stat("published") == 3


def test_what_is_published_is_of_one_port(live: Half) -> None:
    live.publish(IDLE_LSR)
    live.answers[COM2 + LSR] = 0x55
    assert live.read(LSR, base=COM2) == 0x55
    live.publish(IDLE_LSR, port=COM1 + 1)  # no port of ours begins there
    live.write(SCR, 1)
    assert live.asks(LSR) == (True, 0)


def test_an_access_makes_what_is_published_stale(live: Half) -> None:
    live.publish(IDLE_LSR)
    live.write(SCR, 1)
    assert live.asks(LSR) == (True, 0)
    live.publish(IDLE_LSR, writes=live.served() - 1)
    assert live.asks(LSR) == (True, 0)


def test_a_byte_to_thr_leaves_what_survives_it(live: Half) -> None:
    live.publish(IDLE_LSR, iir=0xC1, valid=STATUS | 1 << IIR, after_thr=STATUS)
    live.prints(b"abc")
    assert live.asks(LSR) == (False, IDLE_LSR)
    assert live.asks(IIR) == (True, 0)


def test_what_is_stale_does_not_come_back_by_printing(live: Half) -> None:
    live.publish(IDLE_LSR)
    live.write(SCR, 1)
    live.prints(b"a")
    assert live.asks(LSR) == (True, 0)


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


def test_input_is_read_without_asking_and_told(live: Half) -> None:
    live.give(5, b"ab")
    assert (live.read(RBR), live.read(RBR), live.read(RBR)) == (ord("a"), ord("b"), 0)
    assert live.asked == 1  # of the setting up
    assert [e for e in live.take() if isinstance(e, Taken)] == [Taken(1, COM1, 6), Taken(1, COM1, 7)]


def test_what_was_read_is_not_read_again(live: Half) -> None:
    live.give(5, b"abc")
    live.read(RBR)
    live.give(5, b"abcd")
    assert bytes(live.read(RBR) for _ in range(3)) == b"bcd"
    live.give(6, b"bcd")
    assert live.read(RBR) == 0
    live.give(0xFFFFFFF0, b"x")  # another server's, which counts from somewhere
    assert live.read(RBR) == ord("x")


def test_lsr_follows_what_is_read(live: Half) -> None:
    live.give(0, b"ab")
    live.publish(IDLE_LSR | DATA_READY)
    assert live.asks(LSR) == (False, IDLE_LSR | DATA_READY)
    assert live.read(RBR) == ord("a")
    assert live.asks(LSR) == (False, IDLE_LSR | DATA_READY)
    assert live.read(RBR) == ord("b")
    assert live.asks(LSR) == (False, IDLE_LSR)
    assert live.asks(MSR) == (False, CONNECTED)


def test_what_lsr_and_msr_were_asked_for_stays_unknown(live: Half) -> None:
    """A published IIR is none any more when a character was taken; nor is LSR, if it was not known before."""
    live.give(0, b"ab")
    live.publish(IDLE_LSR | DATA_READY, iir=0xC4, valid=STATUS | 1 << IIR)
    live.read(RBR)
    assert live.asks(IIR) == (True, 0)
    live.publish(0, valid=1 << MSR)
    live.read(RBR)
    assert live.asks(LSR) == (True, 0)


def test_characters_behind_a_publication_may_have_errors(live: Half) -> None:
    """The publication is of the first alone: of those that have come since, the server is asked."""
    live.give(0, b"a")
    live.publish(IDLE_LSR | DATA_READY)
    live.give(0, b"ab")
    live.answers[COM1 + LSR] = PARITY_ERROR
    assert live.read(RBR) == ord("a")
    assert live.asks(LSR) == (True, PARITY_ERROR)


def test_errors_are_not_followed(live: Half) -> None:
    """What has an error is asked for, behind each character."""
    live.give(0, b"ab")
    live.publish(PARITY_ERROR)
    live.read(RBR)
    assert live.asks(LSR) == (True, 0)


@pytest.mark.parametrize("msr", [CONNECTED, 0x10])
def test_news_of_characters_is_taken_in_behind_what_was_read(live: Half, msr: int) -> None:
    """A publication from before a character was read: what it says of others counts, and nothing else; but a changed
    modem line makes it news."""
    live.give(0, b"a")
    live.publish(IDLE_LSR | DATA_READY, iir=0xC4, valid=STATUS | 1 << IIR)
    before = live.served()
    live.read(RBR)
    live.give(0, b"abc")
    live.publish(IDLE_LSR | DATA_READY, writes=before, msr=msr)
    if msr != CONNECTED:
        assert live.asks(LSR) == (True, 0)
        return
    assert live.asks(LSR) == (False, IDLE_LSR | DATA_READY)
    live.read(RBR)
    assert live.asks(LSR) == (False, IDLE_LSR | DATA_READY)
    live.read(RBR)
    assert live.asks(LSR) == (False, IDLE_LSR)


def test_an_error_in_news_from_before_counts(live: Half) -> None:
    live.give(0, b"a")
    live.publish(IDLE_LSR | DATA_READY)
    before = live.served()
    live.read(RBR)
    live.publish(PARITY_ERROR, writes=before)
    assert live.asks(LSR) == (True, 0)


def test_no_news_leaves_what_iir_was(live: Half) -> None:
    """Nothing has come: what is published from before tells nothing."""
    live.give(0, b"a")
    live.publish(IDLE_LSR | DATA_READY)
    before = live.served()
    live.read(RBR)
    live.publish(IDLE_LSR | DATA_READY, writes=before, iir=0xC4, valid=STATUS | 1 << IIR)
    assert live.asks(LSR) == (False, IDLE_LSR)
    assert live.asks(IIR) == (True, 0)


# -- THRE --------------------------------------------------------------------------------------------


def ask_for_thre(live: Half) -> None:
    live.write(IER, THRI)
    live.publish(IDLE_LSR)


def test_thre_is_served_without_asking(live: Half) -> None:
    ask_for_thre(live)
    live.prints(b"a")
    assert live.level()
    asked = live.asked
    live.take()
    assert live.read(IIR) == THRE_PENDING
    assert not live.level()
    assert live.read(IIR) == NOTHING_PENDING
    assert live.asked == asked
    assert live.take() == [ThreServed(1, COM1 + IIR)]
    assert live.asks(LSR) == (False, IDLE_LSR)
    live.prints(b"b")
    assert live.level()
    assert live.asks(IIR) == (False, THRE_PENDING)


def test_thre_of_fifos(live: Half) -> None:
    live.write(FCR, 0x81)
    ask_for_thre(live)
    live.prints(b"a")
    assert (live.read(IIR), live.read(IIR)) == (0xC2, 0xC1)


@pytest.mark.parametrize("lsr", [IDLE_LSR | DATA_READY, IDLE_LSR | 0x02, 0])
def test_thre_is_asked_for_when_something_else_may_be_pending(live: Half, lsr: int) -> None:
    live.write(IER, THRI | 5)
    live.publish(lsr)
    live.prints(b"a")
    live.answers[COM1 + IIR] = 0x06
    assert live.asks(IIR) == (True, 0x06)


@pytest.mark.parametrize("valid", [1 << LSR, 1 << MSR])
def test_thre_is_asked_for_when_a_status_is_unknown(live: Half, valid: int) -> None:
    live.write(IER, THRI)
    live.publish(IDLE_LSR, valid=valid, after_thr=valid)
    live.prints(b"a")
    assert live.asks(IIR) == (True, 0)


def test_thre_is_asked_for_in_loopback(live: Half) -> None:
    live.write(MCR, 0x1B)
    ask_for_thre(live)
    live.write(THR, ord("a"))
    live.publish(IDLE_LSR)
    assert live.asks(IIR) == (True, 0)


def test_an_interrupt_from_before_thre_was_served_is_none(live: Half) -> None:
    ask_for_thre(live)
    live.prints(b"a")
    live.take()
    before = live.served()
    live.read(IIR)
    live.irq(IrqMode.HIGH, served=before)
    assert not live.level()
    live.irq(IrqMode.HIGH)
    assert live.level()


def test_what_the_server_said_of_thre_is_the_guests_no_more(live: Half) -> None:
    """The guest reads from IIR, at the server, that THR is empty: it is served when the server goes."""
    live.write(IER, THRI)
    live.answers[COM1 + IIR] = THRE_PENDING
    live.prints(b"a")
    assert live.read(IIR) == THRE_PENDING
    live.publish(IDLE_LSR)
    live.answers[COM1 + IIR] = NOTHING_PENDING
    assert live.asks(IIR) == (True, NOTHING_PENDING)


def test_a_write_leaves_thre_to_the_server(live: Half) -> None:
    ask_for_thre(live)
    live.prints(b"a")
    live.write(SCR, 1)
    live.publish(IDLE_LSR)
    assert live.asks(IIR) == (True, 0)


# -- interrupt lines ---------------------------------------------------------------------------------


def test_lines_are_driven_as_the_server_says(live: Half) -> None:
    live.irq(IrqMode.HIGH)
    assert (live.level(COM1), live.level(COM2)) == (True, False)
    live.irq(IrqMode.HIGH, line=3)
    live.irq(IrqMode.LOW)
    assert (live.level(COM1), live.level(COM2)) == (False, True)
    live.irq(IrqMode.PULSE)
    assert live.level()


def test_a_byte_to_thr_raises_no_line_that_out2_holds_back(live: Half) -> None:
    live.write(MCR, 0x03)
    ask_for_thre(live)
    live.prints(b"a")
    assert not live.level()


# -- wide, foreign and silent accesses ---------------------------------------------------------------


def test_wide_accesses_are_bytes_on_the_bus(live: Half) -> None:
    live.publish(IDLE_LSR)
    live.answers[COM1 + SCR] = 0x5A
    assert live.read(LSR, size=2) == IDLE_LSR | CONNECTED << 8
    assert live.read(SCR, size=2) == 0x5A | 0xFF00
    live.take()
    live.write(LCR, 0x0B83, size=2)
    assert live.take() == [Access(1, 3, COM1 + LCR, 2, True, 0x0B83, 0)]
    assert live.read(THR) == 0  # DLAB: the divisor, which the server knows
    live.write(THR, 0x4142, size=2)
    assert isinstance(live.take()[-1], Access)


def test_fcr_has_the_server_say_again_what_it_holds(live: Half) -> None:
    """A guest that clears its receiver may have cleared away what was handed over, and not what has come since."""
    live.write(FCR, 0x01)
    assert not [e for e in live.take() if isinstance(e, Taken)], "nothing was ever given"
    live.give(3, b"ab")
    live.write(FCR, 0x01)
    assert [e for e in live.take() if isinstance(e, Taken)] == [Taken(1, COM1, 3)]
    live.write(FCR, 0x03)
    assert live.read(RBR) == 0
    live.give(5, b"c")
    assert live.read(RBR) == ord("c")


def test_a_guest_that_only_polls_hears_of_its_input(live: Half) -> None:
    """Once in a millisecond somebody looks."""
    live.publish(IDLE_LSR)
    live.let_pass(2_000_000)
    live.read(LSR)
    live.send(wire.encode_input(1, COM1, 0, b"x"))
    assert live.read(RBR) == 0
    live.let_pass(2_000_000)
    assert live.read(RBR) == ord("x")
