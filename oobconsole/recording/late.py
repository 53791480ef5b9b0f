"""Consoles whose recording could not be begun when the consoles came. It is tried again until it succeeds, or until
the consoles are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from oobconsole.console.console import Console
from oobconsole.errors import EnvironmentFault
from oobconsole.supervise import Tasks

#: How many seconds are between two attempts: at first, and, as the time doubles with each attempt, at most.
AGAIN_FIRST: Final = 1.0
AGAIN_LAST: Final = 60.0


class Latecomers:
    """Tries again to begin the recordings of such consoles.

    Args:
        begin: begins the recording of a console, and is told why that was not possible so far. Raises
            `EnvironmentFault` if it still is not.
        another: told of a console when the reason is another than before.
    """

    def __init__(
        self, begin: Callable[[Console, str], Awaitable[None]], another: Callable[[Console, str], object]
    ) -> None:
        self._begin = begin
        self._another = another
        self._tasks = Tasks()
        self._waiting: dict[str, asyncio.Task[None]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._waiting

    def add(self, console: Console, reason: str) -> None:
        """The recording of a console could not be begun, for that reason: try again, later and later."""
        task = self._tasks.start(self._try(console, reason), f"beginning the recording of {console.name}")
        self._waiting[console.name] = task
        task.add_done_callback(lambda _: self._ended(console.name, task))

    def forget(self, name: str) -> None:
        """Make no further attempts for that console, because it is gone."""
        task = self._waiting.pop(name, None)
        if task is not None:
            task.cancel()

    async def stop(self) -> None:
        """Make no further attempts at all. A second call does nothing."""
        await self._tasks.stop()

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        if self._waiting.get(name) is task:
            del self._waiting[name]

    async def _try(self, console: Console, reason: str) -> None:
        delay = AGAIN_FIRST
        while True:
            await asyncio.sleep(delay)
            delay = min(AGAIN_LAST, 2 * delay)
            try:
                await self._begin(console, reason)
            except EnvironmentFault as error:
                if str(error) != reason:
                    reason = str(error)
                    self._another(console, reason)
            else:
                return
