"""Which menu works next: one at a time, with time for everybody else between two.

Why is that needed? prompt_toolkit takes some milliseconds to make a menu, to look at keys, and to draw, and meanwhile
the event loop does nothing else. Ten people who open a menu, hold a key down or change the size of their windows at
the same time would make everybody at a console wait for all ten. So they wait for each other: all menus together have
one budget of time.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from prompt_toolkit.application import Application

#: For how many seconds menus rest between two drawings; and for how many times as long as a piece of work took, in
#: processor time, they rest after it. So menus have at most a third of the event loop's time, on a machine of any
#: speed.
GAP_SECONDS: Final = 0.01
REST: Final = 2.0
Result = TypeVar("Result")


class Pace:
    """Gives menus their turns. There is one for all menus of an event loop (`pace`).

    Args:
        loop: the event loop, whose clock counts.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], object]] = deque()
        self._handle: asyncio.Handle | None = None
        self._free_at = 0.0

    def ask(self, draw: Callable[[], object]) -> None:
        """Have `draw` called when it is its turn. What waits already keeps its place, so there are never more calls
        waiting than there are menus."""
        if draw not in self._waiting:
            self._waiting.append(draw)
        self._plan()

    async def turn(self) -> None:
        """Wait until this piece of work has its turn."""
        come = self._loop.create_future()

        def call() -> None:
            if not come.done():
                come.set_result(None)

        self.ask(call)
        await come

    def spent(self, seconds: float, least: float = 0.0) -> None:
        """Note that a piece of work took so many seconds. No turn comes for at least `least` seconds."""
        self._free_at = max(self._free_at, self._loop.time() + max(least, REST * seconds))

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Count the time of the block as work. Wait for a turn before it."""
        began = time.thread_time()
        try:
            yield
        finally:
            self.spent(time.thread_time() - began)

    def _plan(self) -> None:
        if self._waiting and self._handle is None:
            self._handle = self._loop.call_at(max(self._free_at, self._loop.time()), self._next)

    def _next(self) -> None:
        self._handle = None
        now = self._loop.time()
        try:
            if now >= self._free_at:
                self._waiting.popleft()()
        finally:
            self._plan()


_paces: WeakKeyDictionary[asyncio.AbstractEventLoop, Pace] = WeakKeyDictionary()


def pace() -> Pace:
    """Return the `Pace` of the running event loop, which all its menus share."""
    loop = asyncio.get_running_loop()
    if loop not in _paces:
        _paces[loop] = Pace(loop)
    return _paces[loop]


class PacedApplication(Application[Result]):
    """An application of prompt_toolkit's that is drawn when it is its turn. The first drawing comes at once, so wait
    for a turn before it is run.

    Args:
        drawing: called when the application is about to be drawn.
    """

    def __init__(self, drawing: Callable[[], object], **options: Any) -> None:
        self._drawing = drawing
        self._began = 0.0
        super().__init__(
            before_render=self._begin,
            after_render=self._end,
            include_default_pygments_style=False,  # it has a hundred rules that are looked through, and none is used
            **options,
        )

    def invalidate(self) -> None:
        """Ask for a turn to draw again, because what is shown has changed."""
        if self.is_running:
            pace().ask(self._redraw)

    def leave(self, result: Result) -> None:
        """End with this result, unless the application has not begun or is ending already."""
        if self.is_running and self.future is not None and not self.future.done():
            self.exit(result=result)

    def _begin(self, _: object) -> None:
        self._began = time.thread_time()
        self._drawing()

    def _end(self, _: object) -> None:
        pace().spent(time.thread_time() - self._began, GAP_SECONDS)
