"""Makes of a guest's output the text in which patterns are looked for: characters, without colours and controls."""

from __future__ import annotations

import re
from typing import Final

from oobconsole.terminal.safe import SafeFilter

_COLOURS: Final = re.compile(rb"\x1b\[[\d;:]*m")
#: How a line ends: by a line feed, and where a progress bar goes back to the line's beginning.
_LINE_ENDS: Final = re.compile(r"\r*\n|\r+")


class PlainText:
    """Decodes output that comes in any pieces. Bytes that are not UTF-8 become U+FFFD, which is a character, too."""

    def __init__(self) -> None:
        self._filter = SafeFilter(strict=True)

    def resume(self, before: bytes, now: float = 0.0) -> None:
        """Begin in the middle of output, behind `before`, which came at `now`."""
        self._filter.resume(before, now)

    def feed(self, data: bytes, now: float = 0.0) -> str:
        """The text of `data`, and of what was held back before; its line ends as the guest printed them.

        Args:
            now: when the data came, in seconds of any clock: see `SafeFilter.feed`.
        """
        return _COLOURS.sub(b"", self._filter.feed(data, now)).decode(errors="replace")


class PlainLines:
    """`PlainText` whose lines end with a line feed, whatever ended them."""

    def __init__(self) -> None:
        self._text = PlainText()
        self._returned = False  # the last character was a carriage return: a line feed behind it ends the same line

    def resume(self, before: bytes, now: float = 0.0) -> None:
        """Begin in the middle of output, behind `before`, which came at `now`."""
        self._text.resume(before, now)

    def feed(self, data: bytes, now: float = 0.0) -> str:
        """The text of `data`, which came at `now`, and of what was held back before."""
        text = self._text.feed(data, now)
        if not text:
            return ""
        if self._returned:
            rest = text.lstrip("\r")
            text = rest[1:] if rest.startswith("\n") else rest
            self._returned = not rest
        self._returned = self._returned or text.endswith("\r")
        return _LINE_ENDS.sub("\n", text)
