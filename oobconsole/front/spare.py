"""A spare process of a front, which is started before it is needed. It loads its modules, gives up its rights and
waits.

Why? To load the modules takes half a second, and several seconds on a busy machine. That is too long when a front has
just ended, because its clients come back at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from oobconsole.front.process import Process
from oobconsole.supervise import Tasks

#: How long after the start of a front the next spare process is started, in seconds. There may be only one processor,
#: and the front needs it first.
SPARE_SECONDS: Final = 3.0


class Spare:
    """The spare process for all fronts of a kind.

    Args:
        begin: starts a process. Raises `OSError`.
    """

    def __init__(self, begin: Callable[[], Awaitable[Process]]) -> None:
        self._begin = begin
        self._tasks = Tasks((OSError,))
        self._next: asyncio.Task[Process] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def make(self) -> None:
        """Start a spare process after `SPARE_SECONDS`, unless there is one already."""
        if self._next is None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SPARE_SECONDS, self._start)

    def _start(self) -> None:
        self._timer = None
        self._next = self._tasks.start(self._make(), "a spare front")

    async def _make(self) -> Process:
        return await self._begin()

    async def take(self) -> Process:
        """Return the spare process, or a new process if there is none.

        Raises:
            OSError: no process can be started.
        """
        if (process := await self._taken()) is not None:
            if not process.relay.ended.done():
                return process
            await process.end()
        return await self._begin()

    async def stop(self) -> None:
        """End the spare process, if there is one."""
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
