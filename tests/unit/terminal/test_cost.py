"""A few bytes of a guest's cost the event loop little, whatever they ask for and however large its screen is.

Counted, not timed: cells that are written one by one, and calls of functions (`make bench ONLY=terminal` has times).
"""

from __future__ import annotations

import sys
from types import FrameType

import pytest

from oobconsole.console.textscreen import SLICE
from oobconsole.terminal.grid import Cell, Grid
from oobconsole.terminal.model import Terminal
from oobconsole.terminal.state import COLUMNS_MAX, ROWS_MAX

#: What dear sequences need before, and themselves.
DEAR: dict[str, tuple[bytes, bytes]] = {
    "REP of a wide character": ("漢".encode(), b"\x1b[9999b"),
    "REP of a narrow one": (b"x", b"\x1b[9999b"),
    "REP with insertion": (b"\x1b[4hx", b"\x1b[9999b"),
    "REP of a wide one with insertion": ("\x1b[4h漢".encode(), b"\x1b[9999b"),
    "REP without wrapping": (b"\x1b[?7l\x1b[1;299Hx", b"\x1b[9999b"),
    "REP of a wide one without wrapping": ("\x1b[?7l漢".encode(), b"\x1b[9999b"),
    "ICH": (b"\x1b[H", b"\x1b[99@"),
    "DCH": (b"\x1b[H", b"\x1b[99P"),
    "IL": (b"\x1b[H", b"\x1b[99L"),
    "DL": (b"\x1b[H", b"\x1b[99M"),
    "ED": (b"", b"\x1b[2J"),
    "ED below": (b"\x1b[H", b"\x1b[J"),
    "ED above": (b"\x1b[100;300H", b"\x1b[1J"),
    "DECALN": (b"", b"\x1b#8"),
    "SU": (b"", b"\x1b[99S"),
    "SD": (b"", b"\x1b[99T"),
    "LF": (b"\x1b[100H", b"\n"),
    "RI": (b"\x1b[H", b"\x1bM"),
    "tabs": (b"".join(b"\x1b[%dG\x1bH" % column for column in range(1, 300)), b"\t\r"),
    "back tabs": (b"".join(b"\x1b[%dG\x1bH" % column for column in range(1, 300)), b"\x1b[300G\x1b[9Z"),
    "TBC": (b"", b"\x1b[3g"),
    "RIS": (b"", b"\x1bc"),
    "the alternate screen": (b"", b"\x1b[?47h\x1b[?47l"),
    "modes": (b"", b"\x1b[?47;47;47;47;47h"),
    "wide characters": (b"", "漢".encode()),
    "wide characters with insertion": (b"\x1b[4h", "漢".encode()),
    "marks": (b"x", "\u0301".encode()),
    "a string": (b"\x1b]0;", b"x"),
}
#: For 64 bytes.
CELLS_MAX = 24 * COLUMNS_MAX
CALLS_MAX = 1500


def full(setup: bytes) -> Terminal:
    """A terminal of the largest size, with something in every cell."""
    terminal = Terminal(ROWS_MAX, COLUMNS_MAX)
    terminal.feed("漢字x".encode() * (ROWS_MAX * COLUMNS_MAX // 5) + setup)
    return terminal


@pytest.mark.parametrize("name", DEAR)
def test_a_slice_is_bounded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    setup, unit = DEAR[name]
    terminal = full(setup)
    cells = calls = 0
    put = Grid.put

    def counted(grid: Grid, y: int, x: int, written: list[Cell]) -> None:
        nonlocal cells
        cells += len(written)
        put(grid, y, x, written)

    def called(_: FrameType, event: str, __: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    monkeypatch.setattr(Grid, "put", counted)
    sys.setprofile(called)
    try:
        terminal.feed((unit * SLICE)[:SLICE])
    finally:
        sys.setprofile(None)
    assert cells <= CELLS_MAX
    assert calls <= CALLS_MAX


@pytest.mark.parametrize(
    "sequence", [b"\x1b[2J", b"\x1b#8", b"\x1b[100S", b"\x1b[100T", b"\x1b[H\x1b[100L", b"\x1bc"]
)
def test_rows_that_are_alike_cost_as_much_as_one(sequence: bytes) -> None:
    """And each is its own as soon as something is written to it."""
    terminal = full(b"\x1b[44m")
    terminal.feed(sequence)
    rows = terminal.grid.rows
    assert len({id(row) for row in rows}) == 1
    before = "".join(text for text, _ in rows[0]).rstrip()
    terminal.feed(b"\x1b[3;2Hx\x1b[4;5H\x1b[@\x1b[5;5H\x1b[P\x1b[6;2H\xcc\x81\x1b[7;1H\x1b[K")
    count = len(terminal.grid.rows)
    assert [terminal.text[y] == before for y in range(8, count)] == [True] * (count - 8)
    assert terminal.text[2][1] == "x"


@pytest.mark.parametrize("modes", [b"", b"\x1b[4h", b"\x1b[?7l", b"\x1b[?7l\x1b[4h"])
@pytest.mark.parametrize("text", ["x", "漢", "a漢", "é"])
@pytest.mark.parametrize("column", [1, 2, 7, 19, 20, 21])
@pytest.mark.parametrize("count", [1, 2, 5, 19, 20, 50])
def test_a_repeated_character_is_as_if_it_were_typed(modes: bytes, text: str, column: int, count: int) -> None:
    """REP at once does what as many characters do; at most as many as there are columns."""
    setup = b"\x1b[Hab" + "漢字".encode() * 4 + modes + b"\x1b[2;%dH" % column + text.encode()
    repeated, typed = Terminal(6, 21), Terminal(6, 21)
    repeated.feed(setup + b"\x1b[%db" % count)
    typed.feed(setup)
    typed.feed(typed.last.encode() * min(count, 21))  # the last one that had room
    assert (repeated.grid.rows, repeated.cursor) == (typed.grid.rows, typed.cursor)
