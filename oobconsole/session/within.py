"""Reads what comes within a time, even if the server itself had no time meanwhile.

What is the problem? A busy or suspended machine may give a server no time for longer than the server wanted to wait.
Then the time is up before anybody has looked at what came, and what is only late would be taken for missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

T = TypeVar("T")

#: After this many turns of the event loop, everything that has come at a connection or a line has reached its reader.
TURNS: Final = 10


async def within(seconds: float | None, read: Callable[[], Awaitable[T]]) -> T | None:
    """Return what `read` returns within so many seconds; None: nothing came.

    Args:
        seconds: None: however long it takes.
        read: loses nothing when it is cancelled. It is called once more when the time is up, because what came while
            nobody could look has come in time.
    """
    if seconds is None:
        return await read()
    try:
        async with asyncio.timeout(seconds):
            return await read()
    except TimeoutError:
        pass
    for _ in range(TURNS):
        await asyncio.sleep(0)
    try:
        async with asyncio.timeout(0):
            return await read()
    except TimeoutError:
        return None
