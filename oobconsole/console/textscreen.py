"""What does a console look like now? A model of a terminal is fed from the kept output when somebody wants to see it.

While nobody wants to see the screen, nothing is fed. And little is fed at a time, because a guest can print output
that costs far more time than it shows.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from oobconsole.console.console import Console
from oobconsole.terminal.drawing import drawing
from oobconsole.terminal.model import Terminal
from oobconsole.terminal.safe import SafeFilter

#: How much is fed between two looks at the clock, in bytes, and how long between two turns of the event loop.
SLICE: Final = 64
TURN_SECONDS: Final = 0.003
#: A few bytes can change every cell. So a redraw that has taken `PATIENCE_SECONDS` of processor time skips everything
#: but the last `LATEST` bytes.
PATIENCE_SECONDS: Final = 1.0
LATEST: Final = 2048
#: How much is fed for one redraw at most, in bytes. Older output has most probably left the screen.
BACKLOG_MAX: Final = 65536
#: In so many bytes the end of a line is searched, and in so many bytes before them the beginning of a string.
_LINE: Final = 512
_BEFORE_MAX: Final = 1 << 20
_STEP: Final = 2048


class _Turn:
    """Gives other tasks their turn of the event loop, and counts the processor time between such turns."""

    def __init__(self) -> None:
        self.spent = 0.0
        self._began, self._cpu = time.monotonic(), time.thread_time()

    async def end_if_due(self) -> None:
        """Give other tasks their turn if `TURN_SECONDS` have passed. To be called between two small steps of work."""
        now = time.monotonic()
        if now - self._began > TURN_SECONDS:
            self.spent += time.thread_time() - self._cpu
            await asyncio.sleep(0)
            self._began, self._cpu = time.monotonic(), time.thread_time()


class TextScreen:
    """The text screen of one console.

    Args:
        console: the console whose output is drawn. Its settings say how large its guest believes its terminal to be.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._turn = asyncio.Lock()
        self._begin(max(self._console.start, self._console.began))

    @property
    def terminal(self) -> Terminal:
        """The model of the terminal, as it was when it was drawn last."""
        return self._terminal

    def _begin(self, position: int) -> None:
        settings = self._console.settings
        self._settings = settings.rows, settings.columns
        self._terminal = Terminal(settings.rows, settings.columns)
        self._position = position
        self._guest = self._console.began

    async def redraw(self, rows: int = 0, columns: int = 0) -> tuple[int, bytes]:
        """Bring the screen up to date. Returns the offset up to which it shows the output, and the bytes that draw
        it.

        Args:
            rows: of the terminal on which the screen will be drawn; 0: as many as the guest's terminal has. On a
                smaller terminal the part around the cursor is drawn.
            columns: the same for columns.
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
        """Begin with an empty screen at about that offset. The output before it is not known to the screen, so it
        begins where that does no harm: with the guest's first byte, with a line, or after the end of a string."""
        if position > max(self._console.start, self._console.began):
            line_end = self._console.read_from(position, _LINE).data.find(b"\n")
            position = position + line_end + 1 if line_end >= 0 else await self._end_of_string(position, turn)
        self._begin(position)

    async def _end_of_string(self, position: int, turn: _Turn) -> int:
        """Return the first offset from `position` on that lies between two sequences, or the end of the output."""
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
