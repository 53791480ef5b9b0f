"""What our own screens have in common: the menu, and the answers of several consoles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, Generic, TypeVar

from prompt_toolkit.filters import Condition
from prompt_toolkit.layout import Layout

from oobconsole.session.tui.bindings import Bindings
from oobconsole.session.tui.pace import PacedApplication
from oobconsole.session.tui.terminal import Keys, Terminal, output
from oobconsole.session.tui.widths import use_our_widths

use_our_widths()
#: A terminal with fewer rows has only the first line of a screen, and its list.
ROWS_FOR_ALL: Final = 8
Result = TypeVar("Result")


class OwnScreen(ABC, Generic[Result]):
    """One showing of a screen; `app.run_async` returns the result, or None when the user leaves without one.

    A subclass first sets what its layout and its bindings need, and then calls this constructor.

    Args:
        keys: what the user types.
        terminal: where the screen is drawn.
        note: text that is shown until the first key.
    """

    def __init__(self, keys: Keys, terminal: Terminal, note: str = "") -> None:
        self._note = note
        self._page = 1  # lines of the list that are on the screen
        self.app: PacedApplication[Result | None] = PacedApplication(
            drawing=self._drawing,
            layout=self._layout(),
            key_bindings=self._bindings(),
            full_screen=True,
            input=keys,
            output=output(terminal),
        )

    def say(self, note: str) -> None:
        """Show `note` until the next key."""
        self._note = note
        self.app.invalidate()

    def quit(self) -> None:
        """Leave the screen without a result."""
        self.app.leave(None)

    @abstractmethod
    def _layout(self) -> Layout:
        """Return what is where on the screen."""

    @abstractmethod
    def _bindings(self) -> Bindings:
        """Return what each key does."""

    def _drawing(self) -> None:
        """The screen is about to be drawn."""

    def _again(self) -> None:
        """A part of the screen is to be drawn once more."""
        self.app.invalidate()

    def _pressed(self) -> None:
        """A key was pressed, so what was noted has been read."""
        self._note = ""

    def _rows_for(self, rows: int) -> Condition:
        """A part of the screen is there only if the terminal has so many rows."""
        return Condition(lambda: self.app.output.get_size().rows >= rows)
