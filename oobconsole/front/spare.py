"""A process that is started before it is needed: it has loaded its modules, given up its rights, and waits.

To load them takes half a second, and several on a busy machine. That is too long for a front that has just ended, and
whose clients come back at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from oobconsole.front.process import Process
from oobconsole.supervise import Tasks

#: A front that has begun is left to itself for so long, in seconds, before the next one is started: there may be only
#: one processor.
SPARE_SECONDS: Final = 3.0


class Spare:
    """One of these processes, for all fronts of a kind.

    Args:
        begin: starts one. Raises `OSError`.
    """

    def __init__(self, begin: Callable[[], Awaitable[Process]]) -> None:
        self._begin = begin
        self._tasks = Tasks((OSError,))
        self._next: asyncio.Task[Process] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def make(self) -> None:
        """See that there will be one, soon."""
        if self._next is None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SPARE_SECONDS, self._start)

    def _start(self) -> None:
        self._timer = None
        self._next = self._tasks.start(self._make(), "a spare front")

    async def _make(self) -> Process:
        return await self._begin()

    async def take(self) -> Process:
        """The one that there is; if there is none, a new one.

        Raises:
            OSError: none can be started.
        """
        if (process := await self._taken()) is not None:
            if not process.relay.ended.done():
                return process
            await process.end()
        return await self._begin()

    async def stop(self) -> None:
        """End the one that there is."""
        if (process := await self._taken()) is not None:
            process.relay.end("the server stops")
            await process.end(0)

    async def _taken(self) -> Process | None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._next = self._next, None
        if waiting is None:
            return None
        (process,) = await asyncio.gather(waiting, return_exceptions=True)
        return process if isinstance(process, Process) else None
