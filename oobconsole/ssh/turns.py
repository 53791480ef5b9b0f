"""Who may handle its input next: each connection a little, one after the other, and nobody the event loop.

A console's echo passes through the same loop as whatever a stranger sends. So what came is not handled when it comes,
but in turns, each bounded in time; whoever has logged in goes first.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

#: How much of each turn of the loop may go to connections that have logged in, and to those that have not, in
#: seconds. Reached only while somebody floods; the last one's own turn (`transport.TURN_SECONDS`) comes on top.
KNOWN_SECONDS: Final = 0.006
STRANGERS_SECONDS: Final = 0.002
#: Strangers that are served in each turn of the loop. A packet of theirs may begin a task, which costs time later.
STRANGERS_MAX: Final = 4


class Taker(Protocol):
    """A connection whose input waits to be handled."""

    @property
    def is_known(self) -> bool:
        """Whether its client has logged in."""

    def take_turn(self) -> bool:
        """Handle a little of the input. Returns whether there is more that could be handled now."""


class Turns:
    """Gives them. One for all connections of a server.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._known: deque[Taker] = deque()
        self._strangers: deque[Taker] = deque()
        self._waiting: set[Taker] = set()
        self._handle: asyncio.Handle | None = None
        self._has_room = True

    def set_room(self, room: bool) -> None:
        """Can what is handled go anywhere? While it cannot, nobody has a turn, and soon nothing more is read."""
        self._has_room = room
        if room and self._waiting:
            self._turn_soon()

    def ask(self, taker: Taker) -> None:
        """It has input. Whoever waits already goes on waiting at the same place."""
        if taker not in self._waiting:
            self._put(taker)

    def _put(self, taker: Taker) -> None:
        self._waiting.add(taker)
        (self._known if taker.is_known else self._strangers).append(taker)
        self._turn_soon()

    def _turn_soon(self) -> None:
        if self._handle is None and self._has_room:
            self._handle = asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._handle = None
        self._serve(self._known, KNOWN_SECONDS, len(self._known))
        self._serve(self._strangers, STRANGERS_SECONDS, min(len(self._strangers), STRANGERS_MAX))
        if self._waiting:
            self._turn_soon()

    def _serve(self, queue: deque[Taker], seconds: float, takers: int) -> None:
        until = self._clock() + seconds
        for _ in range(takers):
            taker = queue.popleft()
            self._waiting.discard(taker)
            if taker.take_turn():
                self.ask(taker)
            if self._clock() >= until:
                return
