"""Owns background tasks and threads, and reads how each one ended.

A task or thread that ends by an exception is logged with its traceback, counted by name (`status`, metrics), and told
to listeners (events, the audit log). `forever` begins again what should never end. What runs beside the code that
started it is started here; where that code awaits the task, asyncio's own functions do.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import structlog

from oobconsole.errors import OobError
from oobconsole.log.log import LogLimit

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: After how many seconds something is begun again that should never end: the first time, and at most. The time
#: doubles with each end.
AGAIN_FIRST: Final = 0.5
AGAIN_LAST: Final = 30.0

#: How often something ended by an error so far, by its name.
ended: Counter[str] = Counter()
#: Functions that are called for each such end, with a name and a reason, from any thread. They must return at once.
listeners: list[Callable[[str, str], object]] = []
_limit: Final = LogLimit(20)


def tell(name: str, error: BaseException | None) -> None:
    """Log, count and tell that something ended that should not have. Never raises.

    Args:
        name: what it is.
        error: what ended it; None: it ended by itself.
    """
    reason = repr(error) if error is not None else "it ended by itself"
    ended[name] += 1
    if not _limit.allows(part=name):
        return
    log.error("a part of the server ended by an error: a bug in oobconsole", part=name, reason=reason, exc_info=error)
    for listener in tuple(listeners):
        try:
            listener(name, reason)
        except Exception as trouble:  # the listener's own fault must not hide this one, nor end who tells
            log.error("nobody could be told of it", part=name, reason=repr(trouble))


#: Exceptions that end a part of a session whose client has left, or was refused something: these are no faults of
#: ours.
PEERS: Final = (OobError, ConnectionError, EOFError)


class Tasks:
    """Background tasks that belong together.

    Args:
        expected: exceptions that may end a task without being told.
    """

    def __init__(self, expected: tuple[type[BaseException], ...] = ()) -> None:
        self._expected = expected
        self._running: set[asyncio.Task[Any]] = set()  # the loop itself keeps only weak references

    def __len__(self) -> int:
        return len(self._running)

    def start(self, what: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run a coroutine in the background. An exception that ends it is told under that name."""
        task = asyncio.get_running_loop().create_task(what, name=name)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def forever(self, make: Callable[[], Coroutine[Any, Any, object]], name: str) -> asyncio.Task[None]:
        """Run what `make` makes, until it is cancelled. When it ends by itself, that is told, and it is begun
        again."""
        return self.start(_forever(make, name), name)

    async def wait(self, seconds: float | None = None) -> None:
        """Wait for the tasks that run now, for `seconds` at most; None: for ever."""
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=seconds)

    async def stop(self) -> None:
        """Cancel all tasks, and wait until they have ended. A second call does nothing."""
        running = tuple(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, self._expected):
            tell(task.get_name(), error)


async def _forever(make: Callable[[], Coroutine[Any, Any, object]], name: str) -> None:
    delay = AGAIN_FIRST
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        try:
            await make()
            tell(name, None)
        except Exception as error:
            tell(name, error)
        if loop.time() - began > AGAIN_LAST:
            delay = AGAIN_FIRST
        await asyncio.sleep(delay)
        delay = min(AGAIN_LAST, 2 * delay)


def thread(target: Callable[..., object], *args: object, name: str, forever: bool = False) -> threading.Thread:
    """Start a thread, which does not keep the process from ending. An exception that ends it is told.

    Args:
        forever: call `target` again after an exception. The thread ends when `target` returns.
    """
    started = threading.Thread(target=_in_thread, args=(target, args, name, forever), name=name, daemon=True)
    started.start()
    return started


def _in_thread(target: Callable[..., object], args: tuple[object, ...], name: str, forever: bool) -> None:
    pause = threading.Event()
    delay = AGAIN_FIRST
    while True:
        try:
            target(*args)
        except Exception as error:
            tell(name, error)
        else:
            return
        if not forever:
            return
        pause.wait(delay)
        delay = min(AGAIN_LAST, 2 * delay)


def watch_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Have errors in callbacks, in tasks that nobody owns, and in threads of libraries told as well."""
    loop.set_exception_handler(_unowned)
    threading.excepthook = _unowned_thread


def _unowned(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    task = context.get("task") or context.get("future")
    name = task.get_name() if isinstance(task, asyncio.Task) else str(context.get("message", "a callback"))
    tell(name, context.get("exception"))


def _unowned_thread(args: threading.ExceptHookArgs) -> None:
    if not isinstance(args.exc_value, SystemExit):
        tell(args.thread.name if args.thread is not None else "a thread", args.exc_value)
