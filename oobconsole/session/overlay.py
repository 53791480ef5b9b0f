"""Puts rows of our own over a guest's screen, and the guest's rows back in their place. Sans I/O.

What of the terminal's state is kept? The guest's cursor, attributes, character sets and origin mode are the same
afterwards. Its margins, modes, tab stops and the cursor that it has saved are not touched at all.

How do we come back to the guest's cursor? There are two ways. One is to go to the place at which our model has the
cursor. The other is to use DECSC and DECRC. A terminal does these without fail, but there is only one place where a
cursor can be saved, and the guest may be using it.
"""

from __future__ import annotations

import re
from typing import Final
from unicodedata import combining

from oobconsole.terminal.grid import Row
from oobconsole.terminal.model import Terminal
from oobconsole.terminal.pen import PLAIN
from oobconsole.terminal.state import ORIGIN
from oobconsole.terminal.text import plain

#: What comes before anything of ours: rows count from the top of the screen (origin mode off), and attributes and
#: character set show text as it is.
_BEGIN: Final = "\x1b[?6l\x1b[0m\x1b(B\x0f"
_SAVE, _RESTORE, _ORIGIN, _ERASE = "\x1b7", "\x1b8", "\x1b[?6h", "\x1b[0m\x1b[K"
_OURS: Final = "\x1b[0;7m"
#: Characters about whose width terminals disagree: symbols, some of which are emoji; private use; emoji, and what
#: came with them.
_DISPUTED: Final = re.compile(
    "[\u231a-\u23b9\u23be-\u23ff\u25fb-\u27bf\u2b00-\u2bff\ue000-\uf8ff\U0001f000-\U0010ffff]"
)


def place(model: Terminal, count: int) -> int:
    """Return the first of `count` rows for our lines, from 0. The rows are at the bottom of the screen, or at the top
    if the cursor is at the bottom."""
    bottom = max(0, model.rows - count)
    return 0 if model.cursor.y >= bottom and model.cursor.y >= count else bottom


def put_over(model: Terminal, lines: list[str], top: int, *, exact: bool) -> bytes:
    """Return the bytes that show our lines.

    Args:
        model: what the terminal shows.
        lines: our lines; each fits into a row.
        top: the row of the first line, from 0.
        exact: whether the model is known to be what the terminal shows (`Mirror.is_sure`).
    """
    rows = [f"{_at(top + i)}{_ERASE}{_OURS}{line}" for i, line in enumerate(lines)]
    return _between(model, rows, exact=exact)


def put_back(model: Terminal, top: int, count: int, *, exact: bool) -> bytes:
    """Return the bytes that show the guest's rows again, `count` of them from `top` on. `exact` is as in
    `put_over`."""
    rows = [f"{_at(y)}{_ERASE}{_drawn(model.grid.rows[y])}" for y in range(top, min(top + count, model.rows))]
    return _between(model, rows, exact=exact)


def _between(model: Terminal, rows: list[str], *, exact: bool) -> bytes:
    """Return `rows`, with what leaves and restores the guest's cursor and attributes around them."""
    drawn = _BEGIN + "".join(rows)
    if exact and not _is_disputed(model.grid.rows[model.cursor.y]):
        return (drawn + _cursor(model)).encode("utf-8", "replace")
    origin = _ORIGIN if ORIGIN in model.modes else ""  # not every terminal saves this mode with the cursor
    return (_SAVE + drawn + origin + _RESTORE).encode("utf-8", "replace")


def _cursor(model: Terminal) -> str:
    """Return the bytes that lead back to the guest's cursor from the state that `_BEGIN` leaves."""
    cursor, origin = model.cursor, ORIGIN in model.modes
    row = cursor.y - (model.top if origin else 0)
    x, waiting = cursor.x, ""
    if cursor.wraps:  # a cursor can only come behind the last column by writing a character there
        cells = model.grid.rows[cursor.y]
        x -= not cells[x][0]
        text, pen = cells[x]
        waiting = pen.sgr + _text(text)
    shift = "\x0e" if cursor.shifted else ""
    return f"{_ORIGIN if origin else ''}{_at(row, x)}{waiting}{cursor.pen.sgr}\x1b({cursor.sets[0]}{shift}"


def _at(y: int, x: int = 0) -> str:
    return f"\x1b[{y + 1};{x + 1}H"


def _drawn(row: Row) -> str:
    """Return the bytes that draw the cells of a row, on a blank row and beginning with plain attributes."""
    last = max((x for x, (text, pen) in enumerate(row) if text.strip(" ") or pen.is_seen_on_blanks), default=-1)
    out, before = [], PLAIN
    for text, pen in row[: last + 1]:
        if pen != before:
            out.append(pen.sgr)
            before = pen
        out.append(_text(text))
    return "".join(out)


def _text(text: str) -> str:
    return plain(text.expandtabs(1))


def _is_disputed(row: Row) -> bool:
    """Return whether the row has characters about whose width terminals disagree. Then they may also disagree about
    where the cursor is. Accents take no room on any terminal; joiners, variation selectors and spacing vowels may."""
    return any(_DISPUTED.match(text) or not all(map(combining, text[1:])) for text, _ in row)
