"""A screen that is drawn anew is the one that was."""

from __future__ import annotations

import asyncio
import sys

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oobconsole.config.guests import ConsoleConfig
from oobconsole.console import textscreen as module
from oobconsole.console.console import Console
from oobconsole.console.textscreen import BACKLOG_MAX, LATEST, PATIENCE_SECONDS, SLICE, TURN_SECONDS, TextScreen
from oobconsole.terminal.model import Terminal as Model
from tests.support.aio import Turns
from tests.support.terminal import Terminal

HOSTILE = [
    b"\x1b[999999999L", b"\x1b[" + b"9" * 5000 + b"A", b"\x1b[>4;2m", b"\x1b[?4m", b"\x1b[?6n", b"\x1b[c",
    b"\x1b[96h", b"\x1b[?3h", b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?5h", b"\x1b[5;3r", b"\x1b[0;0r", b"\x1b[r",
    b"\x1bPq#0\x1b\\", b"\x1b]0;t\x07", b"\x1b7", b"\x1b8", b"\x1bc", b"\x1b[38;2;1m", b"\x1b[38m", b"\x1b[;;;;H",
    b"\x1b[1 q", b"\x1b[!p", b"\x1b[99S", b"\x1b[99T", b"\x1b[99b", b"\x1b#8", b"\x1b(0", b"\x0e", b"\x01after",
    "a\u0300\u0300\u0300\u0300\u0300\u0300".encode(), "世界\u200d\u00ad".encode(), "\u00b2".encode(),
    b"\x1b[4::m", b"\xff", b"\x9b", *(b"\x1b[1;2;3;4%c" % final for final in range(0x40, 0x7F)),
]  # fmt: skip


def console(data: bytes = b"", rows: int = 24, columns: int = 80) -> Console:
    made = Console("web1", scrollback=1 << 20, settings=ConsoleConfig(rows=rows, columns=columns))
    made.output(data)
    return made


def screen_of(of: Console) -> TextScreen:
    return TextScreen(of)


def user(drawing: bytes, rows: int = 24, columns: int = 80) -> pyte.Screen:
    """The terminal of a user, which has another emulator's parser than ours: pyte's own."""
    terminal = pyte.Screen(columns, rows)
    pyte.ByteStream(terminal).feed(drawing)
    return terminal


def cells(terminal: pyte.Screen) -> list[list[object]]:
    """What is seen: characters with their attributes."""
    return [[terminal.buffer[y][x] for x in range(terminal.columns)] for y in range(terminal.lines)]


async def redrawn(data: bytes) -> pyte.Screen:
    return user((await screen_of(console(data)).redraw())[1])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"login: ",
        b"a\r\n" * 100 + b"$ ",
        b"\x1b[1;31mred\x1b[0;4;7;44mblue\x1b[0m \x1b[38;5;196mx\x1b[48;2;1;2;3my\x1b[0m\x1b[95mz",
        b"\x1b[5;10Hhere\x1b[?25l\x1b[2;3H",
        b"\x1b[2;10r\x1b[10;1Hline\nline",
        b"x" * 80,
        "─┐ é 世界".encode(),
    ],
)
async def test_characters_colours_and_cursor(data: bytes) -> None:
    straight, again = user(data), await redrawn(data)
    assert again.display == straight.display
    assert cells(again) == cells(straight)
    assert (again.cursor.y, min(again.cursor.x, 79)) == (straight.cursor.y, min(straight.cursor.x, 79))
    assert (again.cursor.hidden, again.cursor.attrs) == (straight.cursor.hidden, straight.cursor.attrs)
    assert (again.margins or (0, 23)) == (straight.margins or (0, 23))


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"\x1b(0lqk\x1b(B|\x1b)0\x0eq\x0fq", "┌─┐|─q"),
        (b"-\x1b[9b|", "-" * 10 + "|"),
        (b"\x1b[1;5H\x1b[sX\x1b[1;1H\x1b[uY", "    Y"),
        (b"one\r\ntwo\x1b[S", "two"),
        (b"\x1bPq#0~~\x1b\\\x1bktitle\x1b\\seen", "seen"),
        (b"a\x01b\x02c", "abc"),
        (b"\x1b[>4;2m\x1b[?4mplain", "plain"),
        (b"main\x1b[?1049h\x1b[Hvi\x1b[?1049l screen", "main screen"),
    ],
)
async def test_what_pyte_alone_would_not_show(data: bytes, line: str) -> None:
    shown = await redrawn(data)
    assert shown.display[0].rstrip() == line
    assert not shown.buffer[0][0].underscore


async def test_the_alternate_screen_and_modes_are_the_clients_too() -> None:
    _, drawing = await screen_of(console(b"\x1b[?1049h\x1b[?1h\x1b[?2004h\x1b[?7l\x1b(0")).redraw()
    for mode in (b"\x1b[?1049h", b"\x1b[?1h", b"\x1b[?2004h", b"\x1b[?7l", b"\x1b(0"):
        assert mode in drawing


@pytest.mark.parametrize("begin", [b"\x1b]1337;File=:", b"\x1bPq", b"\x1b_G"])
@pytest.mark.parametrize("size", [40_000, 200_000])
async def test_a_redraw_shows_nothing_of_a_long_string(begin: bytes, size: int) -> None:
    """faults.md 14: also when the string began before what is fed for a redraw."""
    made = console(b"before\r\n" + begin + b"QUJD" * (size // 4) + b"\x1b\\after $ ")
    _, drawing = await screen_of(made).redraw()
    assert b"QUJD" not in drawing
    assert b"after $" in drawing


@pytest.mark.parametrize(("rows", "columns"), [(5, 20), (50, 132), (24, 40), (10, 80)])
async def test_a_client_of_another_size_sees_the_cursor_in_its_place(rows: int, columns: int) -> None:
    data = b"".join(b"line %d %s\r\n" % (i, b"." * 60) for i in range(20)) + b"login: "
    _, drawing = await screen_of(console(data)).redraw(rows, columns)
    shown = user(drawing, rows, columns)
    assert shown.display[shown.cursor.y].rstrip() == "login:"
    assert shown.cursor.x == 7
    assert shown.display[shown.cursor.y - 1].startswith("line 19")


async def test_only_what_is_new_is_fed_and_the_offset_is_true() -> None:
    made = console(b"one ")
    screen = screen_of(made)
    assert (await screen.redraw())[0] == 4
    made.output(b"\x1b[31")
    assert (await screen.redraw())[0] == 8
    made.output(b"mred")
    end, drawing = await screen.redraw()
    assert end == made.end
    assert user(drawing).buffer[0][4].fg == "red"


async def test_a_screen_far_behind_starts_at_a_line() -> None:
    made = console(b"old\r\n")
    screen = screen_of(made)
    await screen.redraw()
    made.output(b"0123456789\r\n" * (BACKLOG_MAX // 6) + b"$ ")
    shown = user((await screen.redraw())[1])
    assert [line.rstrip() for line in shown.display] == ["0123456789"] * 23 + ["$"]


async def test_the_event_loop_goes_on_meanwhile() -> None:
    hostile = console(b"\x1b[2J\x1b#8" * (BACKLOG_MAX // 7) + b"\x1b[2J\x1b[Hstill here")
    with Turns() as turns:
        end, drawing = await screen_of(hostile).redraw()
    assert turns.count >= 10
    assert end == hostile.end
    assert user(drawing).display[0].rstrip() == "still here"


class Costly:
    """A clock for output that costs much: each look at it is two turns of the event loop later."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """In seconds."""
        self.now += 2 * TURN_SECONDS
        return self.now

    thread_time = monotonic


async def test_what_costs_too_much_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has taken a second of the processor's time goes on with the last 2 KiB."""
    fed = 0

    def feed(self: Model, data: bytes, now: float) -> None:
        nonlocal fed
        fed += len(data)

    monkeypatch.setattr(Model, "feed", feed)
    monkeypatch.setattr(module, "time", Costly())
    made = console(b"0123456\n" * (BACKLOG_MAX // 8))
    end, _ = await screen_of(made).redraw()
    assert end == made.end
    assert LATEST <= fed <= SLICE * (1 + PATIENCE_SECONDS / TURN_SECONDS) + LATEST


async def test_marks_on_one_character_are_bounded() -> None:
    _, drawing = await screen_of(console("a\u0300\x1b[m".encode() + "\u0301\x1b[m".encode() * 10000)).redraw()
    assert len(drawing) < 200


@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(st.sampled_from(HOSTILE), st.binary(max_size=8), st.just(b"text\r\n")), max_size=30))
def test_nothing_that_a_guest_prints_costs_more_than_its_screen(parts: list[bytes]) -> None:
    async def body() -> None:
        screen = screen_of(console(b"".join(parts) + b"\x18\x1b[m\x1bc\x1b[?1049l\x1b[H\x1b[2Jstill here"))
        end, drawing = await screen.redraw()
        assert end == screen._console.end
        assert "still here" in "\n".join(user(drawing).display)
        assert (screen.terminal.columns, screen.terminal.rows) == (80, 24)

    asyncio.run(body())


PROGRAM = """
import curses
def show(window):
    curses.start_color()
    curses.init_pair(1, curses.COLOR_RED, curses.COLOR_BLUE)
    window.box()
    for y in range(2, 20):
        window.addstr(y, y, "line %d" % y, curses.color_pair(1) | curses.A_BOLD)
        window.refresh()
    window.hline(21, 1, "=", 60)
    window.move(5, 9)
    window.refresh()
    print("", end="\\x07", flush=True)
    window.getch()
curses.wrapper(show)
"""


def test_a_real_full_screen_program() -> None:
    """With ncurses' lines, repetitions and character sets."""
    with Terminal([sys.executable, "-c", PROGRAM]) as terminal:
        terminal.expect(rb"\x07", timeout=20)
        recorded = bytes(terminal.seen)
    shown = asyncio.run(redrawn(recorded))
    assert [shown.display[y].strip("x│ ") for y in range(2, 20)] == [f"line {y}" for y in range(2, 20)]
    assert "=" * 60 in shown.display[21]
    cell = shown.buffer[2][2]
    assert (cell.fg, cell.bg, cell.bold) == ("red", "blue", True)
    assert shown.display[0][:3] == "┌──"
    assert (shown.cursor.y, shown.cursor.x) == (5, 9)
