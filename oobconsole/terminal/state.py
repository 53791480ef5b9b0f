"""What a terminal knows: two screens, a cursor, margins, tab stops and modes. Sans I/O."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from oobconsole.terminal.grid import Grid
from oobconsole.terminal.pen import PLAIN, Pen

#: A guest that addresses rows or columns beyond its settings makes the screen grow up to this. What lies beyond, such
#: as 999;999 to find out the size, is taken for the last row or column.
ROWS_MAX: Final = 100
COLUMNS_MAX: Final = 300
#: Modes: those of ECMA-48 (insert, new line), and DEC's private ones, which a user's terminal must have as well.
INSERT, NEW_LINE = "4", "20"
CURSOR_KEYS, REVERSED, ORIGIN, WRAP, CURSOR, PASTE = "?1", "?5", "?6", "?7", "?25", "?2004"
KEYPAD: Final = "="
_KNOWN: Final = frozenset({INSERT, NEW_LINE, CURSOR_KEYS, REVERSED, ORIGIN, WRAP, CURSOR, PASTE})
_ALTERNATE: Final = frozenset({"?47", "?1047", "?1049"})
MODES_AT_FIRST: Final = frozenset({WRAP, CURSOR})


@dataclass
class Cursor:
    """Where the next character goes, and how: what DECSC saves.

    Attributes:
        wraps: the last column has been written; the next character goes to the next row.
        sets: final bytes of the character sets G0 and G1.
        shifted: G1 is in use.
        origin: rows count from the top margin. Only in what was saved.
    """

    x: int = 0
    y: int = 0
    wraps: bool = False
    pen: Pen = PLAIN
    sets: tuple[str, str] = ("B", "B")
    shifted: bool = False
    origin: bool = False


@dataclass
class Shown:
    """One of the two screens."""

    grid: Grid
    saved: Cursor = field(default_factory=Cursor)


class State:
    """All that later output depends on, and what output does to it other than by writing.

    Args:
        rows, columns: its size, until the guest addresses more.

    Attributes:
        rows, columns: its size now.
        main, shown: the main screen, and the one that is shown: the same, or the alternate one.
        top, bottom: the margins, rows from 0, both within.
        modes: those that are on.
        cursor_style: DECSCUSR; 0: the terminal's own.
        tabs: columns from 0.
    """

    def __init__(self, rows: int, columns: int) -> None:
        self._size = rows, columns
        self.reset()

    def reset(self) -> None:
        """RIS: everything as at first."""
        self.rows, self.columns = self._size
        self.main = self.shown = Shown(Grid(*self._size))
        self.cursor = Cursor()
        self.top, self.bottom = 0, self.rows - 1
        self.modes = set(MODES_AT_FIRST)
        self.cursor_style = 0
        self.tabs = set(range(8, COLUMNS_MAX, 8))

    @property
    def is_alternate(self) -> bool:
        """Is the alternate screen shown?"""
        return self.shown is not self.main

    @property
    def grid(self) -> Grid:
        """What is shown."""
        return self.shown.grid

    @property
    def text(self) -> list[str]:
        """What is shown, row by row, without the blanks at the end."""
        return ["".join([text for text, _ in row]).rstrip(" ") for row in self.grid.rows]

    def move_to(self, x: int, y: int) -> None:
        """Move the cursor; not further than there is room."""
        self.cursor.x = max(0, min(x, self.columns - 1))
        self.cursor.y = max(0, min(y, self.rows - 1))
        self.cursor.wraps = False

    def designate(self, which: str, final: str) -> None:
        """SCS: G0 by "(", G1 by ")"; of character sets, line drawing alone is another one."""
        first, second = self.cursor.sets
        final = "0" if final == "0" else "B"
        self.cursor.sets = (final, second) if which == "(" else (first, final)

    def shift(self, shifted: bool) -> None:
        """SO and SI."""
        self.cursor.shifted = shifted

    def set_mode(self, mode: str, on: bool) -> None:
        """SM, RM, DECSET, DECRST; those of DEC begin with "?"."""
        if mode in _ALTERNATE:
            self._switch(on, saves=mode == "?1049")
        elif mode == "?1048":
            (self.save if on else self.restore)()
        elif mode in _KNOWN:
            (self.modes.add if on else self.modes.discard)(mode)
            if mode == ORIGIN:
                self.move_to(0, self.top if on else 0)
            elif mode == WRAP and not on:
                self.cursor.wraps = False

    def keypad(self, on: bool) -> None:
        """DECKPAM and DECKPNM."""
        (self.modes.add if on else self.modes.discard)(KEYPAD)

    def _switch(self, on: bool, *, saves: bool) -> None:
        if on and not self.is_alternate:
            if saves:
                self.save()
            self.shown = Shown(Grid(self.rows, self.columns))
        elif not on:
            self.shown = self.main
            if saves:  # also where the main screen is shown already, as xterm and tmux have it
                self.restore()

    def save(self) -> None:
        """DECSC: one place for each of the screens."""
        self.shown.saved = replace(self.cursor, origin=ORIGIN in self.modes)

    def restore(self) -> None:
        """DECRC; it stays saved."""
        saved = self.shown.saved
        self.cursor = replace(saved, x=min(saved.x, self.columns - 1), y=min(saved.y, self.rows - 1), origin=False)
        self._origin(saved.origin)

    def _origin(self, on: bool) -> None:
        (self.modes.add if on else self.modes.discard)(ORIGIN)

    def margins(self, top: int = 0, bottom: int = 0) -> None:
        """DECSTBM."""
        self.grow_to(bottom, 0)
        first, last = max(top, 1) - 1, min(bottom or self.rows, self.rows) - 1
        if first < last:
            self.top, self.bottom = first, last
            self.move_to(0, self.top if ORIGIN in self.modes else 0)

    def style(self, style: int) -> None:
        """DECSCUSR."""
        self.cursor_style = style if style <= 6 else 0

    def soft_reset(self) -> None:
        """DECSTR: modes, margins, pen and character sets."""
        self.modes = (self.modes - {INSERT, ORIGIN, CURSOR_KEYS, KEYPAD}) | MODES_AT_FIRST
        self.top, self.bottom = 0, self.rows - 1
        self.cursor.pen, self.cursor.sets, self.cursor.shifted = PLAIN, ("B", "B"), False
        self.shown.saved = Cursor()

    def grow_to(self, row: int, column: int) -> None:
        """The guest's terminal is larger than it was said to be."""
        rows = max(self.rows, row if row <= ROWS_MAX else 0)
        columns = max(self.columns, column if column <= COLUMNS_MAX else 0)
        if (rows, columns) == (self.rows, self.columns):
            return
        if self.bottom == self.rows - 1:
            self.bottom = rows - 1
        if columns > self.columns:
            self.main.saved.wraps = self.shown.saved.wraps = False  # its column is not the last any more
        self.rows, self.columns = rows, columns
        self.main.grid.grow(rows, columns)
        self.shown.grid.grow(rows, columns)
