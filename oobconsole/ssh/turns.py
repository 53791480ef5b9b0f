"""Whose input is handled next? Each connection has a short turn, one after the other, so that none holds the event
loop.

A console's echo passes through the same event loop as whatever a stranger sends. So input is not handled when it
comes, but in turns that are bounded in time. Connections that have logged in go first.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

#: How much time of each turn of the event loop goes to connections that have logged in, and to those that have not,
#: in seconds. It is used up only while somebody floods. The turn of the last connection (`transport.TURN_SECONDS`)
#: comes on top.
KNOWN_SECONDS: Final = 0.006
STRANGERS_SECONDS: Final = 0.002
#: How many connections that have not logged in are served in each turn of the event loop. A packet of theirs may
#: begin a task, which costs time later.
STRANGERS_MAX: Final = 4


class Taker(Protocol):
    """A connection whose input waits to be handled."""

    @property
    def is_known(self) -> bool:
        """Whether its client has logged in."""

    def take_turn(self) -> bool:
        """Handle a little of the input. Returns whether there is more that could be handled now."""

    def acknowledge(self) -> None:
        """Tell the other end that its input has come."""


class Turns:
    """Gives the connections their turns. All connections of a server share one.

    Args:
        clock: returns a monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._known: deque[Taker] = deque()
        self._strangers: deque[Taker] = deque()
        self._waiting: set[Taker] = set()
        self._handle: asyncio.Handle | None = None
        self._has_room = True
        self._went_at_once: Taker | None = None

    def set_room(self, room: bool) -> None:
        """Say whether the core takes what is handled. While it does not, nobody has a turn, and soon no more is
        read."""
        self._has_room = room
        if room and self._waiting:
            self._turn_soon()

    def ask(self, taker: Taker) -> None:
        """Ask for a turn for a connection that has input. If it waits already, it keeps its place in the queue."""
        if taker not in self._waiting:
            self._put(taker)

    def may_go_at_once(self, taker: Taker) -> bool:
        """Return whether a connection with little input may handle it now. Why? The turn would come in the next round
        of the event loop, and a typed key should not wait for that. It is allowed only while nobody waits for a turn,
        and only once in each round. What came is acknowledged in the next round, because whoever waits for the key
        is told of it before that."""
        if self._handle is not None or not self._has_room or not taker.is_known:
            return False
        self._went_at_once = taker
        self._turn_soon()
        return True

    def _put(self, taker: Taker) -> None:
        self._waiting.add(taker)
        (self._known if taker.is_known else self._strangers).append(taker)
        self._turn_soon()

    def _turn_soon(self) -> None:
        if self._handle is None and self._has_room:
            self._handle = asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._handle = None
        went, self._went_at_once = self._went_at_once, None
        if went is not None:  # that was the turn of this round
            went.acknowledge()
            if self._waiting:
                self._turn_soon()
            return
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
