"""The cells of one screen, what output can do to them, and how wide characters are."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

from wcwidth import wcwidth

from oobconsole.terminal.pen import PLAIN, Pen

#: The text of one cell and its pen. The second cell of a wide character has no text; a cell that nothing was written
#: to has a space.
Cell = tuple[str, Pen]
Row = list[Cell]
BLANK: Final[Cell] = (" ", PLAIN)
#: The most code points in one cell. A kiss of two people with colours of skin has 10. Unicode's Stream-Safe Text
#: Format allows 30 marks, of which writing needs three.
CELL_MAX: Final = 16


@lru_cache(maxsize=4096)
def width(character: str) -> int:
    """How many columns a character takes: 0, 1 or 2.

    The answer is that of C libraries and most terminals, and so of the guest's programs: a spacing vowel (Mc) and
    each half of a flag take one column. wcwidth would give the width of a whole cluster to one of its parts.
    """
    if unicodedata.category(character) == "Mc" or "\U0001f1e6" <= character <= "\U0001f1ff":
        return 1
    return max(0, wcwidth(character))


class _Uniform(list[Cell]):
    """A row of cells that are all alike. Several rows of a grid are the same object, until one of them is written to.

    So a guest that blanks every cell by a few bytes, again and again, costs next to nothing.
    """


class Grid:
    """The cells that one screen shows.

    Args:
        rows, columns: the screen's size.
    """

    def __init__(self, rows: int, columns: int) -> None:
        self.columns = columns
        self.rows: list[Row] = [_Uniform([BLANK] * columns)] * rows

    def grow(self, rows: int, columns: int) -> None:
        """Add empty rows below, and empty columns at the right."""
        more = [BLANK] * (columns - self.columns)
        self.rows = [row + more for row in self.rows] if more else self.rows
        self.columns = columns
        self.rows += [_Uniform([BLANK] * columns)] * (rows - len(self.rows))

    def _own(self, y: int) -> Row:
        """The row as an object of its own, which may be written to."""
        row = self.rows[y]
        if type(row) is _Uniform:
            row = self.rows[y] = list(row)
        return row

    def split(self, y: int, x: int) -> None:
        """Blank a wide character that lies across the left edge of this column, because something begins or ends
        there."""
        row = self.rows[y]
        if 0 < x < self.columns and not row[x][0]:
            row[x - 1] = (" ", row[x - 1][1])
            row[x] = (" ", row[x][1])

    def put(self, y: int, x: int, cells: list[Cell]) -> None:
        """Write cells from that place on. There must be room for all of them in the row."""
        self.split(y, x)
        self.split(y, x + len(cells))
        self._own(y)[x : x + len(cells)] = cells

    def fill(self, first: int, end: int, cell: Cell) -> None:
        """Make all cells of the rows from `first` to before `end` alike."""
        if first < end:
            self.rows[first:end] = [_Uniform([cell] * self.columns)] * (end - first)

    def erase(self, y: int, start: int, end: int, pen: Pen) -> None:
        """Blank the columns from `start` to before `end` of a row."""
        if end - start == self.columns:
            self.fill(y, y + 1, (" ", pen.blank))
        elif start < end:
            self.put(y, start, [(" ", pen.blank)] * (end - start))

    def insert(self, y: int, x: int, count: int, pen: Pen) -> None:
        """Insert `count` blanks; cells that are pushed out at the right are lost."""
        count = min(count, self.columns - x)
        self.split(y, x)
        self.split(y, self.columns - count)
        row = self._own(y)
        row[x:] = [(" ", pen.blank)] * count + row[x : self.columns - count]

    def delete(self, y: int, x: int, count: int, pen: Pen) -> None:
        """Delete `count` cells; blanks come in from the right."""
        count = min(count, self.columns - x)
        self.split(y, x)
        self.split(y, x + count)
        row = self._own(y)
        row[x:] = row[x + count :] + [(" ", pen.blank)] * count

    def scroll(self, top: int, bottom: int, count: int, pen: Pen) -> None:
        """Move the rows from `top` to `bottom` up by `count`, or down if `count` is negative; blank rows come in."""
        lines = max(-(bottom - top + 1), min(count, bottom - top + 1))
        blank: list[Row] = [_Uniform([(" ", pen.blank)] * self.columns)] * abs(lines)
        kept = self.rows[top : bottom + 1]
        self.rows[top : bottom + 1] = kept[lines:] + blank if lines >= 0 else blank + kept[:lines]

    def join(self, y: int, x: int, more: str) -> None:
        """Add a mark to the character that is in this column, or ends in it."""
        row = self._own(y)
        x -= not row[x][0]
        text, pen = row[x]
        if len(text) < CELL_MAX:
            row[x] = (text + more, pen)
