"""Waiting in asyncio tests: for something, never for long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

from tests.support.pace import Deadline, scaled

T = TypeVar("T")

#: What takes longer than this on a quiet machine, in seconds, does not happen.
PATIENCE = 10.0


async def soon(what: Awaitable[T]) -> T:
    """Await something that is due."""
    return await asyncio.wait_for(what, scaled(PATIENCE))


async def stays(what: Awaitable[T]) -> asyncio.Future[T]:
    """Start something, and see that it does not end by itself while the loop runs idle."""
    task = asyncio.ensure_future(what)
    await idle()
    assert not task.done()
    return task


async def idle() -> None:
    """Let everything that is ready run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def until(true: Callable[[], bool], seen: Callable[[], object]) -> None:
    """Wait for a condition; shows what was `seen` when it does not come."""
    deadline = Deadline(PATIENCE)
    while not true():
        if not deadline.left:
            raise AssertionError(f"waited {deadline} in vain; seen: {seen()!r}")
        await asyncio.sleep(0.005)


class Turns:
    """Counts the turns of the event loop while a test does something; a context manager.

    Attributes:
        count: how many turns there were. A loop that is held up has none.
    """

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        self._task = asyncio.ensure_future(self._run())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.count += 1


class Work:
    """How much is done in one turn of the event loop at most."""

    def __init__(self) -> None:
        self.most = self.total = self._now = 0
        asyncio.get_running_loop().call_soon(self._turn)

    def one(self) -> None:
        self.more(1)

    def more(self, count: int) -> None:
        self._now += count
        self.total += count
        self.most = max(self.most, self._now)

    def _turn(self) -> None:
        self._now = 0
        asyncio.get_running_loop().call_soon(self._turn)
