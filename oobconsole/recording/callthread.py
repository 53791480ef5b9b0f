"""One thread that makes calls one after the other, and tells the event loop what became of each.

Why not an executor of the standard library? For each call it makes two futures with their locks, and a task waits for
them. Of a recording that is written twenty times a second this was most of what the event loop had to do.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, NamedTuple, TypeVar, cast

from oobconsole import supervise

T = TypeVar("T")


class Result(NamedTuple, Generic[T]):
    """What became of a call.

    Attributes:
        value: what the call returned.
        error: the exception that the call raised; None: it returned.
    """

    value: T | None
    error: Exception | None = None


class _Wanted(NamedTuple):
    """A call that waits for the thread, and whom to tell on which event loop."""

    call: Callable[[], Any]
    done: Callable[[Result[Any]], object]
    loop: asyncio.AbstractEventLoop


class CallThread:
    """A thread, which begins with the first call.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._wanted: SimpleQueue[_Wanted | None] = SimpleQueue()
        self._has_begun = False
        self._stopped = False

    def call(self, call: Callable[[], T], done: Callable[[Result[T]], object]) -> None:
        """Have the thread make a call, after those that wait already.

        Args:
            done: is told the result, on the event loop that runs now; never, if the thread was stopped before.

        Raises:
            RuntimeError: no thread can be started.
        """
        if not self._has_begun:
            supervise.thread(self._serve, name=self._name)
            self._has_begun = True
        self._wanted.put(_Wanted(call, done, asyncio.get_running_loop()))

    async def run(self, call: Callable[[], T]) -> T:
        """Have the thread make a call, and return what the call returns, or raise what it raises."""
        made: asyncio.Future[Result[T]] = asyncio.get_running_loop().create_future()

        def done(result: Result[T]) -> None:
            if not made.done():  # whoever waited has gone
                made.set_result(result)

        self.call(call, done)
        value, error = await made
        if error is not None:
            raise error
        return cast(T, value)  # without an error it is what the call returned

    def stop(self) -> None:
        """End the thread after the call that it makes now. Calls that wait are given up."""
        self._stopped = True
        self._wanted.put(None)

    def _serve(self) -> None:
        while (wanted := self._wanted.get()) is not None and not self._stopped:
            try:
                result = Result(wanted.call())
            except Exception as error:
                result = Result(None, error)
            with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody is there to be told
                wanted.loop.call_soon_threadsafe(wanted.done, result)
            del wanted, result  # a thread that waits keeps nothing alive
