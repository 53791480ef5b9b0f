"""What ends a link; guests that end or begin again; statistics (link.c, send.c, stream.c), step by step."""

from __future__ import annotations

import select

import pytest

from oobconsole.interceptors import wire
from oobconsole.interceptors.wire import (
    Announced,
    ContextGone,
    GoneReason,
    IrqMode,
    Posted,
)
from tests.native.frames import APPEARED, SECOND_NS, printed, registers
from tests.native.half import (
    DATA_READY,
    IDLE_LSR,
    IER,
    LSR,
    MCR,
    PATIENCE_NS,
    SCR,
    THRI,
    Half,
)


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


def test_a_link_that_is_given_up_ends_at_both_ends(live: Half) -> None:
    """The server is to see it, and the connecting thread, which waits for the hang-up."""
    live.say(b"\xff" * 8)
    assert live.server_sees_the_end()
    ours = select.poll()
    ours.register(live.fd, 0)
    assert ours.poll(0) == [(live.fd, select.POLLHUP)]


def test_a_server_that_went_while_nobody_looked_is_noticed_by_what_is_sent(
    live: Half, capfd: pytest.CaptureFixture[str]
) -> None:
    """At once: no vCPU waits for it as for one that is late."""
    live.server_goes()
    start = live.clock_ns
    live.write(SCR, 0x5A)
    live.service()
    assert live.clock_ns - start < PATIENCE_NS // 2
    assert not live.connected
    assert capfd.readouterr().err == "oob_tcg: machine l1: the server went away, the guests go on: Broken pipe\n"
    assert live.read(SCR) == 0x5A


@pytest.mark.parametrize(("unread", "why"), [(b"", ""), (b"unread", ": Connection reset by peer")])
def test_a_server_that_went_is_noticed_by_what_is_taken_in(
    live: Half, capfd: pytest.CaptureFixture[str], unread: bytes, why: str
) -> None:
    live.prints(unread)
    live.service()
    live.server_goes()
    live.poll()
    assert not live.connected
    assert capfd.readouterr().err == f"oob_tcg: machine l1: the server went away, the guests go on{why}\n"


@pytest.mark.parametrize("size", [1, 8, 15])
def test_half_a_frame_is_of_its_own_connection(live: Half, size: int) -> None:
    """And so is the place behind the frames before it."""
    attention = wire.encode_attention(1, True)
    assert len(attention) == 16
    live.say(attention + attention[:size])
    live.hang_up()
    live.connect()
    live.ready()
    assert live.up
    live.say(wire.encode_attention(1, False))
    assert live.connected
    assert not live.attended()


def test_nonsense_behind_a_frame_is_of_its_own_connection(live: Half) -> None:
    live.say(wire.encode_attention(1, True) + b"\xff" * 8)
    assert not live.connected
    live.hang_up()
    live.connect()
    live.ready()
    live.say(wire.encode_attention(1, False))
    assert live.up
    assert not live.attended()


def test_what_waits_to_be_sent_is_of_its_own_connection(live: Half) -> None:
    live.prints(b"waits")
    live.hang_up()
    live.connect()
    assert live.sent() == [APPEARED, Announced()]


def test_an_answer_to_another_access_is_none(live: Half) -> None:
    live.be_late()
    live.say(wire.encode_answer(1, 77, 0))
    assert not live.connected


def test_a_server_that_ends_is_spoken_of_once(live: Half, capfd: pytest.CaptureFixture[str]) -> None:
    live.hang_up()
    assert capfd.readouterr().err == "oob_tcg: machine l1: the server went away, the guests go on\n"
    live.prints(b"a")
    live.read(LSR)
    live.poll()
    assert capfd.readouterr().err == ""


def test_a_server_that_ends_while_it_is_waited_for(live: Half) -> None:
    assert live._server is not None
    live._server.close()
    live._server = None
    live.write(SCR, 7)
    start = live.clock_ns
    assert live.ask(SCR) is None
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
    events = live.take()
    assert printed(events, live.base) == b"first last words"
    assert events[-1] == ContextGone(1, GoneReason.RESET)


def test_a_guest_that_is_reset_begins_with_its_registers(live: Half) -> None:
    live.write(SCR, 0x5A)
    live.publish()
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
    live.read(LSR)
    live.service()
    live.let_pass(SECOND_NS // 2)
    live.read(LSR)
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
