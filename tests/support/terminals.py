"""Two terminals to compare with: ours, and a real one that others keep (tmux)."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

from oobconsole.terminal.drawing import drawing
from oobconsole.terminal.grid import Cell, Grid
from oobconsole.terminal.model import Terminal
from oobconsole.terminal.pen import PLAIN
from oobconsole.terminal.state import State
from tests.support.tmux import Tmux


def printed(data: bytes, rows: int = 24, columns: int = 80) -> Terminal:
    """Return a terminal to which these bytes were printed."""
    terminal = Terminal(rows, columns)
    terminal.feed(data)
    return terminal


def drawn(state: State, rows: int = 0, columns: int = 0) -> bytes:
    """Return the bytes that draw a state on a terminal of this size."""
    return "".join(drawing(state, rows or state.rows, columns or state.columns)).encode()


def state_of(terminal: Terminal) -> dict[str, object]:
    """Return everything that is seen of a terminal, and everything that later output depends on."""
    return {
        "rows": _seen(terminal.grid),
        "main": _seen(terminal.main.grid),
        "alternate": terminal.is_alternate,
        "cursor": terminal.cursor,
        "saved": terminal.shown.saved,
        "saved on the main screen": terminal.main.saved,
        "margins": (terminal.top, terminal.bottom),
        "modes": terminal.modes,
        "style": terminal.cursor_style,
        "tabs": {stop for stop in terminal.tabs if stop < terminal.columns},
    }


def _seen(grid: Grid) -> list[list[Cell]]:
    """Return the cells of a screen. The pen of a blank counts if it can be seen."""
    return [
        [(text, pen if text != " " or pen.is_seen_on_blanks else PLAIN) for text, pen in row] for row in grid.rows
    ]


@dataclass(frozen=True)
class Real:
    """What a real terminal shows.

    Attributes:
        lines: its rows, without the blanks at their ends.
        cells: the same with attributes.
        modes: its modes.
    """

    lines: list[str]
    cells: list[str]
    modes: dict[str, str]


def on_tmux(data: bytes, rows: int = 24, columns: int = 80) -> Real:
    """Return what tmux makes of these bytes. A title behind them shows that tmux has understood all of them."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data + b"\x18\x1b]2;all\x1b\\")
        file.flush()
        with Tmux(["sh", "-c", f"cat {file.name}; exec cat"], rows=rows, columns=columns) as tmux:
            tmux.wait(lambda shown: shown._tmux("display-message", "-p", "#{pane_title}").strip() == "all")
            return Real(tmux.lines, [line.rstrip() for line in tmux.cells], tmux.modes())
