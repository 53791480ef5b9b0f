"""What a console's guest has printed last, as plain text.

The guest decides what that costs, because control sequences from which no text can be made take microseconds for each
byte. So output is read in slices, and others have a turn of the event loop between two slices.
"""

from __future__ import annotations

from typing import Final

from oobconsole.console.console import Console
from oobconsole.session.safe import next_slice
from oobconsole.terminal.plain import PlainLines
from oobconsole.terminal.text import plain

#: How many bytes are read in one slice. The most hostile bytes of that number take some milliseconds.
SLICE: Final = 1024
#: How many bytes are looked at for a last line: first the smaller number, then the larger one if there was no text
#: but only colours or blanks.
_LAST_SEEN: Final = (1024, 8192)
#: How many characters of a last line are shown.
_LAST_SHOWN: Final = 120


async def text_from(console: Console, offset: int, end: int | None = None) -> str:
    """Return the output from `offset` up to `end`, or to the end of the output, as plain text. If the offset is
    within a string (such as a title), the rest of that string is left out."""
    printed = console.read_from(offset, (console.end if end is None else end) - offset)
    pieces, lines = console.divided(printed), PlainLines()
    before, then = console.before(printed.offset), console.clock(printed.offset - 1)
    await next_slice()
    lines.resume(before, then)
    return "".join([await read(lines, data, now) for now, data in pieces])


async def read(lines: PlainLines, data: bytes, now: float) -> str:
    """Return the text of output that was printed at `now` (by the clock of the console), and read it in slices."""
    text = ""
    for at in range(0, len(data), SLICE):
        await next_slice()
        text += lines.feed(data[at : at + SLICE], now)
    return text


async def last_line(console: Console) -> str:
    """Return the last line that is not empty, as plain text; empty: there is none."""
    for size in _LAST_SEEN:
        for line in reversed((await text_from(console, max(console.start, console.end - size))).split("\n")):
            if shown := plain(line).strip():
                return shown[:_LAST_SHOWN]
        if console.end - console.start <= size:
            break
    return ""


class LastLine:
    """The last line of one console. It is kept, and read again only after the guest has printed more."""

    __slots__ = ("_console", "_end", "_text")

    def __init__(self, console: Console) -> None:
        self._console = console
        self._end = -1  # up to which offset the output was read; -1: nothing was read yet
        self._text = ""

    @property
    def known(self) -> str | None:
        """The last line when somebody looked last, even if the guest has printed more since; None: nobody has
        looked."""
        return None if self._end < 0 else self._text

    @property
    def is_old(self) -> bool:
        """Whether the guest has printed something since the last look, or nobody has looked yet."""
        return self._end != self._console.end

    async def look(self) -> str:
        """Return the last line that the guest has printed until now."""
        if self.is_old:
            end = self._console.end  # what is printed meanwhile is for the next look
            text = await last_line(self._console)
            self._end, self._text = end, text
        return self._text
