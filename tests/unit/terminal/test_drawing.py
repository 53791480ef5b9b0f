"""A terminal that is drawn anew goes on as the one that was: nothing that later output depends on is lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oobconsole.terminal.state import COLUMNS_MAX, ROWS_MAX
from tests.support.terminals import drawn, on_tmux, printed, state_of

PARTS = [
    b"text",
    b"x" * 79,
    b"x" * 80,
    b"\r\n",
    b"\r",
    b"\n",
    b"\b",
    b"\t",
    "漢字".encode(),
    "สวัสดี".encode(),
    "👨‍👩‍👧".encode(),
    b"\x1b[1;2;3;5;8;9;53m",
    b"\x1b[m",
    b"\x1b[44m",
    b"\x1b[38;5;196m",
    b"\x1b[48;2;1;2;3m",
    b"\x1b[7m",
    b"\x1b[4:3;58:5:3m",
    b"\x1b[5;20r",
    b"\x1b[r",
    b"\x1b[?6h",
    b"\x1b[?6l",
    b"\x1b[?7l",
    b"\x1b[?7h",
    b"\x1b[4h",
    b"\x1b[4l",
    b"\x1b7",
    b"\x1b8",
    b"\x1b(0",
    b"\x1b(B",
    b"\x0e",
    b"\x0f",
    b"\x1b)0",
    b"\x1b[?1049h",
    b"\x1b[?1049l",
    b"\x1b[?47h",
    b"\x1b[?47l",
    b"\x1bH",
    b"\x1b[3g",
    b"\x1b[g",
    b"\x1b[5;10H",
    b"\x1b[24;80H",
    b"\x1b[1;80H",
    b"\x1b[J",
    b"\x1b[1J",
    b"\x1b[2J",
    b"\x1b[K",
    b"\x1b[1K",
    b"\x1b[3@",
    b"\x1b[3P",
    b"\x1b[2L",
    b"\x1b[2M",
    b"\x1b[5X",
    b"\x1bM",
    b"\x1bD",
    b"\x1bE",
    b"\x1b[S",
    b"\x1b[T",
    b"\x1b[5b",
    b"\x1b[Z",
    b"\x1b[2I",
    b"\x1b#8",
    b"\x1b[!p",
    b"\x1b[?25l",
    b"\x1b[4 q",
    b"\x1b=",
    b"\x1b[25;1H",
    b"\x1b[10;90H",
    b"\x1b[20h",
    b"\x1b[?1048h",
    b"\x1b[?2004h",
    b"\x1b[?1h",
    b"\x1b[?5h",
    b"\x1bc",
    b"\x1b[21;53m",
]
outputs = st.lists(st.one_of(st.sampled_from(PARTS), st.binary(max_size=6)), max_size=30).map(b"".join)


@settings(deadline=None, max_examples=60)
@given(outputs, outputs)
def test_the_state_is_kept_and_later_output_does_the_same(before: bytes, after: bytes) -> None:
    """Cells and pens of both screens, cursor and what is to be wrapped, what is saved, margins, modes, tab stops."""
    terminal = printed(before + b"\x18")
    again = printed(drawn(terminal), terminal.rows, terminal.columns)
    assert state_of(again) == state_of(terminal)
    terminal.feed(after)
    again.feed(after)
    if (again.rows, again.columns) == (terminal.rows, terminal.columns) == (24, 80):  # RIS gives the first size
        assert state_of(again) == state_of(terminal)


@settings(deadline=None, max_examples=40)
@given(outputs)
def test_output_byte_by_byte_does_the_same(data: bytes) -> None:
    single = printed(b"")
    for byte in data:
        single.feed(bytes((byte,)))
    assert state_of(single) == state_of(printed(data))


REAL = {
    "colours": b"\x1b[1;31mred\x1b[0;4;7;44mblue\x1b[0m \x1b[38;5;196mx\x1b[48;2;1;2;3my\x1b[0m\x1b[95mz\x1b[41m",
    "margins, origin, insert": b"a\r\nb\x1b[3;9r\x1b[?6h\x1b[4h\x1b[2;5Hhere",
    "no wrapping, keys, keypad, no cursor": b"\x1b[?7l\x1b[?1h\x1b=\x1b[?25l" + b"x" * 90,
    "vim over a shell": b"$ vim\r\n\x1b[?1049h\x1b[22;1Hvi\x1b[5;7r\x1b[6H",
    "line drawing": b"\x1b)0\x0e",
    "a full row": b"\r\n" + b"y" * 80,
}
#: What later output makes visible: wrapping, saved cursor, margins, character set, colours, and the main screen.
LATER = [b"q\n\n\n\n\n\n\nq", b"\x1b8later", b"\x1b[?1049lshell"]


@pytest.mark.needs("tmux")
@pytest.mark.parametrize("later", LATER, ids=["lines", "saved", "main"])
@pytest.mark.parametrize("name", REAL)
def test_a_real_terminal_goes_on_the_same(name: str, later: bytes) -> None:
    if (name, later) == ("a full row", LATER[0]):
        later = b"wrapped"
    if (name, later) == ("vim over a shell", LATER[1]):
        later = b"later"  # tmux has one place for DECSC, where xterm has one for each screen
    data = b"\x1b[2;4H\x1b7\x1b[H" + REAL[name]
    straight, again = on_tmux(data + later), on_tmux(drawn(printed(data)) + later)
    assert again.lines == straight.lines
    assert again.cells == straight.cells
    assert again.modes == straight.modes


@pytest.mark.needs("tmux")
@pytest.mark.parametrize("address", [b"\x1b[25;1H", b"\x1b[25d", b"\x1b[1;25r\x1b[25H", b"\x1b[25;1f"])
def test_a_guest_of_25_rows_loses_none(address: bytes) -> None:
    """real-guests.md F5: memtest86+ and HDT have 25 rows, whatever the settings say."""
    terminal = printed(b"\x1b[1;1Hfirst\x1b[24;1H24th" + address + b"\r25th")
    assert (terminal.rows, terminal.text[0], terminal.text[23], terminal.text[24]) == (25, "first", "24th", "25th")
    assert on_tmux(drawn(terminal, 30, 80), 30).lines[24] == "25th"


def test_it_grows_within_a_bound() -> None:
    """A guest that asks for the size by going to 999;999 says nothing of it."""
    terminal = printed(b"\x1b[999;999H*\x1b[32766;32766H")
    assert (terminal.rows, terminal.columns, terminal.cursor.x, terminal.cursor.y) == (24, 80, 79, 23)
    terminal.feed(b"\x1b[%d;%dH" % (ROWS_MAX, COLUMNS_MAX))
    assert (terminal.rows, terminal.columns) == (ROWS_MAX, COLUMNS_MAX)
