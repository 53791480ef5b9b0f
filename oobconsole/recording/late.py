"""Consoles whose recording could not be begun when the consoles came. It is tried again until it succeeds.

What if such a console goes meanwhile? What it printed last waits for `LEAVING_SECONDS`, for `LEAVING_MAX` such
consoles, as the last words of a console do whose recording had begun (writing.py). If a console of that name comes
back before that, it takes over what still waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from oobconsole.console.console import Console
from oobconsole.errors import EnvironmentFault
from oobconsole.recording.writing import LEAVING_MAX, LEAVING_SECONDS
from oobconsole.supervise import Tasks

#: How many seconds are between two attempts: at first, and, as the time doubles with each attempt, at most.
AGAIN_FIRST: Final = 1.0
AGAIN_LAST: Final = 60.0


@dataclass(eq=False)
class Late:
    """A console whose recording could not be begun so far.

    Attributes:
        console: the console.
        reason: why its recording could not be begun at the last attempt.
        until: until when it is tried, by the loop's time; infinite: as long as the console exists.
        hurry: set when the next attempt is to be made at once.
    """

    console: Console
    reason: str
    until: float = math.inf
    hurry: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_leaving(self) -> bool:
        """Whether the console is gone."""
        return self.until < math.inf

    async def pause(self, seconds: float) -> None:
        """Wait for so many seconds, but not longer than until the last attempt is due, or until somebody hurries."""
        seconds = min(seconds, self.until - asyncio.get_running_loop().time())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.hurry.wait()
        self.hurry.clear()


class Latecomers:
    """Tries again to begin the recordings of such consoles.

    Args:
        begin: begins the recording of a console, and is told why that was not possible so far. Raises
            `EnvironmentFault` if it still is not.
        end: ends the recording of a console that is gone, when that recording could be begun at last.
        another: told of a console when the reason is another than before.
        lost: told of a console that is gone, and of the reason, when no further attempt is made.
    """

    def __init__(
        self,
        begin: Callable[[Console, str], Awaitable[None]],
        end: Callable[[Console], object],
        another: Callable[[Console, str], object],
        lost: Callable[[Console, str], object],
    ) -> None:
        self._begin = begin
        self._end = end
        self._another = another
        self._lost = lost
        self._tasks = Tasks()
        self._waiting: dict[str, Late] = {}
        self._trying: dict[Late, asyncio.Task[None]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._waiting

    @property
    def leaving(self) -> list[Late]:
        """The consoles that are gone, but whose recordings could not be begun yet. First the one that went first."""
        return sorted((late for late in self._waiting.values() if late.is_leaving), key=lambda late: late.until)

    def add(self, console: Console, reason: str) -> None:
        """The recording of a console could not be begun, for that reason: try again, later and later."""
        late = self._waiting[console.name] = Late(console, reason)
        task = self._tasks.start(self._try(late), f"beginning the recording of {console.name}")
        self._trying[late] = task
        task.add_done_callback(lambda _: self._drop(late))

    def leave(self, console: Console) -> None:
        """That console is gone: try at once, and again until the time for that is over. If the console has printed
        nothing, there is nothing to be recorded."""
        late = self._waiting.get(console.name)
        if late is None or late.console is not console:
            return
        if not console.end:
            self._drop(late)
            return
        late.until = asyncio.get_running_loop().time() + LEAVING_SECONDS
        late.hurry.set()
        leaving = self.leaving
        for oldest in leaving[: max(0, len(leaving) - LEAVING_MAX)]:
            self._drop(oldest)
            self._lost(oldest.console, oldest.reason)

    async def left(self, name: str) -> Late | None:
        """Make no further attempts for a console that is gone, because a console of that name has come back. Returns
        what that console has left; None: nothing."""
        late = self._waiting.get(name)
        if late is None:
            return None
        task = self._trying[late]
        self._drop(late)
        await asyncio.wait([task])
        return late

    async def stop(self) -> list[Late]:
        """Make no further attempts at all. Returns the consoles that have printed something and could not be
        recorded. A second call returns none."""
        rest = [late for late in self._waiting.values() if late.console.end]
        await self._tasks.stop()
        return rest

    def _drop(self, late: Late) -> None:
        if self._waiting.get(late.console.name) is late:
            del self._waiting[late.console.name]
        task = self._trying.pop(late, None)
        if task is not None:
            task.cancel()

    async def _try(self, late: Late) -> None:
        delay = AGAIN_FIRST
        while True:
            await late.pause(delay)
            delay = min(AGAIN_LAST, 2 * delay)
            try:
                await self._begin(late.console, late.reason)
            except EnvironmentFault as error:
                if self._gives_up(late, str(error)):
                    return
            else:
                del self._waiting[late.console.name]
                if late.is_leaving:
                    self._end(late.console)
                return

    def _gives_up(self, late: Late, reason: str) -> bool:
        """An attempt has failed, for that reason. Returns whether it was the last one."""
        if asyncio.get_running_loop().time() >= late.until:
            self._lost(late.console, reason)
            return True
        if reason != late.reason:
            late.reason = reason
            self._another(late.console, reason)
        return False
