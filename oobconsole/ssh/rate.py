"""So many at once, then one in so many seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Rate:
    """Spreads what somebody asks for.

    Args:
        burst: how many may come at once.
        seconds: between two after that.
        clock: monotonic seconds.
    """

    def __init__(self, burst: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._seconds = seconds
        self._clock = clock
        self._paid_until = clock() - burst * seconds

    def delay(self) -> float:
        """Count one; in how many seconds may it be done?"""
        now = self._clock()
        self._paid_until = max(self._paid_until, now - self._burst * self._seconds) + self._seconds
        return max(0.0, self._paid_until - now)

    async def wait(self) -> None:
        """Count one, and wait until it may be done."""
        if delay := self.delay():
            await asyncio.sleep(delay)
