"""Waiting in asyncio tests: for something, never for long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

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
