"""What a terminal remembers: two screens, a cursor, margins, tab stops and modes. Sans I/O."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from oobconsole.terminal.grid import Grid
from oobconsole.terminal.pen import PLAIN, Pen

#: The largest screen. If a guest addresses rows or columns beyond the configured size, the screen grows, up to this
#: size. A place beyond this size, such as 999;999 to find out the size, means the last row or column.
ROWS_MAX: Final = 100
COLUMNS_MAX: Final = 300
#: Modes that are kept: those of ECMA-48 (insert, new line), and DEC's private modes, which begin with "?".
INSERT, NEW_LINE = "4", "20"
CURSOR_KEYS, REVERSED, ORIGIN, WRAP, CURSOR, PASTE = "?1", "?5", "?6", "?7", "?25", "?2004"
KEYPAD: Final = "="
_KNOWN: Final = frozenset({INSERT, NEW_LINE, CURSOR_KEYS, REVERSED, ORIGIN, WRAP, CURSOR, PASTE})
_ALTERNATE: Final = frozenset({"?47", "?1047", "?1049"})
MODES_AT_FIRST: Final = frozenset({WRAP, CURSOR})
#: DECNKM, which is another name for the keypad's mode.
_KEYPAD_TOO: Final = "?66"
#: The tab stops of a terminal at first, as columns counted from 0.
TABS_AT_FIRST: Final = frozenset(range(8, COLUMNS_MAX, 8))


@dataclass
class Cursor:
    """Where the next character goes, and how: what DECSC saves.

    Attributes:
        x, y: column and row, counted from 0.
        wraps: whether the last column has been written, so that the next character goes to the next row.
        pen: what characters are written with.
        sets: the final bytes of the character sets G0 and G1.
        shifted: whether G1 is in use.
        origin: whether rows count from the top margin. Only a saved cursor has this.
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
    """One of the two screens, main or alternate: its cells, and the cursor that was saved there."""

    grid: Grid
    saved: Cursor = field(default_factory=Cursor)


class State:
    """Everything that later output depends on, and what output does to it other than by writing text.

    Args:
        rows, columns: the size of the screen, until the guest addresses more.

    Attributes:
        rows, columns: the present size.
        main: the main screen.
        shown: the screen that is shown: the main one, or the alternate one.
        top, bottom: the first and the last row within the margins, counted from 0.
        modes: the modes that are on.
        cursor_style: the parameter of DECSCUSR; 0: the terminal's own.
        tabs: the tab stops, as columns counted from 0.
    """

    def __init__(self, rows: int, columns: int) -> None:
        self._size = rows, columns
        self.reset()

    def reset(self) -> None:
        """RIS: set everything to what it was at first."""
        self.rows, self.columns = self._size
        self.main = self.shown = Shown(Grid(*self._size))
        self.cursor = Cursor()
        self.top, self.bottom = 0, self.rows - 1
        self.modes = set(MODES_AT_FIRST)
        self.cursor_style = 0
        self.tabs = set(TABS_AT_FIRST)

    @property
    def is_alternate(self) -> bool:
        """Whether the alternate screen is shown."""
        return self.shown is not self.main

    @property
    def grid(self) -> Grid:
        """The cells that are shown."""
        return self.shown.grid

    @property
    def text(self) -> list[str]:
        """The text that is shown, row by row, without the blanks at the end of each row."""
        return ["".join([text for text, _ in row]).rstrip(" ") for row in self.grid.rows]

    def move_to(self, x: int, y: int) -> None:
        """Move the cursor to a place, counted from 0; a place outside of the screen becomes the nearest one in it."""
        self.cursor.x = max(0, min(x, self.columns - 1))
        self.cursor.y = max(0, min(y, self.rows - 1))
        self.cursor.wraps = False

    def designate(self, which: str, final: str) -> None:
        """SCS: choose the character set G0 (by "(") or G1 (by ")"). Only line drawing differs from plain text."""
        first, second = self.cursor.sets
        final = "0" if final == "0" else "B"
        self.cursor.sets = (final, second) if which == "(" else (first, final)

    def shift(self, shifted: bool) -> None:
        """SO (True) and SI (False): choose G1 or G0."""
        self.cursor.shifted = shifted

    def set_mode(self, mode: str, on: bool) -> None:
        """SM, RM, DECSET, DECRST: switch a mode on or off. DEC's modes begin with "?"."""
        if mode in _ALTERNATE:
            self._switch(on, saves=mode == "?1049")
        elif mode == "?1048":
            (self.save if on else self.restore)()
        elif mode == _KEYPAD_TOO:
            self.keypad(on)
        elif mode in _KNOWN:
            (self.modes.add if on else self.modes.discard)(mode)
            if mode == ORIGIN:
                self.move_to(0, self.top if on else 0)
            elif mode == WRAP and not on:
                self.cursor.wraps = False

    def keypad(self, on: bool) -> None:
        """DECKPAM (True) and DECKPNM (False): whether the keypad sends sequences of its own."""
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
        """DECSC: save the cursor. Each of the two screens has a place for it."""
        self.shown.saved = replace(self.cursor, origin=ORIGIN in self.modes)

    def restore(self) -> None:
        """DECRC: restore the cursor that was saved; it stays saved."""
        saved = self.shown.saved
        self.cursor = replace(saved, x=min(saved.x, self.columns - 1), y=min(saved.y, self.rows - 1), origin=False)
        self._origin(saved.origin)

    def _origin(self, on: bool) -> None:
        (self.modes.add if on else self.modes.discard)(ORIGIN)

    def margins(self, top: int = 0, bottom: int = 0) -> None:
        """DECSTBM: set the margins, as rows counted from 1; 0 is the first or the last row."""
        self.grow_to(bottom, 0)
        first, last = max(top, 1) - 1, min(bottom or self.rows, self.rows) - 1
        if first < last:
            self.top, self.bottom = first, last
            self.move_to(0, self.top if ORIGIN in self.modes else 0)

    def style(self, style: int) -> None:
        """DECSCUSR: set the form of the cursor. An unknown form is the default one."""
        self.cursor_style = style if style <= 6 else 0

    def soft_reset(self) -> None:
        """DECSTR: set modes, margins, pen and character sets back."""
        self.modes = (self.modes - {INSERT, ORIGIN, CURSOR_KEYS, KEYPAD}) | MODES_AT_FIRST
        self.top, self.bottom = 0, self.rows - 1
        self.cursor.pen, self.cursor.sets, self.cursor.shifted = PLAIN, ("B", "B"), False
        self.shown.saved = Cursor()

    def grow_to(self, row: int, column: int) -> None:
        """Grow to that row and column, because the guest addresses them: its terminal is larger than configured."""
        rows = max(self.rows, row if row <= ROWS_MAX else 0)
        columns = max(self.columns, column if column <= COLUMNS_MAX else 0)
        if (rows, columns) == (self.rows, self.columns):
            return
        if self.bottom == self.rows - 1:
            self.bottom = rows - 1
        if columns > self.columns:
            self.main.saved.wraps = self.shown.saved.wraps = False  # the saved column is not the last one any more
        self.rows, self.columns = rows, columns
        self.main.grid.grow(rows, columns)
        self.shown.grid.grow(rows, columns)
