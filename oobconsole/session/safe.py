"""What a guest may show at a person's terminal: `oobconsole.terminal.safe`, in slices that make nobody else wait.

Ten persons at a guest that prints what is dear to filter are ten slices: all sessions together have a few in each
turn of the event loop, one after the other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

from oobconsole.terminal.safe import SafeFilter

#: So much output is filtered at a time, in bytes: the most hostile in a few milliseconds.
SLICE: Final = 2048
#: So many slices are filtered in one turn of the event loop, of all sessions.
SLICES_MAX: Final = 2
#: What something is done with that takes some microseconds: a thousand consoles, for one.
Item = TypeVar("Item")


class _Turns:
    """Gives out turns for slices of work, a limited number in each turn of one event loop."""

    def __init__(self) -> None:
        self._left = SLICES_MAX
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._armed = False

    async def wait(self) -> None:
        """Wait until the caller has its turn."""
        self._arm()
        if self._left and not self._waiting:
            self._left -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    def _arm(self) -> None:
        if not self._armed:
            self._armed = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """Give turns to those that wait: the event loop has begun another turn."""
        self._armed = False
        self._left = SLICES_MAX
        while self._left and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # who waited has gone
                turn.set_result(None)
                self._left -= 1
        if self._left < SLICES_MAX:
            self._arm()


_turns: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns]] = WeakKeyDictionary()


async def next_slice() -> None:
    """Wait until a slice may be filtered."""
    await _turns.setdefault(asyncio.get_running_loop(), _Turns()).wait()


async def slices(data: bytes) -> AsyncIterator[bytes]:
    """The output a slice at a time, with a turn for everybody else between two."""
    for at in range(0, len(data), SLICE):
        if at:
            await asyncio.sleep(0)
        await next_slice()
        yield data[at : at + SLICE]


async def eased(items: Iterable[Item], many: int) -> AsyncIterator[Item]:
    """Each of the items. So many of them are a slice, with a turn for everybody else between two slices."""
    for number, item in enumerate(items):
        if number % many == 0:
            await next_slice()
        yield item


__all__ = ["SLICE", "SafeFilter", "eased", "next_slice", "slices"]
