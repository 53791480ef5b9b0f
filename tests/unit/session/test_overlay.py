"""Our lines over a guest's screen leave nothing behind; and for how long they are seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oobconsole.session.board import LEAST_SECONDS, SHOWN_MAX_SECONDS, Board
from oobconsole.session.mirror import BEHIND_MAX, Mirror
from oobconsole.session.overlay import place, put_back, put_over
from oobconsole.terminal.model import Terminal

#: What guests print, of which random ones are put together.
PARTS = [
    b"text", b"x" * 75, b"\r\n", b"\n\n\n", b"\x1b[H", b"\x1b[2J", b"\x1b[10;70H", b"\x1b[24;1H", b"\x1b[24;80Hz",
    b"\x1b[A", b"\x1b[K", b"\x1b[5;20r", b"\x1b[r", b"\x1b[?6h", b"\x1b[?6l", b"\x1b[4h", b"\x1b[4l", b"\x1b[?7l",
    b"\x1b[?7h", b"\x1b(0", b"\x1b(B", b"\x1b)0", b"\x0e", b"\x0f", b"\x1b[31m", b"\x1b[44m", b"\x1b[7m", b"\x1b[m",
    b"\x1b7", b"\x1b8", b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[L", b"\x1b[M", b"\x1b[3@", b"\x1b[3P", b"\x1bM",
    b"\x1b[2S", b"\x1b[?25l", "世界".encode(), "é─│".encode(), b"\t", b"\b",
]  # fmt: skip


def all_of(model: Terminal) -> object:
    """What is seen, and all that later output depends on."""
    cursor = replace(model.cursor)
    return (model.text, model.grid.rows, cursor, model.top, model.bottom, sorted(model.modes), model.shown.saved)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(PARTS), st.integers(0, 4)), max_size=60))
async def test_a_terminal_is_as_if_nothing_had_been_said(parts: list[tuple[bytes, int]]) -> None:
    """real-guests.md F2; tests/loopback/test_notices.py does so with tmux as the terminal."""
    plain, terminal, mirror = Mirror(24, 80), Mirror(24, 80), Mirror(24, 80)
    for data, lines in parts:
        for each in (plain, terminal, mirror):
            each.sent(data)
        await mirror.catch_up()
        if lines:
            top = place(mirror.model, lines)
            terminal.sent(put_over(mirror.model, ["[oobconsole: hello]"] * lines, top, exact=True))
            terminal.sent(put_back(mirror.model, top, lines, exact=True))
    await terminal.catch_up()
    await plain.catch_up()
    assert all_of(terminal.model) == all_of(plain.model)


@pytest.mark.parametrize("exact", [True, False])
async def test_the_cursor_is_kept_where_the_model_may_be_wrong(exact: bool) -> None:
    mirror, terminal = Mirror(24, 80), Mirror(24, 80)
    for each in (mirror, terminal):
        each.sent("\x1b[5;9r\x1b[?6h\x1b[2;1Hprompt ❤️ $ ".encode())
        await each.catch_up()
    terminal.sent(b"\x1b[3C")  # as one to which the heart is wider
    terminal.sent(put_over(mirror.model, ["hello"], 23, exact=exact))
    await terminal.catch_up()
    assert terminal.model.text[23] == "hello"
    assert (terminal.model.cursor.y, terminal.model.cursor.x) == (mirror.model.cursor.y, mirror.model.cursor.x + 3)


def test_our_lines_are_not_over_the_cursor() -> None:
    for row in range(24):
        model = Terminal(24, 80)
        model.feed(b"\x1b[%dH" % (row + 1))
        assert row not in range(place(model, 4), place(model, 4) + 4)


async def test_what_waits_for_the_model_is_bounded() -> None:
    mirror = Mirror(24, 80)
    for _ in range(100):
        mirror.sent(b"line\r\n" * 1000)
    assert not mirror.exact
    assert len(mirror._waiting) <= BEHIND_MAX


class TestBoard:
    def test_a_key_takes_away_what_was_seen_long_enough(self) -> None:
        board = Board()
        board.say("bob is attached")
        assert not board.key()
        board.age(LEAST_SECONDS)
        board.say("bob has left")
        assert board.key()
        assert board.rows(80, 23) == ["[oobconsole: bob has left]"]

    def test_time_takes_it_away(self) -> None:
        board = Board()
        board.say("x" * 100_000)
        assert board.next_goes_in == SHOWN_MAX_SECONDS
        assert not board.age(SHOWN_MAX_SECONDS / 2)
        assert board.age(SHOWN_MAX_SECONDS / 2)
        assert not board

    def test_a_question_stays_until_it_is_answered(self) -> None:
        board = Board()
        board.ask("message:")
        board.echo(b"hellp")
        board.echo(b"\b \b")
        board.echo("ö\x1b".encode())
        board.age(1000)
        assert not board.key()
        assert board.rows(80, 23) == ["[oobconsole: message:] hellö_"]
        board.answered()
        assert not board

    def test_there_is_room_for_the_latest(self) -> None:
        board = Board()
        for number in range(1000):
            board.say(f"{number}")
        assert board.rows(80, 3) == ["[oobconsole: 997]", "[oobconsole: 998]", "[oobconsole: 999]"]
        board = Board()
        board.show("the last lines", [f"line {number}" for number in range(50)])
        assert board.rows(80, 3) == ["[oobconsole: the last lines]", "line 48", "line 49"]

    def test_nothing_that_is_said_acts(self) -> None:
        board = Board()
        board.say("a\x1b[2J\x9b\u202eb")
        assert board.rows(8, 23) == ["[oobcons", "ole:", "a[2Jb]"]

    def test_wide_characters_are_not_cut(self) -> None:
        board = Board()
        board.show("", ["世界世"])
        assert board.rows(5, 9)[-2:] == ["世界", "世"]
