"""Lines on a screen of any size, which are drawn a part at a time.

Why in parts? prompt_toolkit draws a screen in one piece of work, and takes more than a microsecond for each cell. So
a large terminal that shows something new, after it was opened or its size has changed, gets several drawings. Each of
them shows more cells than the one before, from the top.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from prompt_toolkit.data_structures import Point
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout import UIContent, UIControl

#: How many more cells each drawing shows than the one before: as many as 24 rows of 132 columns have.
CELLS: Final = 3200


class Content(NamedTuple):
    """What there is to show.

    Attributes:
        lines: how many lines there are.
        line: returns the line of a number, from 0.
        at: the number of the line that must be on the screen.
    """

    lines: int
    line: Callable[[int], StyleAndTextTuples]
    at: int


class Lines(UIControl):
    """Shows a content, and asks only for the lines that are on the screen, however many there are.

    Args:
        content: returns the content for so many columns and rows.
        again: called when the screen is to be drawn once more, for the rest.
    """

    def __init__(self, content: Callable[[int, int], Content], again: Callable[[], object]) -> None:
        self._content = content
        self._again = again
        self._size = (0, 0)
        self._allowed = 0
        self._left = 0

    def create_content(self, width: int, height: int) -> UIContent:
        """Return what is drawn. prompt_toolkit calls this once for each drawing."""
        if self._size != (width, height):
            self._size, self._allowed = (width, height), 0
        self._allowed = min(self._allowed + max(1, CELLS // max(1, width)), height)
        # prompt_toolkit looks at the line with the cursor once more, to see how long it is.
        self._left = self._allowed + 1 if self._allowed < height else height + 1
        content = self._content(width, height)
        return UIContent(
            lambda number: self._line(content, number),
            line_count=content.lines,
            cursor_position=Point(0, content.at),
            show_cursor=False,
        )

    def _line(self, content: Content, number: int) -> StyleAndTextTuples:
        if not self._left:
            self._again()
            return []
        self._left -= 1
        return content.line(number)
