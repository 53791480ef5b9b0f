"""Threads for calls that may wait for ever: of a library, of a disk, of the network.

Why not `asyncio.to_thread`? Its few threads are shared by the whole process. A dead terminal server, whose ports wait
for their connections, would keep everybody else's calls from being begun.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from oobconsole import supervise

_T = TypeVar("_T")


class _Job(NamedTuple):
    """Something to do, and the name of the thread while it does that."""

    do: Callable[[], object]
    name: str


class Threads:
    """Does jobs in threads, which are started when there is something to do, and end when nothing is left.

    Args:
        most: how many threads there are at the same time. Further jobs wait, in order.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._running = 0

    @property
    def running(self) -> int:
        """How many threads there are now."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many jobs no thread has begun yet."""
        return len(self._waiting)

    def begin(self, do: Callable[[], object], name: str) -> None:
        """Do a job in a thread, as soon as one is free. Any thread may call this, and it returns at once."""
        with self._lock:
            self._waiting.append(_Job(do, name))
            if self._running == self._most:
                return
            self._running += 1
        try:
            supervise.thread(self._run, name=name)
        except RuntimeError:  # this process may have no more threads: the job waits for one of those that run
            with self._lock:
                self._running -= 1

    def _run(self) -> None:
        while (job := self._next()) is not None:
            threading.current_thread().name = job.name
            try:
                job.do()
            except Exception as error:  # a job tells of its own errors: this is a bug, and other jobs go on
                supervise.tell(job.name, error)

    def _next(self) -> _Job | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._running -= 1
            return None


async def in_thread(call: Callable[[], _T], name: str) -> _T:
    """Call something in a thread that is its alone, and return what it returns. The caller bounds how many such calls
    there are, by one at a time for each line, for example. A caller that is cancelled does not wait for the call.

    Raises:
        OSError: this process may have no more threads. Further exceptions are those of the call.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[_T] = loop.create_future()

    def settle(how: Callable[[], object]) -> None:
        if not ended.done():
            how()

    def run() -> None:
        try:
            result = call()
        except Exception as error:
            failed = error
            tell(lambda: ended.set_exception(failed))
        else:
            tell(lambda: ended.set_result(result))

    def tell(how: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            loop.call_soon_threadsafe(settle, how)

    try:
        supervise.thread(run, name=name)
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, f"no thread can be started: {os.strerror(errno.EAGAIN)}") from error
    return await ended
