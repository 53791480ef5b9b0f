"""A server that comes, or comes again, step by step: what it is told of guests (link.c, resync.c)."""

from __future__ import annotations

import pytest

from oobconsole.interceptors.wire import (
    Access,
    Announced,
    ContextGone,
    Gap,
    GoneReason,
    Posted,
)
from tests.native.frames import APPEARED, KEPT, SECOND_NS, all_of, printed, registers
from tests.native.half import (
    IER,
    LCR,
    MCR,
    SCR,
    THR,
    THRI,
    Half,
)


def test_a_guest_is_announced_by_its_first_access(half: Half) -> None:
    half.begin()
    half.prints(b"a")
    half.ask(SCR)
    assert half.take() == [APPEARED, Posted(1, half.base, b"a", 0), Access(1, 1, half.base + SCR, 1, False, 0, 0)]


def test_guests_are_announced_anew_on_each_connection(live: Half) -> None:
    live.hang_up()
    live.connect()
    assert live.sent() == [APPEARED, Announced()]
    assert not live.up, "where the output goes on is not known before READY"
    assert live.connected
    live.ready((1, live.base, 0))
    assert live.up
    live.ask(SCR)
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
    """When the server is ready: it can say nothing of one that no server has known."""
    half.restart()
    half.connect()
    assert half.sent() == [Announced()]
    half.ready()
    assert half.take()[0] == APPEARED


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
