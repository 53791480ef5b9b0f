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
#: All mirrors together catch up for one second of so many, while guests print. A notice that somebody has asked for,
#: or that comes when the guest is silent, makes its own mirror catch up in any case.
KEEP_UP_SHARE: Final = 10
_KEEP_UP_MAX: Final = 1.0  # seconds


class _Fixed(Terminal):
    """A terminal that does not grow when rows are addressed that it does not have."""

    def grow_to(self, row: int, column: int) -> None:
        """Do nothing: the user's terminal has a fixed size."""


class _FixedTmux(AsTmux):
    """tmux, with a screen that keeps its size."""

    def grow_to(self, row: int, column: int) -> None:
        """Do nothing: the user's terminal has a fixed size."""


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
        """`data` was sent to the terminal."""
        if len(self._waiting) + len(data) <= BEHIND_MAX:
            self._waiting += data
            return
        self.exact = False
        kept = BEHIND_MAX // 2
        kept_before = max(0, kept - len(data))
        latest = self._waiting[len(self._waiting) - kept_before :] + data[-kept:]
        self._waiting = latest[latest.find(b"\n") + 1 :]

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

    @property
    def next_turn(self) -> float:
        """When it may catch up, by `time.monotonic`: at once, unless it has missed much and others have just done so.
        With a hundred watchers of a flood each had its turn in a tenth of the time, which was all of it."""
        return Mirror._next_turn if len(self._waiting) > BEHIND else 0.0

    async def catch_up(self) -> float:
        """Feed the models with everything; returns how long that took, in seconds."""
        began, is_much = time.monotonic(), len(self._waiting) > BEHIND
        while self._waiting:
            size = self._few()
            part = bytes(self._waiting[:size])
            del self._waiting[:size]
            self.model.feed(part)
            await asyncio.sleep(0)
            self._other.feed(part)
            if self._waiting:
                await asyncio.sleep(0)
        spent = time.monotonic() - began
        if is_much:
            Mirror._next_turn = began + spent + KEEP_UP_SHARE * spent
        return spent

    def _few(self) -> int:
        """Return how many of the waiting bytes may be fed at a time: a slice, but with few escape sequences in it."""
        at = 0
        for _ in range(SEQUENCES_MAX):
            at = self._waiting.find(b"\x1b", at, SLICE) + 1
            if not at:
                return SLICE
        end = self._waiting.find(b"\x1b", at, SLICE)
        return SLICE if end < 0 else end

    async def keep_up(self) -> None:
        """The same, when it is time to, and others have not just done so. A mirror that has missed something never
        is exact again, and can as well wait until somebody wants to see it."""
        if self.exact and len(self._waiting) > BEHIND and time.monotonic() >= Mirror._next_turn:
            Mirror._next_turn = time.monotonic() + _KEEP_UP_MAX  # until this one has done so
            await self.catch_up()


def _state(model: State) -> object:
    """What our lines take from the terminal, and bring back."""
    modes = model.modes & {ORIGIN, WRAP}
    return model.cursor, modes, model.top, model.bottom, model.is_alternate
