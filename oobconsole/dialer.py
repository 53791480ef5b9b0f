"""Connecting again and again to what comes and goes: sockets, monitors, ports."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final

from oobconsole import supervise
from oobconsole.supervise import Tasks

#: Between two attempts to connect, in seconds: the first, and the longest.
RETRY_FIRST: Final = 0.2
RETRY_MAX: Final = 30.0
#: A connection that lasted so long was a good one: the next attempt comes soon. In seconds.
GOOD_SECONDS: Final = 5.0
_JITTER: Final = 0.2


class Dialer:
    """Connects again and again: backoff with jitter, reset by a connection that was good.

    Args:
        connect: connects, and returns why the connection ended; raises `OSError` when there was none.
        down: is told the reason, and in how many seconds the next attempt is made.
    """

    def __init__(self, connect: Callable[[], Awaitable[str]], down: Callable[[str, float], object]) -> None:
        self._connect = connect
        self._down = down
        self._delay = RETRY_FIRST
        self._tasks = Tasks()
        self._now = asyncio.Event()

    def start(self) -> None:
        """Begin."""
        self._tasks.forever(self._run, "connecting")

    def hurry(self) -> None:
        """Do not wait for the next attempt's time; while one is made, another follows it at once."""
        self._now.set()

    async def stop(self) -> None:
        """Connect no more; `connect` is cancelled where it is. Idempotent."""
        await self._tasks.stop()

    async def _run(self) -> None:
        while True:
            began = time.monotonic()
            self._now.clear()
            try:
                reason = await self._connect()
            except OSError as error:
                reason = why(error)
            except Exception as error:  # our own fault: it is told, and the line is tried again as any other
                supervise.tell("connecting", error)
                reason = f"an internal error: {error!r}"
            if time.monotonic() - began >= GOOD_SECONDS:
                self._delay = RETRY_FIRST
            wait = self._delay * random.uniform(1 - _JITTER, 1 + _JITTER)
            self._delay = min(RETRY_MAX, self._delay * 2)
            self._down(reason, wait)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._now.wait()


def why(error: OSError) -> str:
    """An error in words, without its number."""
    return error.strerror or str(error) or type(error).__name__
