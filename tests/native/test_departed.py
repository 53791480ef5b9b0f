"""Guests that end while their server is late, not ready or away: what they printed last arrives once, or a GAP says
how much of it does not (link.c, resync.c). Then the server is told that they are gone, and only then of those that
may have followed them."""

from __future__ import annotations

import pytest

from oobconsole.interceptors.wire import (
    Announced,
    ContextAppeared,
    ContextGone,
    Event,
    Gap,
    GoneReason,
    Posted,
)
from tests.native.frames import APPEARED, KEPT, all_of, printed
from tests.native.half import IER, LCR, MCR, THR, THRI, Half

GONE = ContextGone(1, GoneReason.DESTROYED)
SECOND_APPEARED = ContextAppeared(2, 0x4000, 0x2000)


def end(live: Half, context: int = 1) -> None:
    live.gone(context, GoneReason.DESTROYED)


def after_ready(live: Half, *received: tuple[int, int, int]) -> list[Event]:
    """All that follows READY, in as many goes as it takes."""
    live.silent = True
    live.ready(*received)
    live.silent = False
    events = live.take()
    live.poll()
    return events + all_of(live)


def gaps(events: list[Event]) -> int:
    """How many bytes are said to be lost."""
    return sum(event.lost for event in events if isinstance(event, Gap))


def letters(count: int) -> bytes:
    return bytes(ord("a") + i * 7 % 26 for i in range(count))


def test_before_ready_its_last_words_arrive_behind_what_the_server_has(live: Half) -> None:
    """The plugin has told of it on this connection, and the server has not said yet what it has."""
    live.prints(b"before ")
    live.take()
    live.hang_up()
    live.prints(b"while away ")
    live.connect()
    assert live.sent() == [APPEARED, Announced()]
    live.prints(b"last words")
    end(live)
    assert live.sent() == [], "where they go on is not known yet"
    events = after_ready(live, (1, live.base, 4))
    assert printed(events, live.base) == b"re while away last words"
    assert events[-1] == GONE
    assert not live.keeps(1)


def test_before_ready_what_is_not_kept_any_more_is_a_gap_of_that_size(live: Half) -> None:
    text = letters(KEPT + 1234)
    live.prints(b"x" * 10)
    live.publish()
    live.hang_up()
    live.connect()
    live.prints(text)
    end(live)
    events = after_ready(live, (1, live.base, 10))
    assert gaps(events) == 1234
    assert printed(events, live.base) == text[1234:]
    assert live.stat("dropped") == 1234
    assert events[-1] == GONE


def test_of_a_guest_that_ends_while_no_server_is_there(live: Half) -> None:
    """It is announced once more, for its last words."""
    live.prints(b"before ")
    live.take()
    live.hang_up()
    live.prints(b"last words")
    live.write(THR, ord("2"), base=live.other)
    end(live)
    assert live.keeps(1)
    live.connect()
    assert live.sent() == [APPEARED, Announced()]
    events = after_ready(live, (1, live.base, 7), (1, live.other, 0))
    assert (printed(events, live.base), printed(events, live.other)) == (b"last words", b"2")
    assert events[-1] == GONE
    live.hang_up()
    live.connect()
    assert live.sent() == [Announced()]


def test_of_a_guest_that_no_server_has_known(live: Half) -> None:
    live.hang_up()
    live.write(THR, ord("z"), context=2)
    end(live, 2)
    live.connect()
    live.sent()
    events = after_ready(live, (1, live.base, 0))
    assert printed(events, live.base, 2) == b"z"
    assert [e for e in events if isinstance(e, ContextAppeared | ContextGone)] == [
        SECOND_APPEARED,
        ContextGone(2, GoneReason.DESTROYED),
    ]


@pytest.mark.parametrize("connected", [False, True], ids=["away", "not-ready"])
def test_those_that_follow_it_come_behind_its_end(live: Half, connected: bool) -> None:
    """They get its name: the server must know first that it is free."""
    live.prints(b"1")
    live.take()
    live.hang_up()
    if connected:
        live.connect()
    live.prints(b"!")
    end(live)
    live.write(THR, ord("2"), context=2)
    if not connected:
        live.connect()
    assert live.sent() == [APPEARED, Announced()]
    events = after_ready(live, (1, live.base, 1))
    assert printed(events, live.base) == b"!"
    assert printed(events, live.base, 2) == b"2"
    assert [e for e in events if isinstance(e, ContextAppeared | ContextGone)] == [GONE, SECOND_APPEARED]
    live.hang_up()
    live.connect()
    assert live.sent() == [SECOND_APPEARED, Announced()]


def test_several_are_told_of_in_the_order_in_which_they_began(live: Half) -> None:
    live.write(THR, ord("b"), context=2)
    live.take()
    live.hang_up()
    for context in (2, 1):
        live.write(THR, ord("0") + context, context=context)
        end(live, context)
    live.connect()
    live.sent()
    events = after_ready(live, (1, live.base, 0), (2, live.base, 1))
    assert [e.context for e in events if isinstance(e, ContextGone)] == [1, 2]
    assert (printed(events, live.base), printed(events, live.base, 2)) == (b"1", b"2")


def test_more_last_words_than_there_is_room_for_reach_a_late_server(live: Half) -> None:
    text = letters(60000)
    live.be_late()
    live.prints(text)
    end(live)
    events = all_of(live)
    assert printed(events, live.base) == text
    assert gaps(events) == 0
    assert events[-1] == GONE
    assert not live.keeps(1), "when all of it, in as many pieces as it took, is with the socket"


def half_told(live: Half) -> bytes:
    """A guest has ended whose last words, which are returned, a late server has begun to take; it takes no more."""
    text = letters(50000)
    live.be_late()
    live.prints(text)
    end(live)
    live._server_turn()
    live.silent = True
    live.poll()
    return text


def test_a_server_that_is_late_again_in_the_middle_of_them(live: Half) -> None:
    text = half_told(live)
    assert not live.up
    assert live.keeps(1)
    live.silent = False
    events = all_of(live)
    assert printed(events, live.base) == text
    assert events[-1] == GONE


def test_a_link_that_breaks_in_the_middle_of_them(live: Half) -> None:
    text = half_told(live)
    live.silent = False
    live._server_turn()
    had = printed(live.received, live.base)
    live.received.clear()
    assert 0 < len(had) < len(text)
    live.hang_up()
    live.connect()
    assert live.sent() == [APPEARED, Announced()]
    events = after_ready(live, (1, live.base, len(had)))
    assert had + printed(events, live.base) == text
    assert events[-1] == GONE


def test_they_are_for_the_line_whatever_thr_is_at_the_server(live: Half) -> None:
    """The guest has set its speed when the server was there, and has printed since."""
    live.write(LCR, 0x83)
    live.write(IER, 0)
    live.be_late()
    live.write(LCR, 0x03)
    live.write(MCR, 0x0B)
    live.prints(b"last words")
    live.write(LCR, 0x83)
    end(live)
    live.come_back()
    assert printed(live.take(), live.base) == b"last words"


def test_a_guest_all_of_whose_output_is_served_is_not_kept(live: Half) -> None:
    """Whoever is not announced on the next connection is gone."""
    live.prints(b"served")
    live.publish()
    live.hang_up()
    end(live)
    assert not live.keeps(1)
    live.connect()
    assert live.sent() == [Announced()]


def test_a_server_that_has_all_is_told_on_its_own_connection(live: Half) -> None:
    live.publish()
    live.be_late()
    live.write(IER, THRI)
    end(live)
    assert live.keeps(1)
    live.come_back()
    assert live.take()[-1] == GONE


def test_a_guest_that_touched_nothing_is_not_kept(half: Half) -> None:
    end(half, 2)
    assert not half.keeps(2)


# -- no room ------------------------------------------------------------------------------------------


def test_last_words_that_cannot_be_kept_are_counted_and_that_is_said_once(
    live: Half, capfd: pytest.CaptureFixture[str]
) -> None:
    live.prints(b"served")
    live.publish()
    live.hang_up()
    capfd.readouterr()
    for context, text in ((1, b"twelve bytes"), (2, b"four")):
        for byte in text:
            live.write(THR, byte, context=context)
        end(live, context)
        live.give_up(context)
    assert live.stat("dropped") == 16
    said = "oob_tcg: machine l1: too many guests ended without a server: the last output of the first ones is lost\n"
    assert capfd.readouterr().err == said


def test_what_was_dropped_before_is_not_counted_again(live: Half) -> None:
    live.hang_up()
    live.prints(letters(KEPT + 100))
    end(live)
    live.give_up(1)
    assert live.stat("dropped") == KEPT + 100


def test_a_late_server_that_cannot_be_told_of_a_guests_end_is_given_up(live: Half) -> None:
    """It learns of the end on the next connection, where the guest is not announced."""
    live.be_late()
    live.prints(b"lost")
    end(live)
    live.give_up(1)
    assert not live.connected
    live.hang_up()
    live.connect()
    assert live.sent() == [Announced()]


def test_a_guest_that_ends_with_the_server_there_is_told_at_once(live: Half) -> None:
    live.prints(b"bye")
    end(live)
    assert live.take() == [Posted(1, live.base, b"bye", 0), GONE]
    assert not live.keeps(1)


def test_a_link_that_breaks_before_its_end_was_sent(live: Half) -> None:
    """What waited to be sent is gone with the connection, and is told once more on the next one."""
    live.prints(b"before ")
    live.take()
    live.prints(b"last words")
    end(live)
    assert live.keeps(1)
    live.hang_up()
    live.connect()
    assert live.sent() == [APPEARED, Announced()]
    events = after_ready(live, (1, live.base, 7))
    assert printed(events, live.base) == b"last words"
    assert events[-1] == GONE
    assert not live.keeps(1)


def test_a_link_that_breaks_when_its_end_is_with_the_socket(live: Half) -> None:
    """The server has it then: it is not told twice, whatever waits behind it."""
    live.silent = True
    live.prints(b"last words")
    end(live)
    live.service()
    assert not live.keeps(1)
    live.write(THR, ord("2"), context=2)
    live.silent = False
    assert live.sent()[-1] == GONE
    live.hang_up()
    live.connect()
    assert live.sent() == [SECOND_APPEARED, Announced()]


def test_what_is_on_its_way_is_not_given_up(live: Half) -> None:
    live.prints(b"last words")
    end(live)
    live.give_up(1)
    assert live.stat("dropped") == 0
    assert live.take() == [Posted(1, live.base, b"last words", 0), GONE]


def test_a_socket_that_takes_only_a_part_of_them_has_not_got_its_end(live: Half) -> None:
    """As much as fits was sent when the link broke: the server says how much that was."""
    live.silent = True
    text = letters(14000)
    live.be_late()
    live.prints(text)
    live._server_turn()
    live.silent = True
    end(live)
    live.poll()
    live.service()
    assert live.keeps(1)
    live.silent = False
    live._server_turn()
    had = printed(live.received, live.base)
    live.received.clear()
    assert 0 < len(had) < len(text)
    live.hang_up()
    live.connect()
    live.sent()
    events = after_ready(live, (1, live.base, len(had)))
    assert had + printed(events, live.base) == text
    assert events[-1] == GONE
