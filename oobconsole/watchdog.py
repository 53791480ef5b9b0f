"""Finds out which function keeps the event loop from doing anything else, and logs it.

How? A thread asks the event loop for an answer four times a second. If no answer comes, the thread looks at the event
loop's stack, and so learns which function runs, in which task. asyncio's own debug mode tells only afterwards that
something has taken long.

The core and each front have an event loop, and a watchdog, of their own. What a front's watchdog says reaches the
core's log by front/said.py, and has the field `front` there.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from types import FrameType
from typing import Final

import structlog

from oobconsole import supervise
from oobconsole.log.log import LogLimit

log = structlog.get_logger(__name__)

#: How often the loop is asked, in seconds. What holds it for longer is always found, what does so often soon.
ASK_SECONDS: Final = 0.25
#: It should answer within so many seconds. What counts is the processor time of its thread: a machine that is busy
#: with other things holds the loop up, too, and nothing here can help that.
HELD_SECONDS: Final = 0.02
_LOG_LINES: Final = 10
_FRAMES: Final = 4  # of the stack, in a log line


class Watchdog:
    """Watches the loop that runs where it is made, from `start` to `stop`.

    Attributes:
        held: how often something held the loop so far.
        longest: how long something held it at most, in seconds of processor time.
    """

    def __init__(self) -> None:
        self.held = 0
        self.longest = 0.0
        self._stopped = threading.Event()
        self._limit = LogLimit(_LOG_LINES)

    def start(self) -> None:
        """Begin to watch. It must be called in the loop's own thread."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._clock = time.pthread_getcpuclockid(self._thread)
        self._stopped.clear()
        supervise.thread(self._watch, name="watchdog of the event loop", forever=True)

    def stop(self) -> None:
        """Watch the loop no longer; a second call does nothing."""
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(ASK_SECONDS):
            answered = threading.Event()
            try:
                self._loop.call_soon_threadsafe(answered.set)
            except RuntimeError:  # the loop is closed
                return
            before = time.clock_gettime(self._clock)
            if not answered.wait(HELD_SECONDS):
                where, who = self._where(), self._who()
                while not answered.wait(ASK_SECONDS) and not self._stopped.is_set():
                    pass
                self._was_held(time.clock_gettime(self._clock) - before, where, who)

    def _was_held(self, seconds: float, where: str, who: str) -> None:
        if seconds < HELD_SECONDS:
            return
        self.held += 1
        self.longest = max(self.longest, seconds)
        if self._limit.allows():
            log.warning("something held the event loop", milliseconds=round(seconds * 1000), where=where, task=who)

    def _where(self) -> str:
        """The innermost functions, the last one first."""
        frame: FrameType | None = sys._current_frames().get(self._thread)
        found: list[str] = []
        while frame is not None and len(found) < _FRAMES:
            code = frame.f_code
            found.append(f"{code.co_qualname} ({code.co_filename.rpartition('/')[2]}:{frame.f_lineno})")
            frame = frame.f_back
        return " < ".join(found)

    def _who(self) -> str:
        task = asyncio.current_task(self._loop)
        return task.get_name() if task is not None else ""
