"""Writes to standard output and error without keeping the process when their reader hangs."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from typing import Final

from oobconsole.cli import stdio


class Writer:
    """Writes to a descriptor, in a thread of its own.

    Why not in a thread of the event loop's? Those are waited for when the loop ends. Somebody who wants the command
    to end would have to wait for a pager that reads nothing.

    Args:
        descriptor: what is written to, blocking or not.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: Final = descriptor
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]]] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    async def write(self, data: bytes) -> None:
        """Write all bytes, and wait for the reader if necessary. Raises as `stdio.write` does."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._queue.put((data, done))
        await done

    def _run(self) -> None:
        while True:
            data, done = self._queue.get()
            error: OSError | None = None
            try:
                stdio.write(self._descriptor, data)
            except OSError as caught:
                error = caught
            with contextlib.suppress(RuntimeError):  # the event loop is closed, and nobody waits any more
                self._loop.call_soon_threadsafe(_settle, done, error)


def _settle(done: asyncio.Future[None], error: OSError | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
