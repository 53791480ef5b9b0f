"""Which menu works next: one at a time, and time for everybody else between two.

To make a menu, to look at the keys that were typed at it, and to draw it are pieces of work of prompt_toolkit's, of
some milliseconds each, in which the event loop does nothing else. Ten people who open one at once, hold a key down,
or change their windows' sizes would make everybody at a console wait for all ten. So they wait for each other: all
menus together have one budget.
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

#: Between two drawings, in seconds; and after any piece of work, so many times as long as it took, in
#: processor time: menus have at most a third of the loop's, on a machine of any speed.
GAP_SECONDS: Final = 0.01
REST: Final = 2.0
Result = TypeVar("Result")


class Pace:
    """Gives menus their turn. One for all menus of an event loop (`pace_of`).

    Args:
        loop: its clock counts.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], object]] = deque()
        self._handle: asyncio.Handle | None = None
        self._free_at = 0.0

    def ask(self, draw: Callable[[], object]) -> None:
        """It is called when it is its turn. Whoever waits already goes on waiting at the same place: there are never
        more than there are menus."""
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
        """A piece of work has taken so long, and nothing comes for at least so long."""
        self._free_at = max(self._free_at, self._loop.time() + max(least, REST * seconds))

    @contextmanager
    def spending(self) -> Iterator[None]:
        """What is done meanwhile counts. Wait for a turn before."""
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
    """prompt_toolkit's, drawn when it is its turn. Its first drawing comes at once: wait for a turn before.

    Args:
        drawing: is called when it is about to be drawn.
    """

    def __init__(self, drawing: Callable[[], object], **options: Any) -> None:
        self._drawing = drawing
        self._began = 0.0
        super().__init__(
            before_render=self._begin,
            after_render=self._end,
            include_default_pygments_style=False,  # a hundred rules that are looked through, and none is used
            **options,
        )

    def invalidate(self) -> None:
        """Ask for a turn to draw again, because what is shown has changed."""
        if self.is_running:
            pace().ask(self._redraw)

    def leave(self, result: Result) -> None:
        """End with that, unless it has not begun or is about to end."""
        if self.is_running and self.future is not None and not self.future.done():
            self.exit(result=result)

    def _begin(self, _: object) -> None:
        self._began = time.thread_time()
        self._drawing()

    def _end(self, _: object) -> None:
        pace().spent(time.thread_time() - self._began, GAP_SECONDS)
