"""What several consoles have answered, line by line, on a screen that scrolls: prompt_toolkit on the user's terminal.

prompt_toolkit draws control characters as text, so nothing in a line can act on the terminal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.keys import Keys as Key
from prompt_toolkit.layout import ConditionalContainer, FormattedTextControl, HSplit, Layout, Window

from oobconsole.session.tui.bindings import Bindings
from oobconsole.session.tui.lines import Content, Lines
from oobconsole.session.tui.screen import ROWS_FOR_ALL, OwnScreen
from oobconsole.session.tui.terminal import Keys, Terminal
from oobconsole.terminal.text import plain

#: How many lines are kept. The oldest are dropped, and the screen says how many.
LINES_MAX: Final = 10_000
_ASIDE: Final = 20  # by how many columns Left and Right move the text
_HELP: Final = "Up Down PgUp PgDn Home End Left Right look around"


class Transcript:
    """The lines so far, and how it goes.

    Args:
        changed: called when there is something new to draw.

    Attributes:
        lines: the lines that are kept, as plain text.
        forgotten: how many older lines were dropped.
        state: how it goes, in words.
        ended: whether nothing more will come.
    """

    def __init__(self, changed: Callable[[], object]) -> None:
        self.lines: deque[str] = deque(maxlen=LINES_MAX)
        self.forgotten = 0
        self.state = ""
        self.ended = False
        self._changed = changed

    def add(self, text: str) -> None:
        """Add a line. Anybody may have written it, so everything that would act on a terminal is taken out."""
        self.forgotten += len(self.lines) == LINES_MAX
        self.lines.append(plain(text.expandtabs()))
        self._changed()

    def end(self, state: str) -> None:
        """Nothing more will come. `state` says how it ended, in words."""
        self.state, self.ended = state, True
        self._changed()


class Answers(OwnScreen[None]):
    """One screen that shows the answers. It follows the newest line until the user moves to older lines.

    Args:
        transcript: the answers.
        stop: called when the user wants it to end before all consoles have answered.
        keys: what the user types.
        terminal: the user's terminal.
    """

    def __init__(self, transcript: Transcript, stop: Callable[[], object], keys: Keys, terminal: Terminal) -> None:
        self._transcript = transcript
        self._stop = stop
        self._at: int | None = None  # the line at the cursor, counted from the very first; None: the newest
        self._aside = 0
        super().__init__(keys, terminal)

    # -- keys ---------------------------------------------------------------------------------------

    def _bindings(self) -> Bindings:
        bindings = Bindings(self._pressed)
        bindings.bind_moves(self._move, lambda: self._page)
        bindings.bind(["left"], lambda _: self._look_aside(-_ASIDE))
        bindings.bind(["right"], lambda _: self._look_aside(+_ASIDE))
        bindings.bind(["enter", "escape", "q"], lambda _: self._back())
        bindings.bind(["c-c", "c-d"], lambda _: self._interrupt())
        bindings.bind([Key.Any, Key.BracketedPaste], lambda _: None)
        return bindings

    def _move(self, by: int) -> None:
        first, last = self._ends()
        at = max(first, min((last if self._at is None else self._at) + by, last))
        self._at = None if at == last else at

    def _look_aside(self, by: int) -> None:
        longest = max(map(len, self._transcript.lines), default=0)
        self._aside = max(0, min(self._aside + by, longest - 1))

    def _back(self) -> None:
        if self._transcript.ended:
            self.quit()

    def _interrupt(self) -> None:
        if self._transcript.ended:
            self.quit()
        else:
            self._stop()

    # -- what is shown ------------------------------------------------------------------------------

    def _ends(self) -> tuple[int, int]:
        """Return the numbers of the first line that is kept, and of the last line."""
        first = self._transcript.forgotten
        return first, max(first, first + len(self._transcript.lines) - 1)

    def _layout(self) -> Layout:
        state = Window(FormattedTextControl(self._state, show_cursor=False), height=1, style="bold")
        keys = Window(FormattedTextControl(self._help), height=1, style="reverse")
        body = Window(Lines(self._content, self._again))
        return Layout(
            HSplit(
                [
                    ConditionalContainer(state, self._rows_for(2)),
                    body,
                    ConditionalContainer(keys, self._rows_for(ROWS_FOR_ALL)),
                ]
            )
        )

    def _state(self) -> str:
        return self._transcript.state

    def _help(self) -> str:
        return self._note or f"{_HELP}  " + ("Enter goes back" if self._transcript.ended else "^C stops")

    def _content(self, width: int, height: int) -> Content:
        self._page = max(1, height - 1)
        first, last = self._ends()
        at = last if self._at is None else max(first, min(self._at, last))
        lines = self._transcript.lines
        if self._transcript.forgotten:
            head = f"… ({self._transcript.forgotten} lines before are not kept)"
            return Content(len(lines), lambda y: self._line(head if not y else lines[y], y == at - first), at - first)
        if not lines:
            return Content(1, lambda _: [], 0)
        return Content(len(lines), lambda y: self._line(lines[y], y == at - first), at - first)

    def _line(self, text: str, here: bool) -> StyleAndTextTuples:
        style = "reverse" if here and self._at is not None else ""
        return [(style, text[self._aside : self._aside + 1000])]
