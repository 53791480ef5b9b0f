"""What one person's terminal shows of the guest: a model of the terminal's own size, fed with what it was sent.

It may be of another size than the guest believes, and then it shows something else than the console's screen does:
what is put back there must be what was there.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from oobconsole.terminal.model import Terminal

#: Fed between two turns of the event loop, in bytes, and in sequences: one of six bytes can move every cell there is.
SLICE: Final = 256
SEQUENCES_MAX: Final = 2
#: What the model need not have seen yet, in bytes, and what it will never see: a flood's older output.
BEHIND: Final = 8192
BEHIND_MAX: Final = 65536
#: All mirrors together keep up for one second of so many; a notice makes its own mirror catch up in any case.
KEEP_UP_SHARE: Final = 10
_KEEP_UP_MAX: Final = 1.0  # seconds


class _Fixed(Terminal):
    """A terminal that does not grow when rows are addressed that it does not have."""

    def grow_to(self, row: int, column: int) -> None:
        """It is as large as it is."""


class Mirror:
    """One person's terminal.

    Args:
        rows, columns: its size.

    Attributes:
        model: true once it has caught up.
        exact: nothing that the terminal was sent has been left out.
    """

    _next_turn = 0.0  # of all mirrors, by `time.monotonic`

    def __init__(self, rows: int, columns: int) -> None:
        self.model: Terminal = _Fixed(rows, columns)
        self.exact = True
        self._waiting = bytearray()

    def sent(self, data: bytes) -> None:
        """The terminal was sent this."""
        self._waiting += data
        if len(self._waiting) > BEHIND_MAX:
            self.exact = False
            begin = len(self._waiting) - BEHIND_MAX // 2
            del self._waiting[: self._waiting.find(b"\n", begin) + 1 or begin]

    async def catch_up(self) -> float:
        """Feed the model with everything; returns how long that took, in seconds."""
        began = time.monotonic()
        while self._waiting:
            size = self._few()
            part = bytes(self._waiting[:size])
            del self._waiting[:size]
            self.model.feed(part)
            if self._waiting:
                await asyncio.sleep(0)
        return time.monotonic() - began

    def _few(self) -> int:
        """So many bytes are not much."""
        at = 0
        for _ in range(SEQUENCES_MAX):
            at = self._waiting.find(b"\x1b", at, SLICE) + 1
            if not at:
                return SLICE
        end = self._waiting.find(b"\x1b", at, SLICE)
        return SLICE if end < 0 else end

    async def keep_up(self) -> None:
        """The same, when it is time to, and others have not just done so."""
        if len(self._waiting) > BEHIND and time.monotonic() >= Mirror._next_turn:
            Mirror._next_turn = time.monotonic() + _KEEP_UP_MAX  # until this one has done so
            spent = await self.catch_up()
            Mirror._next_turn = time.monotonic() + KEEP_UP_SHARE * spent
