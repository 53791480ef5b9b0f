"""What one person's terminal shows of the guest: models of the terminal's own size, fed with what it was sent.

It may be of another size than the guest believes, and then it shows something else than the console's screen does:
what is put back there must be what was there.

Nobody knows which terminal it is, and terminals do not agree about everything: what DECRC brings back on the other
screen, whether a character behind the last column is still to be wrapped behind a line feed. Two that differ most are
modelled, and where they agree, it is known what the terminal shows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Final

from oobconsole.terminal.model import Terminal
from oobconsole.terminal.state import ORIGIN, WRAP, State
from oobconsole.terminal.tmux import AsTmux

#: Fed between two turns of the event loop, in bytes, and in sequences: one of six bytes can move every cell there is.
SLICE: Final = 256
SEQUENCES_MAX: Final = 2
#: What the models need not have seen yet, in bytes, and what they will never see: a flood's older output.
BEHIND: Final = 8192
BEHIND_MAX: Final = 65536
#: All mirrors together keep up for one second of so many; a notice makes its own mirror catch up in any case.
KEEP_UP_SHARE: Final = 10
_KEEP_UP_MAX: Final = 1.0  # seconds


class _Fixed(Terminal):
    """A terminal that does not grow when rows are addressed that it does not have."""

    def grow_to(self, row: int, column: int) -> None:
        """It is as large as it is."""


class _FixedTmux(AsTmux):
    """The same."""

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
        self._other: Terminal = _FixedTmux(rows, columns)
        self._waiting = bytearray()

    def sent(self, data: bytes) -> None:
        """The terminal was sent this."""
        self._waiting += data
        if len(self._waiting) > BEHIND_MAX:
            self.exact = False
            begin = len(self._waiting) - BEHIND_MAX // 2
            del self._waiting[: self._waiting.find(b"\n", begin) + 1 or begin]

    def is_sure(self, rows: Iterable[int]) -> bool:
        """Do all terminals show the same in these rows, and have their cursors at the same place and in the same
        state? And can it be gone to: with DECOM no cursor comes between other rows than the margins. Once it has
        caught up."""
        rows = {*rows, self.model.cursor.y} if self.model.cursor.wraps else rows
        mine, other = self.model, self._other
        return (
            self.exact
            and _state(mine) == _state(other)
            and (ORIGIN not in mine.modes or mine.top <= mine.cursor.y <= mine.bottom)
            and all(mine.grid.rows[y] == other.grid.rows[y] for y in rows)
        )

    async def catch_up(self) -> float:
        """Feed the models with everything; returns how long that took, in seconds."""
        began = time.monotonic()
        while self._waiting:
            size = self._few()
            part = bytes(self._waiting[:size])
            del self._waiting[:size]
            self.model.feed(part)
            await asyncio.sleep(0)
            self._other.feed(part)
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


def _state(model: State) -> object:
    """What our lines take from the terminal, and bring back."""
    modes = model.modes & {ORIGIN, WRAP}
    return model.cursor, modes, model.top, model.bottom, model.is_alternate
