"""How fast a guest may print: no faster than those who keep up take it.

Some lines bring a hundred times what anybody can be sent. Such a line waits for a reader that is half the scrollback
behind until that is only a quarter behind, and for a recording of which too much waits for the disk. It does not wait
for who is slow: who took nothing for `TURN_SECONDS` though others take something, or is not near after
`TURNS_MAX` of them. Who is slow loses bytes rather than delay anybody, and counts again once it has caught up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from oobconsole.console.reader import Reader

#: When nobody takes anything, most probably it is the machine that is busy.
TURN_SECONDS: Final = 1.0
#: A quarter of the scrollback in so long: at the default size, 1.4 times what a line at 115200 baud carries.
TURNS_MAX: Final = 4

Hold = Callable[[bool], object]


class Taker(Protocol):
    """Who takes what the guest prints.

    Attributes:
        keeps_up: the guest may have to wait for it.
    """

    keeps_up: bool


class Pace:
    """Of one console.

    Args:
        capacity: of the scrollback, in bytes. The line brings at most a quarter of it at a time.
    """

    __slots__ = ("_far", "_hold", "_late", "_moved", "_near", "_others_near", "_timer", "_turns")

    def __init__(self, capacity: int) -> None:
        self._far, self._near = capacity // 2, capacity // 4
        self._hold: Hold | None = None
        self._late: set[Taker] = set()
        self._moved: set[Taker] = set()  # took something in this turn
        self._others_near = False  # in one of these turns
        self._turns = 0
        self._timer: asyncio.TimerHandle | None = None

    def bind(self, hold: Hold | None) -> None:
        """Say what makes the guest wait (True) and go on; None: nothing can."""
        self._late.clear()
        self._go_on()
        self._hold = hold

    def printed(self, end: int, readers: Iterable[Reader]) -> None:
        """The guest has printed up to that offset."""
        if self._hold is not None:
            for reader in readers:
                if end - reader.position > self._far:
                    self.wait_for(reader)

    def has_read(self, end: int, reader: Reader) -> None:
        """A reader has come nearer to that offset."""
        if self._late:
            self._moved.add(reader)
        if end == reader.position:
            reader.keeps_up = True
        if end - reader.position <= self._near:
            self._others_near = True
            self.forget(reader)

    def wait_for(self, taker: Taker) -> None:
        """It is far behind."""
        if self._hold is None or not taker.keeps_up:
            return
        if not self._late:
            self._hold(True)
            self._turns = 0
            self._others_near = False
            self._begin_turn()
        self._late.add(taker)

    def forget(self, taker: Taker) -> None:
        """It is near again, or gone."""
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
