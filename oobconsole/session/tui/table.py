"""The menu's list of consoles: a row for each, in as many columns as fit."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from prompt_toolkit.formatted_text import StyleAndTextTuples

from oobconsole.console.console import Console
from oobconsole.session.tui.catalogue import Catalogue, Row

#: How many columns a terminal needs so that people, idle time and state are shown.
_COLUMNS_FOR: Final = {"people": 72, "idle": 56, "state": 32}
_COLOURS: Final = {"live": "ansigreen", "away": "ansiyellow", "gone": "ansiyellow", "fault": "ansired"}
_TITLES: Final = Row("CONSOLE", "STATE", "OUTPUT", "ATTACHED", "LAST LINE")


class Table:
    """The rows of the menu. Each row shows what the catalogue knows of one console."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def line(self, console: Console, *, here: bool, marks: Container[str], width: int) -> StyleAndTextTuples:
        """Return the row of a console.

        Args:
            console: the console.
            here: whether the cursor is at that console.
            marks: the names of the consoles that are marked.
            width: how many columns the terminal has.
        """
        is_marked = console.name in marks
        begin = f"{'>' if here else ' '}{'*' if is_marked else ' '}"
        style = f"{'reverse' if here else ''} {'bold' if is_marked else ''}".strip()
        cells = self._cells(self._catalogue.row(console), width)
        return [(style, begin), *((f"{style} {own}", text) for own, text in cells)]

    def titles(self, width: int) -> StyleAndTextTuples:
        """Return the row of titles that stands above the other rows."""
        return [("", "  "), *self._cells(_TITLES, width)]

    def _cells(self, row: Row, columns: int) -> list[tuple[str, str]]:
        """Return as many cells as fit. The last line of output gets the columns that are left over."""
        name = min(max(self._catalogue.longest, len("CONSOLE")), max(8, columns // 3))
        cells = [("", cut(row.name, name))]
        if columns >= _COLUMNS_FOR["state"]:
            cells.append((_COLOURS.get(row.state, ""), cut(row.state, 7)))
        if columns >= _COLUMNS_FOR["idle"]:
            cells.append(("", f"{row.idle:>6}  "))
        if columns >= _COLUMNS_FOR["people"]:
            cells.append(("", cut(row.people, 14)))
        return [*cells, ("", row.last)]


def cut(text: str, width: int) -> str:
    """Return a text for a column of that width, shortened or filled, with two blanks before the next column."""
    return f"{text if len(text) <= width else text[: width - 1] + '…':<{width}}  "
