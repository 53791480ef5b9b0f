"""The menu's list of consoles: a row for each, in as many columns as fit.

To look at what a console printed last costs up to some milliseconds, and it is the guest that decides how many. So
each drawing has a bounded time for it; a row for which none is left is shown as it was, or its name alone, and the
next drawing goes on there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from typing import Final

from prompt_toolkit.formatted_text import StyleAndTextTuples

from oobconsole.console.console import Console
from oobconsole.session.tui.catalogue import Catalogue, Row

#: In one drawing, in seconds; one row is looked at in any case.
LOOK_SECONDS: Final = 0.003
#: A terminal with fewer columns has no people, no idle time, no state.
_COLUMNS_FOR: Final = {"people": 72, "idle": 56, "state": 32}
_COLOURS: Final = {"live": "ansigreen", "away": "ansiyellow", "gone": "ansiyellow", "fault": "ansired"}
_TITLES: Final = Row("CONSOLE", "STATE", "OUTPUT", "ATTACHED", "LAST LINE")


class Table:
    """Rows, and how they looked before.

    Args:
        again: is called when the screen is to be drawn once more, for the rest.
    """

    def __init__(self, catalogue: Catalogue, again: Callable[[], object]) -> None:
        self._catalogue = catalogue
        self._again = again
        self._rows: dict[str, Row] = {}
        self._looked_at: set[str] = set()  # since all of a screen was up to date
        self._all_done = True
        self._until: float | None = None

    def drawing(self) -> None:
        """It is about to be drawn."""
        if self._all_done:
            self._rows = {name: self._rows[name] for name in self._looked_at}
            self._looked_at.clear()
        self._all_done = True
        self._until = None

    def line(self, console: Console, *, here: bool, marks: Container[str], width: int) -> StyleAndTextTuples:
        """A console's.

        Args:
            here: the cursor is there.
        """
        is_marked = console.name in marks
        begin = f"{'>' if here else ' '}{'*' if is_marked else ' '}"
        style = f"{'reverse' if here else ''} {'bold' if is_marked else ''}".strip()
        cells = self._cells(self._row(console), width)
        return [(style, begin), *((f"{style} {own}", text) for own, text in cells)]

    def titles(self, width: int) -> StyleAndTextTuples:
        """What stands above the rows."""
        return [("", "  "), *self._cells(_TITLES, width)]

    def _row(self, console: Console) -> Row:
        name = console.name
        now = time.perf_counter()
        if self._until is None:
            self._until = now + LOOK_SECONDS
        elif name not in self._looked_at and now >= self._until:
            self._all_done = False
            self._again()
            return self._rows.get(name) or Row(name, console.state.name.lower(), "", "", "")
        if name not in self._looked_at:
            self._rows[name] = self._catalogue.row(console)
            self._looked_at.add(name)
        return self._rows[name]

    def _cells(self, row: Row, columns: int) -> list[tuple[str, str]]:
        """As many as fit, the last line of output with what is left over."""
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
    """In a column of that width, and two to the next."""
    return f"{text if len(text) <= width else text[: width - 1] + '…':<{width}}  "
