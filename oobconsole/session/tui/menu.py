"""The menu of consoles, which `ssh -t HOST` without a command shows: prompt_toolkit on the user's terminal.

prompt_toolkit draws control characters as text, so nothing in a row can act on the terminal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.keys import Keys as Key
from prompt_toolkit.layout import (
    ConditionalContainer,
    Dimension,
    FormattedTextControl,
    HSplit,
    Layout,
    Window,
)

from oobconsole.session.sending import SEVERAL_MAX
from oobconsole.session.tui.bindings import Bindings
from oobconsole.session.tui.catalogue import Catalogue
from oobconsole.session.tui.lines import Content, Lines
from oobconsole.session.tui.screen import ROWS_FOR_ALL, OwnScreen
from oobconsole.session.tui.table import Table
from oobconsole.session.tui.terminal import Keys, Terminal
from oobconsole.session.view import Found
from oobconsole.terminal.text import plain

_KEYS: Final = "Enter attach  ^W watch  ^R replay  ^P power  Tab mark, ^A all  ^C leave"
_KEYS_SEARCHING: Final = "Enter attach  ^W watch  ^R replay  ^P power  Tab mark  Esc clear  ^C leave"
_KEYS_MARKED: Final = "^T one text to all marked  Tab mark or not  ^A all or none  Esc clear  ^C leave"
_TOO_MANY: Final = f"at most {SEVERAL_MAX} consoles can be marked"
_NOBODY: Final = (
    "there is no console at which you have any right: a [[grant]] in the server's configuration gives rights"
)
_SEARCH_MAX: Final = 64  # how long the text to search for may be, in characters


class Action(StrEnum):
    """What can be done with a console from the menu."""

    ATTACH = "attach"
    WATCH = "watch"
    REPLAY = "replay"
    POWER = "power"
    SEND = "send"


class Choice(NamedTuple):
    """What the user wants.

    Attributes:
        action: what to do.
        console: with which console. A text (`SEND`) is for the marked consoles if any are marked.
    """

    action: Action
    console: str


@dataclass
class Place:
    """Where the user is in the menu, and where the user comes back to.

    Attributes:
        search: the text that is searched for.
        console: the name of the console at which the cursor is.
        marks: the names of the consoles that are marked.
    """

    search: str = ""
    console: str = ""
    marks: set[str] = field(default_factory=set)


class Menu(OwnScreen[Choice]):
    """One showing of the menu. `app.run_async` returns the choice, or None.

    Args:
        catalogue: the consoles of this user.
        keys: what the user types.
        terminal: the user's terminal.
        place: where the menu begins; it follows the user.
        note: what is shown until the first key: how what was chosen before has ended.
    """

    def __init__(self, catalogue: Catalogue, keys: Keys, terminal: Terminal, place: Place, note: str) -> None:
        self._catalogue = catalogue
        self._place = place
        self._at = 0
        self._list: Found | None = None
        self._table = Table(catalogue)
        super().__init__(keys, terminal, note)

    # -- keys ---------------------------------------------------------------------------------------

    def _bindings(self) -> Bindings:
        bindings = Bindings(self._pressed)
        bind = bindings.bind
        bindings.bind_moves(self._move, lambda: self._page)
        bind(["enter"], lambda _: self._choose(Action.ATTACH))
        bind(["c-w"], lambda _: self._choose(Action.WATCH))
        bind(["c-r"], lambda _: self._choose(Action.REPLAY))
        bind(["c-p"], lambda _: self._choose(Action.POWER))
        bind(["c-t"], lambda _: self._choose(Action.SEND))
        bind(["tab", "insert"], lambda _: self._mark())
        bind(["c-a"], lambda _: self._mark_all())
        bind([Key.Any, Key.BracketedPaste], lambda event: self._look_for(self._place.search + event.data))
        bind(["backspace"], lambda _: self._look_for(self._place.search[:-1]))
        bind(["escape", "c-u"], lambda _: self._look_for(""))
        bind(["c-c", "c-d"], lambda _: self.quit())
        return bindings

    def _look_for(self, text: str) -> None:
        self._place.search = plain(text.replace("\t", " "))[:_SEARCH_MAX]
        self._place.console, self._at, self._list = "", 0, None

    def _move(self, by: int) -> None:
        found = self._found()
        if found:
            self._at = min(max(0, self._at + by), len(found) - 1)
            self._place.console = found[self._at].name

    def _mark(self) -> None:
        """Mark the console at the cursor, or unmark it if it is marked, and go to the next console."""
        if not self._found():
            return
        name, marks = self._place.console, self._place.marks
        if name in marks:
            marks.remove(name)
        elif len(marks) < SEVERAL_MAX:
            marks.add(name)
        else:
            self._note = _TOO_MANY
            return
        self._move(+1)

    def _mark_all(self) -> None:
        """Mark all consoles that are found. If all of them are marked, unmark every console, found or not."""
        found, marks = self._found(), self._place.marks
        names = {console.name for console in found[: SEVERAL_MAX + 1]}
        if names <= marks:
            marks.clear()
        elif len(names | marks) <= SEVERAL_MAX:
            marks |= names
        else:
            self._note = _TOO_MANY

    def _choose(self, action: Action) -> None:
        """Leave the menu with the console at the cursor. That console counts even if it has left the list since it
        was drawn. If nothing was drawn since the last key, the console counts at which the cursor will be drawn: keys
        may come faster than drawings."""
        if not self._place.console:
            self._found()
        if self._place.console:
            self.app.leave(Choice(action, self._place.console))

    # -- what is shown ------------------------------------------------------------------------------

    def _layout(self) -> Layout:
        search = Window(
            FormattedTextControl(self._search_line, focusable=True),
            height=1,
            get_horizontal_scroll=lambda _: 0,  # shows the text from its beginning once there is room for it
        )
        titles = Window(FormattedTextControl(self._titles), height=1, style="bold")
        note = Window(
            FormattedTextControl(self._note_line),
            height=Dimension(min=1, max=3),
            dont_extend_height=True,
            wrap_lines=True,
        )
        keys = Window(FormattedTextControl(self._keys_line), height=1, style="reverse")
        return Layout(
            HSplit(
                [
                    ConditionalContainer(search, self._rows_for(2)),
                    ConditionalContainer(titles, self._rows_for(ROWS_FOR_ALL)),
                    Window(Lines(self._content, self._again)),
                    ConditionalContainer(note, self._rows_for(ROWS_FOR_ALL)),
                    ConditionalContainer(keys, self._rows_for(ROWS_FOR_ALL)),
                ]
            )
        )

    def _drawing(self) -> None:
        self._list = None
        self._catalogue.drawing()

    def _found(self) -> Found:
        """Return the list of consoles as it was drawn or searched for last. So keys between two drawings do not make
        the catalogue look at all consoles. The cursor stays at its console, or at its row if the console has left the
        list."""
        if self._list is None:
            self._list = self._catalogue.find(self._place.search)
            position = self._list.position(self._place.console)
            if position is not None:
                self._at = position
            self._at = max(0, min(self._at, len(self._list) - 1))
            self._place.console = self._list[self._at].name if self._list else ""
        return self._list

    def _search_line(self) -> StyleAndTextTuples:
        """Return the line with the search. It says how many consoles are marked, found by the search or not."""
        line: StyleAndTextTuples = [("bold", "search: "), ("", self._place.search), ("[SetCursorPosition]", "")]
        if self._place.marks:
            line.append(("bold", f"   [{len(self._place.marks)} marked]"))
        return line

    def _keys_line(self) -> str:
        return _KEYS_MARKED if self._place.marks else _KEYS_SEARCHING if self._place.search else _KEYS

    def _note_line(self) -> str:
        count = len(self._found())
        return self._note or f"{count} {'consoles' if count != 1 else 'console'}"

    def _titles(self) -> StyleAndTextTuples:
        return self._table.titles(self.app.output.get_size().columns)

    def _content(self, width: int, height: int) -> Content:
        found = self._found()
        self._page = max(1, height - 1)
        if not found:
            text = "nothing is found; Esc clears the search" if self._place.search else _NOBODY
            return Content(1, lambda _: [("", text)], 0)
        marks = self._place.marks
        return Content(
            len(found),
            lambda y: self._table.line(found[y], here=y == self._at, marks=marks, width=width),
            self._at,
        )
