"""What one person's terminal shows of the guest: models of that terminal, which are fed with what was sent to it.

Why not the console's screen? The terminal may be of another size than the guest believes, and then it shows something
else. What we put back on the terminal must be what was there.

Why two models? Nobody knows which terminal it is, and terminals do not agree about everything. Examples: what DECRC
brings back on the alternate screen; whether a character behind the last column is still to be wrapped after a line
feed. The two kinds of terminals that differ most are modelled. Where both models agree, it is known what the terminal
shows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Final

from oobconsole.terminal.model import Terminal
from oobconsole.terminal.state import ORIGIN, WRAP, State
from oobconsole.terminal.tmux import AsTmux

#: How much is fed to a model before others have a turn of the event loop, in bytes and in control sequences. A
#: sequence of six bytes can move every cell of the screen.
SLICE: Final = 256
SEQUENCES_MAX: Final = 2
#: How many bytes the models may be behind; and how many bytes may wait for them. Beyond that, a flood's older output
#: is left out for ever.
BEHIND: Final = 8192
BEHIND_MAX: Final = 65536
#: All mirrors together catch up for one second in this many, while guests print. A notice that somebody has asked
#: for, or that comes while the guest is silent, makes the mirror of its own terminal catch up in any case.
KEEP_UP_SHARE: Final = 10
_KEEP_UP_MAX: Final = 1.0  # seconds


class _Fixed(Terminal):
    """A terminal that keeps its size. The console's model grows when the guest addresses rows that it does not
    have."""

    def grow_to(self, row: int, column: int) -> None:
        """Do nothing: the user's terminal has a fixed size."""


class _FixedTmux(AsTmux):
    """tmux as a terminal that keeps its size."""

    def grow_to(self, row: int, column: int) -> None:
        """Do nothing: the user's terminal has a fixed size."""


class Mirror:
    """One person's terminal, as far as we know it.

    Args:
        rows, columns: the terminal's size.

    Attributes:
        model: what the terminal shows, once the mirror has caught up.
    """

    _next_turn = 0.0  # when the next mirror may catch up, for all mirrors together, by `time.monotonic`

    def __init__(self, rows: int, columns: int) -> None:
        self.model: Terminal = _Fixed(rows, columns)
        self._whole = True  # nothing that was sent has been left out
        self._other: Terminal = _FixedTmux(rows, columns)
        self._waiting = bytearray()

    def sent(self, data: bytes) -> None:
        """Note that `data` was sent to the terminal. The models are fed with it later (`catch_up`)."""
        if len(self._waiting) + len(data) <= BEHIND_MAX:
            self._waiting += data
            return
        self._whole = False
        kept = BEHIND_MAX // 2
        kept_before = max(0, kept - len(data))
        latest = self._waiting[len(self._waiting) - kept_before :] + data[-kept:]
        self._waiting = latest[latest.find(b"\n") + 1 :]

    @property
    def exact(self) -> bool:
        """Whether the models were fed with everything that was sent to the terminal, and understood all of it. Where
        nothing is filtered (`filter = false`), a guest may use sequences that the models do not know: rectangles, or
        left and right margins, for example. A mirror that is not exact will never be exact again."""
        return self._whole and self.model.is_known

    def is_sure(self, rows: Iterable[int]) -> bool:
        """Return whether it is known what these rows show, and where the cursor is and in which state. That is so if
        both models agree, and if the cursor's place can be reached: with DECOM no cursor can go to rows outside the
        margins. The mirror must have caught up."""
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
        """When this mirror may catch up, by `time.monotonic`. That is at once, unless it is far behind and other
        mirrors have just caught up. Why? With a hundred watchers of a flood, each mirror took a tenth of the time,
        which was all of it."""
        return Mirror._next_turn if len(self._waiting) > BEHIND else 0.0

    async def catch_up(self) -> float:
        """Feed the models with everything that waits. Returns how long that took, in seconds."""
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

    @property
    def is_due(self) -> bool:
        """Whether `keep_up` has something to do now."""
        return self.exact and len(self._waiting) > BEHIND and time.monotonic() >= Mirror._next_turn

    async def keep_up(self) -> None:
        """Catch up if this mirror is far behind and it is its turn. A mirror that has left something out will never
        be exact again, so it can wait until somebody wants to see something."""
        if self.is_due:
            Mirror._next_turn = time.monotonic() + _KEEP_UP_MAX  # no other mirror begins before this one is done
            await self.catch_up()


def _state(model: State) -> object:
    """Return the part of the state that our lines change on the terminal and have to bring back."""
    modes = model.modes & {ORIGIN, WRAP}
    return model.cursor, modes, model.top, model.bottom, model.is_alternate
