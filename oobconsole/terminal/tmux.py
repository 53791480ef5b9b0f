"""A model of a terminal that understands output as tmux does, where that differs from xterm. Sans I/O.

Why two models? A user's terminal may be tmux, xterm, or a third one that mostly agrees with one of these. What both
models agree about is what the user's terminal most probably shows.

Source: tmux 3.3a, `input.c`, `screen.c` and `screen-write.c`. There, a cursor behind the last column is in a column
of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from oobconsole.terminal.grid import BLANK, Grid
from oobconsole.terminal.model import Terminal
from oobconsole.terminal.pen import PLAIN, Pen
from oobconsole.terminal.state import INSERT, ORIGIN, WRAP, Shown

_UNKNOWN: Final = frozenset({"?1048"})


class _Grid(Grid):
    """Cells as tmux has them: nothing is left of a wide character that is cut, not even its colours."""

    def split(self, y: int, x: int) -> None:
        row = self.rows[y]
        if 0 < x < self.columns and not row[x][0]:
            row[x - 1] = row[x] = BLANK


class AsTmux(Terminal):
    """A terminal that is fed with a guest's output, and does as tmux does."""

    def reset(self) -> None:
        """RIS: empty the alternate screen and stay there; an origin mode that was saved stays saved."""
        main: Shown | None = vars(self).get("main")
        was_alternate = main is not None and self.is_alternate
        super().reset()
        self.main.grid = _Grid(self.rows, self.columns)
        self._left: tuple[int, int] | None = getattr(self, "_left", None)  # where the cursor was on the main screen
        self._left_pen: Pen = getattr(self, "_left_pen", PLAIN)
        if main is not None:
            self.main.saved = replace(self.main.saved, origin=main.saved.origin)
            self.main.grid = main.grid if was_alternate else self.main.grid
            self.shown = Shown(_Grid(self.rows, self.columns)) if was_alternate else self.main

    # -- what is saved ------------------------------------------------------------------------------

    def save(self) -> None:
        """DECSC: save the cursor. Both screens share one place, and whether the next character wraps is not saved."""
        self.main.saved = replace(self.cursor, wraps=False, origin=ORIGIN in self.modes)

    def restore(self) -> None:
        saved = self.main.saved
        self.cursor = replace(saved, x=min(saved.x, self.columns - 1), y=min(saved.y, self.rows - 1), origin=False)
        self._origin(saved.origin)

    def soft_reset(self) -> None:
        """DECSTR: do nothing, because tmux does not know it."""

    def set_mode(self, mode: str, on: bool) -> None:
        wraps = self.cursor.wraps
        if mode not in _UNKNOWN:
            super().set_mode(mode, on)
        if mode == WRAP:
            self.cursor.wraps = wraps

    def _switch(self, on: bool, *, saves: bool) -> None:
        """Switch the screen. The main screen's cursor and colours are kept in a place of their own, not DECSC's."""
        if on and not self.is_alternate:
            if saves:
                self._left = self.cursor.x, self.cursor.y
            self._left_pen = self.cursor.pen
            self.shown = Shown(_Grid(self.rows, self.columns))
        elif not on:
            self.shown = self.main
            if saves and self._left is not None:
                self.cursor.x, self.cursor.y = self._left
                self.cursor.pen = self._left_pen
            self.cursor.wraps = False

    # -- behind the last column ---------------------------------------------------------------------

    def _draw(self, text: str) -> None:
        if not self.cursor.wraps or WRAP in self.modes:
            super()._draw(text)

    def _draw_one(self, character: str, columns: int) -> None:
        """Draw a character. In insert mode, one without room is inserted before the next row begins."""
        cursor, inserts = self.cursor, INSERT in self.modes
        if inserts and columns and cursor.x + columns + cursor.wraps > self.columns:
            if not cursor.wraps:
                self.grid.insert(cursor.y, cursor.x, columns, PLAIN)
            self.modes.discard(INSERT)
        super()._draw_one(character, columns)
        if inserts:
            self.modes.add(INSERT)

    def _repeat(self, count: int) -> None:
        if not self.cursor.wraps or WRAP in self.modes:
            super()._repeat(count)

    def _next_row(self) -> None:
        self.cursor.wraps = False
        super()._next_row()

    def _index(self) -> None:
        wraps = self.cursor.wraps
        super()._index()
        self.cursor.wraps = wraps

    def _reverse_index(self) -> None:
        wraps = self.cursor.wraps
        super()._reverse_index()
        self.cursor.wraps = wraps

    def _to_row(self, row: int) -> None:
        wraps = self.cursor.wraps
        super()._to_row(row)
        self.cursor.wraps = wraps

    def _move(self, columns: int = 0, rows: int = 0) -> None:
        cursor = self.cursor
        if cursor.wraps and columns < 0:
            columns += 1
        elif columns == -1 and not cursor.x and cursor.y:  # a backspace, if the row above was too long
            columns, rows = self.columns - 1, -1
        super()._move(columns, rows)

    def _insert(self, count: int) -> None:
        if not self.cursor.wraps:
            super()._insert(count)

    def _delete(self, count: int) -> None:
        if not self.cursor.wraps:
            super()._delete(count)

    def _erase(self, count: int) -> None:
        if not self.cursor.wraps:
            super()._erase(count)

    def _erase_in_line(self, how: int) -> None:
        wraps = self.cursor.wraps
        if not wraps or how:
            super()._erase_in_line(how)
        self.cursor.wraps = wraps

    # -- margins ------------------------------------------------------------------------------------

    def margins(self, top: int = 0, bottom: int = 0) -> None:
        """DECSTBM: the cursor goes to the first row, not to the first one between the margins."""
        origin = ORIGIN in self.modes
        self._origin(False)
        super().margins(top, bottom)
        self._origin(origin)

    def _lines(self, count: int) -> None:
        """IL and DL: also outside the margins."""
        y, wraps = self.cursor.y, self.cursor.wraps
        within = self.top <= y <= self.bottom
        if within or count < self.rows - y:  # where there is nothing to be moved down, nothing is erased either
            self.grid.scroll(y, self.bottom if within else self.rows - 1, -count, self.cursor.pen)
        self.cursor.wraps = wraps
