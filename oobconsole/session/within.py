"""What comes within a time, at a server that may itself have had none.

A machine that is busy, or suspended, gives a server no time for longer than it wanted to wait. Then the time is up
before anybody has looked at what came meanwhile, and what is late would be taken for what does not come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

T = TypeVar("T")

#: In so many turns of the event loop what has come at a connection, or at a line, reaches whoever reads it.
TURNS: Final = 10


async def within(seconds: float | None, read: Callable[[], Awaitable[T]]) -> T | None:
    """What `read` returns within so many seconds; None: nothing came.

    Args:
        seconds: None: however long it takes.
        read: loses nothing when it is cancelled. It is called once more when the time is up: what came while nobody
            could look has come in time.
    """
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
