"""A bounded number of threads for libvirt's calls that wait: those of one kind, at one host.

A libvirtd that hangs, or a guest that reads nothing, may keep a thread waiting for ever. So many of them at one host
wait at most. Further calls to that host wait for one of these threads, and no other host is concerned.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from oobconsole import supervise


class _Job(NamedTuple):
    """Something to do, and what its thread is called meanwhile."""

    do: Callable[[], object]
    name: str


#: Consoles of one host that are opened or closed at the same time.
OPENING_MAX: Final = 16
#: Consoles of one host that are typed at, at the same time, and whose guests have not read everything yet.
TYPING_MAX: Final = 64


class Threads:
    """Does jobs in threads that are started when there is something to do, and end when there is nothing left.

    Args:
        most: threads at the same time. Jobs beyond it wait, in order.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._running = 0

    @property
    def running(self) -> int:
        """Threads there are now."""
        return self._running

    def begin(self, do: Callable[[], object], name: str) -> None:
        """Do a job in a thread, as soon as one is free. From any thread; returns at once."""
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
        opening: open and close consoles.
        typing: type at them: a guest that reads nothing keeps no other console from being opened.
    """

    def __init__(self) -> None:
        self.opening = Threads(OPENING_MAX)
        self.typing = Threads(TYPING_MAX)
