"""Draws a guest's screen on another terminal: what is shown, and everything that later output depends on.

Rows are drawn one by one, each at its place and without wrapping. So a character that another terminal takes for
wider or narrower than we do spoils one row only. Only marks on the last column need wrapping: without it, tmux puts
them on the column before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from oobconsole.terminal.grid import Cell, Grid, Row
from oobconsole.terminal.pen import PLAIN
from oobconsole.terminal.state import (
    CURSOR,
    CURSOR_KEYS,
    INSERT,
    KEYPAD,
    NEW_LINE,
    ORIGIN,
    PASTE,
    REVERSED,
    TABS_AT_FIRST,
    WRAP,
    Cursor,
    Shown,
    State,
)

#: Chooses the main screen, without colours, line drawing, origin mode, insertion, margins and wrapping; and clears
#: it.
_BEGIN: Final = "\x1b[?1049l\x1b[0m\x0f\x1b(B\x1b)B\x1b[?6l\x1b[4l\x1b[20l\x1b[?7l\x1b[r\x1b[H\x1b[2J"
_PLAIN: Final = "\x1b[m\x0f\x1b(B\x1b)B\x1b[?6l\x1b[?7l"
#: Saves the main screen's cursor, chooses the alternate screen, and clears it.
_ALTERNATE: Final = f"\x1b[?1049h{_PLAIN}\x1b[H\x1b[2J"
#: Modes that are set last, because drawing needs them otherwise, or because drawing does not depend on them.
_LAST: Final = (INSERT, NEW_LINE, WRAP, CURSOR_KEYS, PASTE, CURSOR)


@dataclass(frozen=True)
class _View:
    """The part of the guest's screen that the other terminal has room for.

    Attributes:
        top: the guest's row that is the first one of the part.
        rows, columns: the size of the part.
        is_whole: the part is the whole screen.
    """

    top: int
    rows: int
    columns: int
    is_whole: bool


def drawing(state: State, rows: int, columns: int) -> Iterator[str]:
    """Texts that make another terminal the same as the guest's, in pieces of one row at most.

    Args:
        state: the guest's terminal.
        rows, columns: the size of the terminal to draw on. On a smaller terminal, what is around the cursor is drawn,
            and characters that its edge would cut are left out.
    """
    view = _View(
        top=max(0, state.cursor.y - rows + 1),
        rows=min(rows, state.rows),
        columns=min(columns, state.columns),
        is_whole=rows >= state.rows and columns >= state.columns,
    )
    yield _BEGIN + _mode(REVERSED, REVERSED in state.modes)
    yield _tabs(state, columns)
    yield from _rows(state.main.grid, view)
    if state.is_alternate:
        yield _margins(state, view)
        yield _place(state, state.main.saved, state.main.saved.origin, view, state.main)
        yield _ALTERNATE
        yield from _rows(state.grid, view)
    yield _margins(state, view)
    yield _saved(state, state.shown, view)
    yield _keys(state)
    yield _place(state, state.cursor, ORIGIN in state.modes, view)
    yield "".join(_mode(mode, mode in state.modes) for mode in _LAST)


def _tabs(state: State, columns: int) -> str:
    """Sets the tab stops, unless they are every eight columns."""
    if state.tabs == TABS_AT_FIRST:
        return ""
    return "\x1b[3g" + "".join(f"\x1b[{stop + 1}G\x1bH" for stop in sorted(state.tabs) if stop < columns)


def _rows(grid: Grid, view: _View) -> Iterator[str]:
    for y in range(view.top, view.top + view.rows):
        text = _row(grid.rows[y], view.columns)
        if text:
            yield f"\x1b[{y - view.top + 1}H{text}\x1b[m"


def _row(row: Row, columns: int) -> str:
    cells = row[:columns]
    if columns < len(row) and not row[columns][0]:  # the edge would cut a wide character
        cells[-1] = (" ", cells[-1][1])
    end = len(cells)
    while end and cells[end - 1][0] == " " and not cells[end - 1][1].is_seen_on_blanks:
        end -= 1
    out: list[str] = []
    pen = PLAIN
    unsure = False  # the other terminal may be in another column than we believe
    for x in range(end):
        text, wanted = cells[x]
        if unsure and text == " " and _is_last_of_gap(cells, x):
            out.append(f"\x1b[{x + 1}G")
            unsure = False
        if wanted != pen:
            out.append(wanted.sgr)
            pen = wanted
        out.append(text if len(text) < 2 or x + 2 < end else f"\x1b[?7h{text}\x1b[?7l")
        unsure = unsure or not text.isascii()
    return "".join(out)


def _is_last_of_gap(cells: list[Cell], x: int) -> bool:
    """Return whether this is the last of several blanks. Text behind it can be put at its place, and text before it
    has some room."""
    return cells[x - 1][0] == " " and x + 1 < len(cells) and cells[x + 1][0] != " "


def _margins(state: State, view: _View) -> str:
    """Sets the margins, unless they are the whole screen, or the part that is drawn has no room for them."""
    if (state.top, state.bottom) == (0, state.rows - 1) or view.top or state.bottom >= view.rows:
        return ""
    return f"\x1b[{state.top + 1};{state.bottom + 1}r"


def _saved(state: State, shown: Shown, view: _View) -> str:
    """Saves the cursor that the guest has saved, so that DECRC brings it back."""
    return _place(state, shown.saved, shown.saved.origin, view, shown) + f"\x1b7{_PLAIN}"


def _keys(state: State) -> str:
    style = f"\x1b[{state.cursor_style} q" if state.cursor_style else ""
    return ("\x1b=" if KEYPAD in state.modes else "\x1b>") + style


def _place(state: State, cursor: Cursor, origin: bool, view: _View, shown: Shown | None = None) -> str:
    """Puts the cursor at its place, with its pen and character sets, and about to wrap if the guest's is."""
    origin = origin and view.is_whole
    x, y = min(cursor.x, view.columns - 1), min(max(0, cursor.y - view.top), view.rows - 1)
    first = state.top if origin else 0
    out = [_mode(ORIGIN, origin)]
    if cursor.wraps and cursor.x == view.columns - 1:
        row = (shown or state.shown).grid.rows[cursor.y]
        last = x - (not row[x][0])  # the last character is written once more; a wide one from its first column
        out += [f"\x1b[{y - first + 1};{last + 1}H", "\x1b[?7h", row[last][1].sgr, row[last][0]]
    else:
        out.append(f"\x1b[{y - first + 1};{x + 1}H")
    out.append(cursor.pen.sgr)
    out += [f"\x1b{which}{final}" for which, final in zip("()", cursor.sets, strict=True) if final != "B"]
    return "".join(out) + ("\x0e" if cursor.shifted else "")


def _mode(mode: str, on: bool) -> str:
    return f"\x1b[{mode}{'h' if on else 'l'}"
