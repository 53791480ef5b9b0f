"""How fast may a guest print? As fast as the readers take its output, except for slow readers.

Some lines bring a hundred times as much as anybody can be sent. If a reader is half the scrollback behind, such a
line waits until the reader is only a quarter behind. It also waits for a recording when too much of it waits for the
disk.

The line does not wait for a slow reader. A reader is slow if it has taken nothing for `TURN_SECONDS` while others
have taken something, or if it is not near the end after `TURNS_MAX` such turns. A slow reader loses bytes instead of
delaying others. Once it has caught up, the line waits for it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from oobconsole.console.reader import Reader

#: How long a turn is. If nobody takes anything in a turn, most probably the machine is busy, and nobody counts as
#: slow.
TURN_SECONDS: Final = 1.0
#: A reader must take a quarter of the scrollback in so many turns. At the default size that is 1.4 times what a line
#: at 115200 baud carries.
TURNS_MAX: Final = 4

Hold = Callable[[bool], object]


class Taker(Protocol):
    """A reader or a recording that takes the guest's output.

    Attributes:
        keeps_up: the taker is not slow, so the guest may have to wait for it.
    """

    keeps_up: bool


class Pace:
    """Decides for one console whether its guest must wait.

    Args:
        capacity: the size of the scrollback, in bytes. The line brings at most a quarter of that at a time.
    """

    __slots__ = ("_far", "_hold", "_late", "_moved", "_near", "_others_near", "_timer", "_turns")

    def __init__(self, capacity: int) -> None:
        self._far, self._near = capacity // 2, capacity // 4
        self._hold: Hold | None = None
        self._late: set[Taker] = set()
        self._moved: set[Taker] = set()  # the takers that have taken something in this turn
        self._others_near = False  # some reader has come near the end in one of these turns
        self._turns = 0
        self._timer: asyncio.TimerHandle | None = None

    def bind(self, hold: Hold | None) -> None:
        """Say what makes the guest wait (called with True) and go on (False). None: the guest cannot wait."""
        self._late.clear()
        self._go_on()
        self._hold = hold

    def printed(self, end: int, readers: Iterable[Reader]) -> None:
        """The guest has printed up to the offset `end`. Waits for readers that are too far behind."""
        if self._hold is not None:
            for reader in readers:
                if end - reader.position > self._far:
                    self.wait_for(reader)

    def has_read(self, end: int, reader: Reader) -> None:
        """A reader has read on. `end` is the offset of the next byte of output."""
        if self._late:
            self._moved.add(reader)
        if end == reader.position:
            reader.keeps_up = True
        if end - reader.position <= self._near:
            self._others_near = True
            self.forget(reader)

    def wait_for(self, taker: Taker) -> None:
        """Make the guest wait for this taker, which is far behind, unless the taker is slow."""
        if self._hold is None or not taker.keeps_up:
            return
        if not self._late:
            self._hold(True)
            self._turns = 0
            self._others_near = False
            self._begin_turn()
        self._late.add(taker)

    def forget(self, taker: Taker) -> None:
        """Wait no longer for this taker: it is near the end again, or gone."""
        if taker in self._late:
            self._late.remove(taker)
            self._go_on()

    def _begin_turn(self) -> None:
        self._moved.clear()
        self._turns += 1
        self._timer = asyncio.get_running_loop().call_later(TURN_SECONDS, self._end_turn)

    def _end_turn(self) -> None:
        if self._turns >= TURNS_MAX:
            self._give_up(self._late)
        elif self._moved or self._others_near:
            self._give_up(self._late - self._moved)
        if self._late:
            self._begin_turn()
        else:
            self._go_on()

    def _give_up(self, slow: set[Taker]) -> None:
        for taker in slow:
            taker.keeps_up = False
        self._late = self._late - slow

    def _go_on(self) -> None:
        if not self._late and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._moved.clear()
            if self._hold is not None:
                self._hold(False)
