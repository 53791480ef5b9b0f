"""A limit of a rate: so many things at once, and then one in so many seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Rate:
    """Says how long something must wait so that it does not happen too often.

    Args:
        burst: how many may happen at once.
        seconds: the time between two after that.
        clock: returns a monotonic time in seconds.
    """

    def __init__(self, burst: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._seconds = seconds
        self._clock = clock
        self._paid_until = clock() - burst * seconds

    def delay(self) -> float:
        """Count one more. Returns in how many seconds it may happen."""
        now = self._clock()
        self._paid_until = max(self._paid_until, now - self._burst * self._seconds) + self._seconds
        return max(0.0, self._paid_until - now)

    async def wait(self) -> None:
        """Count one more, and wait until it may happen."""
        if delay := self.delay():
            await asyncio.sleep(delay)
