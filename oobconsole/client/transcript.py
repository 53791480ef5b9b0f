"""What a console has printed, as patterns see it. Nothing here reads or writes anything: output comes in by calls.

Patterns see words, not a terminal's sequences: a prompt is found whatever colours its shell closes behind it. What is
left out is decided by `oobconsole.terminal.plain`, as for the server's verb `wait`, so both see the same text.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from oobconsole.terminal.model import Terminal
from oobconsole.terminal.plain import PlainText
from oobconsole.terminal.state import COLUMNS_MAX

#: What is kept of the output, in characters; a pattern is looked for in it.
TRANSCRIPT_MAX: Final = 1 << 20
#: What is kept of it as it came, in bytes: enough to draw a screen.
RAW_MAX: Final = 1 << 16
#: How many of these bytes are drawn to know the row in which the cursor is.
_ROW_MAX: Final = 4096


class Transcript:
    """The last output. The position of a character stays what it is while older output is forgotten.

    Args:
        clock: gives the time in seconds; it never goes back.

    Attributes:
        start: the position of the first character that is kept.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.start = 0
        self._clock = clock
        self._plain = PlainText()
        self._text = ""
        self._pieces: list[str] = []
        self._length = 0  # of text and pieces
        self._raw = b""

    @property
    def end(self) -> int:
        """The position behind the last character."""
        return self.start + self._length

    @property
    def text(self) -> str:
        """What is kept of the output, at most a mebibyte of characters."""
        if self._pieces:
            whole = "".join((self._text, *self._pieces))
            self._pieces.clear()
            self._text = whole[-TRANSCRIPT_MAX:]
            self.start += len(whole) - len(self._text)
            self._length = len(self._text)
        return self._text

    @property
    def raw(self) -> bytes:
        """The last 64 KiB as they came, with a terminal's sequences."""
        return self._raw[-RAW_MAX:]

    @property
    def before_cursor(self) -> str:
        """The text that stands in the cursor's row before the cursor. Some shells print something at the right of
        their prompt, and go back."""
        terminal = Terminal(2, COLUMNS_MAX)
        terminal.feed(self._raw[-_ROW_MAX:])
        cursor = terminal.cursor
        return "".join(text for text, _ in terminal.grid.rows[cursor.y][: cursor.x])

    def feed(self, data: bytes) -> None:
        """Add output that has come, in whatever pieces. A character or sequence whose end has not come is held
        back."""
        self._raw = (self._raw if len(self._raw) <= 2 * RAW_MAX else self.raw) + data[-RAW_MAX:]
        self.note(self._plain.feed(data, self._clock()))

    def note(self, text: str) -> None:
        """Add a text that is ours, and no output of the guest's."""
        if text:
            self._pieces.append(text)
            self._length += len(text)
            if self._length > 2 * TRANSCRIPT_MAX:
                _ = self.text  # forgets what is too old
