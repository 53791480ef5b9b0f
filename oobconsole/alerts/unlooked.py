"""Says how much of a console's output was not looked at, when no alert says it.

Each alert tells how much was passed over before it. But the line that mattered may be what was passed over, and then
no alert may come for a long time, or ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

#: After how many seconds it is said, so that a burst is one sentence; and how many seconds later it is said again if
#: a console floods on and on.
FIRST_SECONDS: Final = 1.0
BETWEEN_SECONDS: Final = 60.0


class Unlooked:
    """Counts the output of one console that was not looked at.

    Args:
        say: told how many bytes were not looked at since it was told last.
    """

    def __init__(self, say: Callable[[int], object]) -> None:
        self._say = say
        self._count = 0
        self._not_before = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, count: int) -> None:
        """Count so many more bytes that will not be looked at."""
        self._count += count
        if count and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time() + FIRST_SECONDS, self._not_before), self.tell)

    def tell(self) -> None:
        """Say what was not said yet. Calling it again says nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        count, self._count = self._count, 0
        if count:
            self._not_before = asyncio.get_running_loop().time() + BETWEEN_SECONDS
            self._say(count)
