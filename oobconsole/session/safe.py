"""Filters what a guest may show at a terminal (`oobconsole.terminal.safe`) in slices, so that nobody else has to
wait.

Why are turns counted? Ten people at a guest that prints what is costly to filter make ten slices. All sessions
together have only a few slices in each turn of the event loop, one after the other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

from oobconsole.terminal.safe import SafeFilter

#: How many bytes are filtered in one slice. The most hostile take a few milliseconds.
SLICE: Final = 2048
#: How many slices all sessions together may filter in one turn of the event loop.
SLICES_MAX: Final = 2
#: An item of a long list, such as a console, with which something is done that takes some microseconds.
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
            if not turn.done():  # otherwise whoever waited has gone
                turn.set_result(None)
                self._left -= 1
        if self._left < SLICES_MAX:
            self._arm()


_turns: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns]] = WeakKeyDictionary()


async def next_slice() -> None:
    """Wait until a slice may be filtered."""
    await _turns.setdefault(asyncio.get_running_loop(), _Turns()).wait()


async def slices(data: bytes) -> AsyncIterator[bytes]:
    """Yield the data one slice at a time. Others have a turn of the event loop between two slices."""
    for at in range(0, len(data), SLICE):
        if at:
            await asyncio.sleep(0)
        await next_slice()
        yield data[at : at + SLICE]


async def eased(items: Iterable[Item], many: int) -> AsyncIterator[Item]:
    """Yield each of the items. `many` of them are a slice, and others have a turn of the event loop between two
    slices."""
    for number, item in enumerate(items):
        if number % many == 0:
            await next_slice()
        yield item


__all__ = ["SLICE", "SafeFilter", "eased", "next_slice", "slices"]
