"""A server that is late, or takes nothing, step by step (`native/core`'s link.c, send.c, stream.c and resync.c)."""

from __future__ import annotations

import select

import pytest

from oobconsole.interceptors import wire
from oobconsole.interceptors.wire import (
    Access,
    IrqMode,
    Posted,
    ReadServed,
)
from tests.native.frames import SECOND_NS, all_of, looped, printed, registers
from tests.native.half import (
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
    THR,
    THRE_PENDING,
    THRI,
    Half,
)

# -- late --------------------------------------------------------------------------------------------


def test_an_access_waits_for_so_long_and_no_longer(live: Half) -> None:
    start = live.clock_ns
    live.be_late()
    assert PATIENCE_NS <= live.clock_ns - start < PATIENCE_NS + 5_000_000
    assert live.connected, "late is not away"
    start = live.clock_ns
    live.read(LSR)
    assert live.clock_ns - start < 1_000_000, "nobody waits for it again"
    assert live.stat("away") == 1


def test_an_answer_within_that_time_is_waited_for(live: Half) -> None:
    """It sleeps meanwhile, and counts how long it took: 2 us each quarter of an octave."""
    live.answers[live.base + SCR] = 0x5A
    before = live.clock_ns
    assert live.ask(SCR) == 0x5A
    took = live.clock_ns - before
    assert live.up
    assert sum(live.latency(bucket) for bucket in range(64)) == 1
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


def test_the_interrupt_that_a_guest_waits_for_is_due_when_the_server_is_late(live: Half) -> None:
    """The shadow knows that THR is empty, whatever is on its way to the server, and tells the guest once."""
    live.write(IER, THRI)
    live.publish()
    live.prints(b"a")
    live.be_late()
    assert live.level()
    assert live.read(IIR) == THRE_PENDING
    assert not live.level()
    assert live.read(IIR) == NOTHING_PENDING


def test_the_interrupt_that_a_guest_waits_for_is_due_when_the_server_is_away(live: Half) -> None:
    live.write(IER, THRI)
    live.publish()
    live.prints(b"a")
    live.hang_up()
    assert live.level()
    assert live.read(IIR) == THRE_PENDING


def test_no_interrupt_is_due_that_was_not_asked_for(live: Half) -> None:
    live.irq(IrqMode.HIGH)  # of its input
    live.be_late()
    assert not live.level()
    assert live.read(IIR) == NOTHING_PENDING


def test_what_was_published_is_read_while_the_server_is_late(live: Half) -> None:
    """And what has no effect, or what has; the server learns of it when it is back."""
    live.publish(b"ab", 8)
    live.be_late()
    assert live.level() is False, "the guest has not asked for it"
    live.write(IER, 0x01)
    assert live.level()
    assert [live.read(register) for register in (IIR, LSR, RBR, LSR, RBR)] == [
        0x04,
        IDLE_LSR | DATA_READY,
        ord("a"),
        IDLE_LSR | DATA_READY,
        ord("b"),
    ]
    assert (live.read(RBR), live.read(LSR), live.read(IIR)) == (0, IDLE_LSR, NOTHING_PENDING)
    assert not live.level()
    live.come_back()
    told = [e for e in live.take() if isinstance(e, ReadServed) and e.port == live.base]
    assert told == [ReadServed(1, live.base, 0, 10)]


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
    assert live.ask(SCR) is None
    assert live.read(SCR) == 0x22
    live.silent = False
    live.come_back()
    assert live.up
    live.take()
    live.answers[live.base + SCR] = 0x33
    assert live.ask(SCR) == 0x33


BREAK_LSR = IDLE_LSR | 0x11  # data ready, and a break


def a_break(live: Half, **about: int) -> None:
    """A break has come, and a character behind it."""
    images = [live._image(b"\0x", lsr=BREAK_LSR), live._image(b"x"), live._image(b"")]
    live.say(wire.encode_publish(1, about.get("writes", live.served()), live.base, 8, images))


def test_a_break_is_seen_once(live: Half) -> None:
    live.take()
    a_break(live)
    assert [live.read(LSR), live.read(LSR)] == [BREAK_LSR, IDLE_LSR | DATA_READY], "reading LSR ends it"
    assert [e for e in live.take() if isinstance(e, ReadServed)] == [ReadServed(1, live.base + LSR, BREAK_LSR, 8)]
    a_break(live, writes=live.served() - 1)  # from before the server knew of that
    assert live.read(LSR) == IDLE_LSR | DATA_READY
    assert (live.read(RBR), live.read(LSR)) == (0, IDLE_LSR | DATA_READY)


def test_a_break_is_seen_once_while_the_server_is_late(live: Half) -> None:
    live.take()
    a_break(live)
    live.be_late()
    assert live.read(LSR) == BREAK_LSR
    a_break(live)
    assert live.read(LSR) == IDLE_LSR | DATA_READY


def test_a_break_is_not_taken_for_that_of_the_next_character(live: Half) -> None:
    live.take()
    a_break(live)
    assert live.read(RBR) == 0  # without a look at LSR, as no driver does
    assert live.read(LSR) == IDLE_LSR | DATA_READY


def test_lines_are_driven_as_the_server_said_meanwhile(live: Half) -> None:
    """Where the server alone knows the level: nothing was published of the receiver."""
    live.write(IER, 0x01)
    live.take()
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
    live.write(IER, 0x01)
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


def test_a_server_without_a_sign_of_life_is_given_up(live: Half, capfd: pytest.CaptureFixture[str]) -> None:
    """After 5 s, while something is due from it."""
    live.be_late()
    live.let_pass(4 * SECOND_NS)
    live.silent = True
    live.poll()
    assert live.connected
    live.say(wire.encode_attention(1, True))
    live.let_pass(4 * SECOND_NS)
    live.poll()
    assert live.connected, "it has said something"
    live.let_pass(SECOND_NS)
    live.poll()
    assert not live.connected
    assert capfd.readouterr().err.endswith("the server has given no sign of life for 5 s, the guests go on\n")


def test_a_server_of_which_nothing_is_due_may_be_silent(live: Half) -> None:
    live.let_pass(3600 * SECOND_NS)
    live.poll()
    live.service()
    assert live.up


def test_lateness_is_not_spoken_of_when_it_was_the_machine_that_did_not_run(
    live: Half, capfd: pytest.CaptureFixture[str]
) -> None:
    """The server has answered within a second; we see it after three."""
    live.be_late()
    live._server_turn()
    live.let_pass(3 * SECOND_NS)
    live.poll()
    assert live.up
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("register", "mode"), [(LCR, 0x83), (MCR, 0x1B)], ids=["divisor", "loop"])
def test_output_is_for_the_line_when_thr_has_become_something_else(live: Half, register: int, mode: int) -> None:
    """A guest that sets its speed, or tests itself, just when the server is back: what it has printed before is
    neither a divisor nor its own input, and its registers are as it set them."""
    live.write(LCR, 0x03)
    live.be_late()
    live.prints(b"printed before")
    live.write(register, mode)
    live.come_back()
    events = live.take()
    assert printed(events, live.base) == b"printed before"
    assert looped(events, live.base) == b""
    assert registers(events, live.base)[register] == mode


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
    for _ in range(20):  # READY is 8 bytes
        half.poll()
    assert half.up
    half.prints(b"hello")
    half.answers[half.base + SCR] = 0x5A
    assert half.ask(SCR) == 0x5A
    images = [half._image(b"ab"), half._image(b"b"), half._image(b"")]
    half.say(wire.encode_publish(1, half.served(), half.base, 0, images) + wire.encode_attention(1, True))
    while not half.attended():
        half.poll()
    assert (half.read(RBR), half.read(RBR)) == (ord("a"), ord("b"))
    assert printed(half.take(), half.base) == b"hello"


def test_a_frame_that_fits_in_no_more_waits_for_room(live: Half) -> None:
    """An access behind as much as there is room for goes out behind it, in order."""
    live.prints(b"x" * 511)
    live.write(THR, ord("y"), base=live.other)
    live.ask(SCR)
    kinds = [(type(e), len(e.data) if isinstance(e, Posted) else 0) for e in live.take()]
    assert kinds == [(Posted, 511), (Posted, 1), (Access, 0)]
