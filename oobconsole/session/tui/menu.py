"""The menu of consoles that `ssh -t HOST` without a command shows: prompt_toolkit on the user's terminal.

prompt_toolkit draws control characters as text, so that nothing in a row can act on the terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from prompt_toolkit.data_structures import Point
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys as Key
from prompt_toolkit.layout import (
    ConditionalContainer,
    Dimension,
    FormattedTextControl,
    HSplit,
    Layout,
    UIContent,
    UIControl,
    Window,
)

from oobconsole.console.console import Console
from oobconsole.session.tui.catalogue import Catalogue, Row
from oobconsole.session.tui.pace import PacedApplication
from oobconsole.session.tui.terminal import Keys, Terminal, output

_HELP: Final = "Enter attach  ^W watch  ^R replay  ^P power  Esc clear the search  ^C leave"
_NOBODY: Final = "there is no console at which you have any right; a [[grant]] of the server gives them"
_SEARCH_MAX: Final = 64
#: A terminal with fewer rows has only the search and the list; with fewer columns no people, no idle time, no state.
_ROWS_FOR_ALL: Final = 8
_COLUMNS_FOR: Final = {"people": 72, "idle": 56, "state": 32}
_COLOURS: Final = {"live": "ansigreen", "away": "ansiyellow", "gone": "ansiyellow", "fault": "ansired"}


class Action(StrEnum):
    """What can be done with a console from the menu."""

    ATTACH = "attach"
    WATCH = "watch"
    REPLAY = "replay"
    POWER = "power"


class Choice(NamedTuple):
    """What the user wants, and of which console."""

    action: Action
    console: str


@dataclass
class Place:
    """Where the user is in the menu, and comes back to: what is searched for, and the console that is marked."""

    search: str = ""
    marked: str = ""


class Menu:
    """One showing of the menu; `app.run_async` returns the choice, or None.

    Args:
        place: where it begins; it follows the user.
        note: is shown until the first key: how what was chosen before has ended.
    """

    def __init__(self, catalogue: Catalogue, keys: Keys, terminal: Terminal, place: Place, note: str) -> None:
        self._catalogue = catalogue
        self._place = place
        self._note = note
        self._at = 0
        self._page = 1
        self.app: PacedApplication[Choice | None] = PacedApplication(
            layout=self._layout(),
            key_bindings=self._bindings(),
            full_screen=True,
            input=keys,
            output=output(terminal),
        )

    def say(self, note: str) -> None:
        """Show something until the next key."""
        self._note = note
        self.app.invalidate()

    def quit(self) -> None:
        """End without a choice."""
        self._leave(None)

    def _leave(self, choice: Choice | None) -> None:
        if self.app.is_running and self.app.future is not None and not self.app.future.done():
            self.app.exit(result=choice)

    # -- keys ---------------------------------------------------------------------------------------

    def _bindings(self) -> KeyBindings:
        bindings = KeyBindings()

        def bind(keys: Sequence[str], do: Callable[[KeyPressEvent], None]) -> None:
            def pressed(event: KeyPressEvent) -> None:
                self._note = ""
                do(event)

            for key in keys:
                bindings.add(key)(pressed)

        bind(["up"], lambda _: self._move(-1))
        bind(["down"], lambda _: self._move(+1))
        bind(["pageup"], lambda _: self._move(-self._page))
        bind(["pagedown"], lambda _: self._move(+self._page))
        bind(["home"], lambda _: self._move(-sys.maxsize))
        bind(["end"], lambda _: self._move(+sys.maxsize))
        bind(["enter"], lambda _: self._choose(Action.ATTACH))
        bind(["c-w"], lambda _: self._choose(Action.WATCH))
        bind(["c-r"], lambda _: self._choose(Action.REPLAY))
        bind(["c-p"], lambda _: self._choose(Action.POWER))
        bind([Key.Any, Key.BracketedPaste], lambda event: self._look_for(self._place.search + event.data))
        bind(["backspace"], lambda _: self._look_for(self._place.search[:-1]))
        bind(["escape", "c-u"], lambda _: self._look_for(""))
        bind(["c-c", "c-d"], lambda _: self.quit())
        return bindings

    def _look_for(self, text: str) -> None:
        self._place.search = "".join(c for c in text if c.isprintable())[:_SEARCH_MAX]
        self._place.marked, self._at = "", 0

    def _move(self, by: int) -> None:
        found = self._found()
        if found:
            self._at = min(max(0, self._at + by), len(found) - 1)
            self._place.marked = found[self._at].name

    def _choose(self, action: Action) -> None:
        """Of what the user sees marked, though it may have gone from the list since; or what they will see: keys may
        come faster than they are drawn."""
        if not self._place.marked:
            self._found()
        if self._place.marked:
            self._leave(Choice(action, self._place.marked))

    # -- what is shown ------------------------------------------------------------------------------

    def _layout(self) -> Layout:
        def rows_for(rows: int) -> Condition:
            return Condition(lambda: self.app.output.get_size().rows >= rows)

        search = Window(
            FormattedTextControl(self._search_line, focusable=True),
            height=1,
            get_horizontal_scroll=lambda _: 0,  # from its beginning again when there is room again
        )
        titles = Window(FormattedTextControl(self._titles), height=1, style="bold")
        note = Window(
            FormattedTextControl(self._note_line),
            height=Dimension(min=1, max=3),
            dont_extend_height=True,
            wrap_lines=True,
        )
        keys = Window(FormattedTextControl(_HELP), height=1, style="reverse")
        return Layout(
            HSplit(
                [
                    ConditionalContainer(search, rows_for(2)),
                    ConditionalContainer(titles, rows_for(_ROWS_FOR_ALL)),
                    Window(_List(self._content)),
                    ConditionalContainer(note, rows_for(_ROWS_FOR_ALL)),
                    ConditionalContainer(keys, rows_for(_ROWS_FOR_ALL)),
                ]
            )
        )

    def _found(self) -> list[Console]:
        """The list as it is now; the mark stays on its console, or at its place when that is not in the list."""
        found = self._catalogue.find(self._place.search)
        names = [console.name for console in found]
        if self._place.marked in names:
            self._at = names.index(self._place.marked)
        self._at = max(0, min(self._at, len(names) - 1))
        self._place.marked = names[self._at] if names else ""
        return found

    def _search_line(self) -> StyleAndTextTuples:
        return [("bold", "search: "), ("", self._place.search), ("[SetCursorPosition]", "")]

    def _note_line(self) -> str:
        count = len(self._found())
        return self._note or f"{count} {'consoles' if count != 1 else 'console'}"

    def _titles(self) -> StyleAndTextTuples:
        row = Row("CONSOLE", "STATE", "OUTPUT", "ATTACHED", "LAST LINE")
        return [("", "  "), *self._cells(row, self.app.output.get_size().columns)]

    def _content(self, width: int, height: int) -> UIContent:
        found = self._found()
        self._page = max(1, height - 1)
        if not found:
            text = "nothing is found; Esc clears the search" if self._place.search else _NOBODY
            return UIContent(lambda _: [("", text)], line_count=1)
        return UIContent(
            lambda y: self._line(found[y], y == self._at, width),
            line_count=len(found),
            cursor_position=Point(0, self._at),
            show_cursor=False,
        )

    def _line(self, console: Console, is_marked: bool, width: int) -> StyleAndTextTuples:
        row = self._catalogue.row(console)
        begin, style = ("> ", "reverse") if is_marked else ("  ", "")
        return [(style, begin), *((f"{style} {own}", text) for own, text in self._cells(row, width))]

    def _cells(self, row: Row, columns: int) -> list[tuple[str, str]]:
        """As many as fit, the last line of output with what is left over."""
        name = min(max(self._catalogue.longest, len("CONSOLE")), max(8, columns // 3))
        cells = [("", _cut(row.name, name))]
        if columns >= _COLUMNS_FOR["state"]:
            cells.append((_COLOURS.get(row.state, ""), _cut(row.state, 7)))
        if columns >= _COLUMNS_FOR["idle"]:
            cells.append(("", f"{row.idle:>6}  "))
        if columns >= _COLUMNS_FOR["people"]:
            cells.append(("", _cut(row.people, 14)))
        return [*cells, ("", row.last)]


class _List(UIControl):
    """Asks only for the lines that are on the screen, however many there are."""

    def __init__(self, content: Callable[[int, int], UIContent]) -> None:
        self._content = content

    def create_content(self, width: int, height: int) -> UIContent:
        return self._content(width, height)


def _cut(text: str, width: int) -> str:
    """In a column of that width, and two to the next."""
    return f"{text if len(text) <= width else text[: width - 1] + '…':<{width}}  "
