"""What a console looks like now as a text screen: a terminal, fed from the kept output when somebody wants to see it.

Nothing is fed for nobody, and never much at a time: output may be made to cost far more than it shows.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from oobconsole.console.console import Console
from oobconsole.terminal.drawing import drawing
from oobconsole.terminal.model import Terminal
from oobconsole.terminal.safe import SafeFilter

#: Fed between two looks at the clock, in bytes; and between two turns of the event loop, in seconds.
SLICE: Final = 64
TURN_SECONDS: Final = 0.003
#: A few bytes can change every cell. A redraw that has taken so much processor time, in seconds, skips to the last
#: so many bytes.
PATIENCE_SECONDS: Final = 1.0
LATEST: Final = 2048
#: Fed at most for one redraw, in bytes. What came before has most probably left the screen.
BACKLOG_MAX: Final = 65536
#: A line's end is looked for in so many bytes; and whether a string was cut, in so many before.
_LINE: Final = 512
_BEFORE_MAX: Final = 1 << 20
_STEP: Final = 2048


class _Turn:
    """Gives the others their turn of the event loop, and counts the processor time that was taken."""

    def __init__(self) -> None:
        self.spent = 0.0
        self._began, self._cpu = time.monotonic(), time.thread_time()

    async def end_if_due(self) -> None:
        """Between two steps."""
        now = time.monotonic()
        if now - self._began > TURN_SECONDS:
            self.spent += time.thread_time() - self._cpu
            await asyncio.sleep(0)
            self._began, self._cpu = time.monotonic(), time.thread_time()


class TextScreen:
    """The text screen of one console.

    Args:
        console: whose output; its settings say how large its guest believes its terminal to be.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._turn = asyncio.Lock()
        self._begin(max(self._console.start, self._console.began))

    @property
    def terminal(self) -> Terminal:
        """As it was when it was drawn last."""
        return self._terminal

    def _begin(self, position: int) -> None:
        settings = self._console.settings
        self._settings = settings.rows, settings.columns
        self._terminal = Terminal(settings.rows, settings.columns)
        self._position = position
        self._guest = self._console.began

    async def redraw(self, rows: int = 0, columns: int = 0) -> tuple[int, bytes]:
        """Bring the screen up to date; returns the offset up to which it is true, and what draws it.

        Args:
            rows, columns: of the terminal to draw on; 0: as the guest's. On a smaller one, what is around the
                cursor is drawn.
        """
        async with self._turn:
            turn = _Turn()
            await self._catch_up(self._console.end, turn)
            out = []
            for part in drawing(self._terminal, rows or self._terminal.rows, columns or self._terminal.columns):
                out.append(part)
                await turn.end_if_due()
            return self._position, "".join(out).encode("utf-8", "replace")

    async def _catch_up(self, target: int, turn: _Turn) -> None:
        settings, start = self._console.settings, max(self._console.start, self._console.began)
        size_is_new = (settings.rows, settings.columns) != self._settings
        is_others = size_is_new or self._guest != self._console.began or self._position < start
        if is_others or self._position < target - BACKLOG_MAX:
            await self._begin_in_the_middle(max(start, target - BACKLOG_MAX), turn)
        patience = turn.spent + PATIENCE_SECONDS
        while self._position < target:
            if turn.spent > patience and target - self._position > LATEST:
                await self._begin_in_the_middle(target - LATEST, turn)
                patience = turn.spent + PATIENCE_SECONDS
            chunk = self._console.read_from(self._position, min(SLICE, target - self._position))
            self._position = chunk.offset + len(chunk.data)
            for now, data in self._console.divided(chunk):
                self._terminal.feed(data, now)
            await turn.end_if_due()

    async def _begin_in_the_middle(self, position: int, turn: _Turn) -> None:
        """Begin with a guest, or with a line; or behind the string of which the end is there, however long it is: not
        in it."""
        if position > max(self._console.start, self._console.began):
            line_end = self._console.read_from(position, _LINE).data.find(b"\n")
            position = position + line_end + 1 if line_end >= 0 else await self._end_of_string(position, turn)
        self._begin(position)

    async def _end_of_string(self, position: int, turn: _Turn) -> int:
        """The first offset from `position` on at which output is text, or the end of all: between two sequences."""
        before = self._console.read_from(max(self._console.start, position - _BEFORE_MAX), _BEFORE_MAX)
        at = before.offset + before.data[: position - before.offset].rfind(b"\n") + 1
        safe = SafeFilter()
        target = self._console.end
        while at < target and (at < position or not safe.at_rest):
            limit = _STEP if at + _STEP <= position else min(max(position - at, 1), target - at)
            chunk = self._console.read_from(at, limit)
            safe.feed(chunk.data)
            at = chunk.offset + len(chunk.data)
            await turn.end_if_due()
        return at
