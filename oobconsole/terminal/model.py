"""A model of a terminal: what a guest's output makes a terminal show. Sans I/O.

The terminal is a VT220 as xterm has it, with the characters of all scripts. Sequences are named as in xterm's
"Control Sequences" (ctlseqs). Where terminals differ, the model does as xterm: after the last column was written the
cursor is still in that column, and only the next character wraps.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import Any, Final

from oobconsole.terminal.grid import width
from oobconsole.terminal.pen import PLAIN
from oobconsole.terminal.safe import SafeFilter
from oobconsole.terminal.state import INSERT, NEW_LINE, ORIGIN, TABS_AT_FIRST, WRAP, State

#: A larger parameter counts as this.
_NUMBER_MAX: Final = 9999
_TOKEN: Final = re.compile(
    r"([^\x00-\x1f\x7f-\x9f]+)|\x1b\[([<=>?]?)([\d:;]*)([ -/]*)([@-~])|\x1b([ -/]*)([0-~])|([\x00-\x1f])", re.ASCII
)
#: DEC Special Character and Set, from 0x5F on.
_LINES: Final = dict(zip(range(0x5F, 0x7F), "\u00a0◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·", strict=True))
_ZWJ: Final = "\u200d"


class Terminal(State):
    """A terminal that is fed with a guest's output.

    Args:
        rows, columns: its size, until the guest addresses more.

    Attributes:
        last: the character that was written last, which REP repeats.
    """

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__(rows, columns)
        self.last = " "
        self._filter = SafeFilter()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes, now: float = 0.0) -> None:
        """Show some more output, in whatever pieces it comes.

        Args:
            now: when it came, in seconds of any clock: see `SafeFilter.feed`.
        """
        for found in _TOKEN.finditer(self._decoder.decode(self._filter.feed(data, now))):
            kind = found.lastindex
            if kind == 1:
                self._draw(found[1])
            elif kind == 8:
                _CONTROLS.get(found[8], _nothing)(self)
            elif kind == 5:
                self._control_sequence(*found.group(2, 3, 4, 5))
            elif found[6] in ("(", ")"):
                self.designate(found[6], found[7])
            else:
                _ESCAPES.get(found[6] + found[7], _nothing)(self)

    def _control_sequence(self, prefix: str, parameters: str, intermediate: str, final: str) -> None:
        if final == "m" and not prefix and not intermediate:
            self.cursor.pen = self.cursor.pen.changed(parameters)
        elif final in "hl" and prefix in ("", "?") and not intermediate:
            for number in parameters.split(";"):
                self.set_mode(prefix + number.lstrip("0"), final == "h")
        elif handler := _SEQUENCES.get(prefix + intermediate + final):
            handler(self, *[_number(text) for text in re.split("[:;]", parameters)[:2]])

    @property
    def is_known(self) -> bool:
        """Whether nothing was fed but what the model understands. Otherwise a terminal that was sent the same may
        show something else."""
        return not self._filter.altered

    # -- characters ---------------------------------------------------------------------------------

    def _draw(self, text: str) -> None:
        if self.cursor.sets[self.cursor.shifted] == "0":
            text = text.translate(_LINES)
        if text.isascii() and INSERT not in self.modes:
            self.last = text[-1]
            while text:
                text = self._draw_narrow(text)
            return
        for character in text:
            self._draw_one(character, width(character))

    def _draw_narrow(self, text: str) -> str:
        """Write as much of the text as has room in the row; returns the rest."""
        cursor = self.cursor
        self._wrap_if_due()
        room = self.columns - cursor.x
        part = text[:room]
        if len(text) > room and WRAP not in self.modes:
            part, text = text[: room - 1] + text[-1], ""  # the last column is written again and again
        pen = cursor.pen
        self.grid.put(cursor.y, cursor.x, [(character, pen) for character in part])
        self._advance(len(part))
        return text[room:]

    def _draw_one(self, character: str, columns: int) -> None:
        cursor = self.cursor
        before = cursor.x if cursor.wraps else cursor.x - 1
        # An ASCII character is joined to nothing, however the output was cut into pieces (as tmux has it).
        if columns == 0 or (before >= 0 and not character.isascii() and self._ends_with_joiner(cursor.y, before)):
            if before >= 0:
                self.grid.join(cursor.y, before, character)
            return
        self._wrap_if_due()
        if cursor.x + columns > self.columns:
            if WRAP not in self.modes or columns > self.columns:
                return  # the character has no room in any row
            self._next_row()
        if INSERT in self.modes:
            self.grid.insert(cursor.y, cursor.x, columns, cursor.pen)
        self.last = character
        self.grid.put(cursor.y, cursor.x, [(character, cursor.pen), ("", cursor.pen)][:columns])
        self._advance(columns)

    def _ends_with_joiner(self, y: int, x: int) -> bool:
        row = self.grid.rows[y]
        text = row[x][0] or row[x - 1][0]
        return len(text) > 1 and text[-1] == _ZWJ

    def _advance(self, columns: int) -> None:
        cursor = self.cursor
        cursor.wraps = cursor.x + columns >= self.columns and WRAP in self.modes
        cursor.x = min(cursor.x + columns, self.columns - 1)

    def _wrap_if_due(self) -> None:
        if self.cursor.wraps:
            self._next_row()

    def _next_row(self) -> None:
        self.cursor.x = 0
        self._index()

    def _repeat(self, count: int) -> None:
        """REP: write the last character `count` times more. ncurses uses it for lines."""
        left = min(max(count, 1), self.columns)
        columns = width(self.last)
        cursor, pen = self.cursor, self.cursor.pen
        while left:
            self._wrap_if_due()
            room = (self.columns - cursor.x) // columns
            if room:
                part = min(left, room)
                if INSERT in self.modes:
                    self.grid.insert(cursor.y, cursor.x, part * columns, pen)
                self.grid.put(cursor.y, cursor.x, [(self.last, pen), ("", pen)][:columns] * part)
                self._advance(part * columns)
                left -= part
            elif columns <= self.columns and WRAP in self.modes:
                self._next_row()
            if WRAP not in self.modes or columns > self.columns:
                return  # what has no room is written over the last column, or nowhere

    # -- the cursor ---------------------------------------------------------------------------------

    def _position(self, row: int = 0, column: int = 0) -> None:
        self.grow_to(0, column)
        self._to_row(row)
        self.move_to(max(column, 1) - 1, self.cursor.y)

    def _to_row(self, row: int) -> None:
        y = max(row, 1) - 1
        if ORIGIN in self.modes:
            y = min(y + self.top, self.bottom)
        else:
            self.grow_to(row, 0)
        self.move_to(self.cursor.x, y)

    def _to_column(self, column: int) -> None:
        self.grow_to(0, column)
        self.move_to(max(column, 1) - 1, self.cursor.y)

    def _up(self, count: int) -> None:
        """CUU: move the cursor up, but not out of the margins."""
        top = self.top if self.cursor.y >= self.top else 0
        self.move_to(self.cursor.x, max(top, self.cursor.y - max(count, 1)))

    def _down(self, count: int) -> None:
        bottom = self.bottom if self.cursor.y <= self.bottom else self.rows - 1
        self.move_to(self.cursor.x, min(bottom, self.cursor.y + max(count, 1)))

    def _move(self, columns: int = 0, rows: int = 0) -> None:
        self.move_to(self.cursor.x + columns, self.cursor.y + rows)

    def _tab(self, count: int = 1) -> None:
        stops = sorted([stop for stop in self.tabs if self.cursor.x < stop < self.columns])
        x = stops[max(count, 1) - 1] if len(stops) >= max(count, 1) else self.columns - 1
        self.cursor.x = x  # a tab in the last column leaves what is to be wrapped

    def _back_tab(self, count: int = 1) -> None:
        stops = sorted([stop for stop in self.tabs if stop < self.cursor.x], reverse=True)
        self.move_to(stops[max(count, 1) - 1] if len(stops) >= max(count, 1) else 0, self.cursor.y)

    def _set_tab(self) -> None:
        self.tabs.add(self.cursor.x)

    def _set_tabs(self, how: int) -> None:
        """DECST8C: with 5, set the tab stops every eight columns, as at first."""
        if how == 5:
            self.tabs = set(TABS_AT_FIRST)

    def _clear_tab(self, how: int) -> None:
        if how == 0:
            self.tabs.discard(self.cursor.x)
        elif how == 3:
            self.tabs.clear()

    def _index(self) -> None:
        """IND, and what LF does to rows: go down, and scroll at the bottom margin."""
        cursor = self.cursor
        cursor.wraps = False
        if cursor.y == self.bottom:
            self.grid.scroll(self.top, self.bottom, 1, cursor.pen)
        else:
            cursor.y = min(cursor.y + 1, self.rows - 1)

    def _next_line(self) -> None:
        """NEL: go to the beginning of the next row."""
        self._return()
        self._index()

    def _line_feed(self) -> None:
        self._index()
        if NEW_LINE in self.modes:
            self.cursor.x = 0

    def _reverse_index(self) -> None:
        self.cursor.wraps = False
        if self.cursor.y == self.top:
            self.grid.scroll(self.top, self.bottom, -1, self.cursor.pen)
        else:
            self.cursor.y = max(self.cursor.y - 1, 0)

    def _return(self) -> None:
        self.move_to(0, self.cursor.y)

    # -- cells --------------------------------------------------------------------------------------

    def _scroll(self, count: int) -> None:
        """SU: scroll up within the margins; SD with a negative count."""
        self.grid.scroll(self.top, self.bottom, count, self.cursor.pen)

    def _lines(self, count: int) -> None:
        """IL: insert rows at the cursor, within the margins; DL, which deletes rows, with a negative count."""
        if self.top <= self.cursor.y <= self.bottom:
            self.grid.scroll(self.cursor.y, self.bottom, -count, self.cursor.pen)
            self.cursor.wraps = False

    def _insert(self, count: int) -> None:
        self.cursor.wraps = False
        self.grid.insert(self.cursor.y, self.cursor.x, max(count, 1), self.cursor.pen)

    def _delete(self, count: int) -> None:
        self.cursor.wraps = False
        self.grid.delete(self.cursor.y, self.cursor.x, max(count, 1), self.cursor.pen)

    def _erase(self, count: int) -> None:
        self.cursor.wraps = False
        x = self.cursor.x
        self.grid.erase(self.cursor.y, x, min(x + max(count, 1), self.columns), self.cursor.pen)

    def _erase_in_line(self, how: int) -> None:
        self.cursor.wraps = False
        x = self.cursor.x
        span = {0: (x, self.columns), 1: (0, x + 1), 2: (0, self.columns)}.get(how, (0, 0))
        self.grid.erase(self.cursor.y, *span, self.cursor.pen)

    def _erase_in_display(self, how: int) -> None:
        y = self.cursor.y
        first, end = {0: (y + 1, self.rows), 1: (0, y), 2: (0, self.rows)}.get(how, (0, 0))
        self.grid.fill(first, end, (" ", self.cursor.pen.blank))
        if how in (0, 1):
            self._erase_in_line(how)

    def _align(self) -> None:
        """DECALN: fill the screen with E, to align a tube."""
        self.top, self.bottom = 0, self.rows - 1
        self.grid.fill(0, self.rows, ("E", PLAIN))
        self.move_to(0, 0)


def _nothing(_: Terminal) -> None:
    """Do nothing: the handler of controls and sequences that change nothing on a screen."""


def _number(text: str) -> int:
    return min(int(text), _NUMBER_MAX) if text and len(text) <= 9 else _NUMBER_MAX if text.strip("0") else 0


_CONTROLS: Final[dict[str, Callable[[Terminal], None]]] = {
    "\b": lambda t: t._move(columns=-1),
    "\t": Terminal._tab,
    "\n": Terminal._line_feed,
    "\v": Terminal._line_feed,
    "\f": Terminal._line_feed,
    "\r": Terminal._return,
    "\x0e": lambda t: t.shift(True),
    "\x0f": lambda t: t.shift(False),
}
_ESCAPES: Final[dict[str, Callable[[Terminal], None]]] = {
    "7": lambda t: t.save(),
    "8": lambda t: t.restore(),
    "=": lambda t: t.keypad(True),
    ">": lambda t: t.keypad(False),
    "D": lambda t: t._index(),
    "E": Terminal._next_line,
    "H": Terminal._set_tab,
    "M": lambda t: t._reverse_index(),
    "c": lambda t: t.reset(),
    "#8": Terminal._align,
}
#: Handlers by a sequence's prefix, intermediate and final byte. They get the first two parameters; a missing one is
#: 0.
_SEQUENCES: Final[dict[str, Callable[..., Any]]] = {
    "@": lambda t, n, *_: t._insert(n),
    "A": lambda t, n, *_: t._up(n),
    "B": lambda t, n, *_: t._down(n),
    "C": lambda t, n, *_: t._move(columns=max(n, 1)),
    "D": lambda t, n, *_: t._move(columns=-max(n, 1)),
    "E": lambda t, n, *_: (t._down(n), t._return()),
    "F": lambda t, n, *_: (t._up(n), t._return()),
    "G": lambda t, n, *_: t._to_column(n),
    "H": Terminal._position,
    "I": lambda t, n, *_: t._tab(n),
    "J": lambda t, n, *_: t._erase_in_display(n),
    "?J": lambda t, n, *_: t._erase_in_display(n),
    "K": lambda t, n, *_: t._erase_in_line(n),
    "?K": lambda t, n, *_: t._erase_in_line(n),
    "L": lambda t, n, *_: t._lines(max(n, 1)),
    "M": lambda t, n, *_: t._lines(-max(n, 1)),
    "P": lambda t, n, *_: t._delete(n),
    "S": lambda t, n, *_: t._scroll(max(n, 1)),
    "T": lambda t, n, *_: t._scroll(-max(n, 1)),
    "?W": lambda t, n, *_: t._set_tabs(n),
    "X": lambda t, n, *_: t._erase(n),
    "Z": lambda t, n, *_: t._back_tab(n),
    "`": lambda t, n, *_: t._to_column(n),
    "a": lambda t, n, *_: t._move(columns=max(n, 1)),
    "b": lambda t, n, *_: t._repeat(n),
    "d": lambda t, n, *_: t._to_row(n),
    "e": lambda t, n, *_: t._move(rows=max(n, 1)),
    "f": Terminal._position,
    "g": lambda t, n, *_: t._clear_tab(n),
    "r": lambda t, top, bottom=0, *_: t.margins(top, bottom),
    "s": lambda t, *_: t.save(),
    "u": lambda t, *_: t.restore(),
    " q": lambda t, n, *_: t.style(n),
    "!p": lambda t, *_: t.soft_reset(),
}
