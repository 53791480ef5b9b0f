"""A bounded number of threads for calls of libvirt's that wait: calls of one kind, at one host.

Why a bound? A libvirtd that hangs, or a guest that reads nothing, may keep a thread waiting for ever. At most so many
threads wait at one host. Further calls to that host wait for one of these threads, and no other host is concerned.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from oobconsole import supervise


class _Job(NamedTuple):
    """Something to do, and the name of the thread while it does that."""

    do: Callable[[], object]
    name: str


#: How many consoles of one host are opened or closed at the same time.
OPENING_MAX: Final = 16
#: How many consoles of one host are typed at, at the same time, while their guests have not read everything yet.
TYPING_MAX: Final = 64


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


class HostThreads:
    """All threads that the consoles of one libvirt host may keep waiting.

    Attributes:
        opening: threads that open and close consoles.
        typing: threads that type at consoles. They are others, so that a guest that reads nothing keeps no other
            console from being opened.
    """

    def __init__(self) -> None:
        self.opening = Threads(OPENING_MAX)
        self.typing = Threads(TYPING_MAX)
