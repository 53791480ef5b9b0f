"""What a console's guest printed last, as plain text.

The guest decides what that costs: control sequences of which nothing can be made take microseconds for each byte. So
it is read in slices, and everybody else has a turn between two.
"""

from __future__ import annotations

from typing import Final

from oobconsole.console.console import Console
from oobconsole.session.safe import next_slice
from oobconsole.terminal.plain import PlainLines
from oobconsole.terminal.text import plain

#: So many bytes are read in one slice: the most hostile take some milliseconds.
SLICE: Final = 1024
#: What is looked at for a last line, in bytes; more when there is no text in it, but colours, or blanks.
_LAST_SEEN: Final = (1024, 8192)
#: So much of it is shown, in characters.
_LAST_SHOWN: Final = 120


async def text_from(console: Console, offset: int, end: int | None = None) -> str:
    """Everything from that offset on, or up to another, as lines of plain text: nothing of a string that it cuts."""
    printed = console.read_from(offset, (console.end if end is None else end) - offset)
    pieces, lines = console.divided(printed), PlainLines()
    before, then = console.before(printed.offset), console.clock(printed.offset - 1)
    await next_slice()
    lines.resume(before, then)
    return "".join([await read(lines, data, now) for now, data in pieces])


async def read(lines: PlainLines, data: bytes, now: float) -> str:
    """The text of what was printed at `now`, in slices."""
    text = ""
    for at in range(0, len(data), SLICE):
        await next_slice()
        text += lines.feed(data[at : at + SLICE], now)
    return text


async def last_line(console: Console) -> str:
    """The last line that is not empty, as plain text."""
    for size in _LAST_SEEN:
        for line in reversed((await text_from(console, max(console.start, console.end - size))).split("\n")):
            if shown := plain(line).strip():
                return shown[:_LAST_SHOWN]
        if console.end - console.start <= size:
            break
    return ""


class LastLine:
    """The last line of one console, kept: it is read again only when the guest has printed more."""

    __slots__ = ("_console", "_end", "_text")

    def __init__(self, console: Console) -> None:
        self._console = console
        self._end = -1  # of the output that was read; -1: nothing was read yet
        self._text = ""

    @property
    def known(self) -> str | None:
        """What was read last, though the guest may have printed more since; None: nobody has looked."""
        return None if self._end < 0 else self._text

    @property
    def is_old(self) -> bool:
        """Has the guest printed something since it was read, or was it never read?"""
        return self._end != self._console.end

    async def look(self) -> str:
        """Return the last line that the guest has printed until now."""
        if self.is_old:
            end = self._console.end  # what comes meanwhile is for the next look
            text = await last_line(self._console)
            self._end, self._text = end, text
        return self._text
