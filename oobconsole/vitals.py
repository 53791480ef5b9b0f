"""How the server itself does: how late its event loop is, and what has happened so far, counted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypedDict

import structlog

from oobconsole.events import Event, Events, Kind
from oobconsole.log.log import LogLimit
from oobconsole.watchdog import Watchdog

log = structlog.get_logger(__name__)

#: How often the loop's lag is measured, in seconds, and how many of the latest values are kept.
INTERVAL: Final = 0.5
KEPT: Final = 60
_PAGE: Final = 4096
#: In how many turns open file descriptors are counted once; and from which part of the limit on they are too many.
DESCRIPTORS_EACH: Final = 10
DESCRIPTORS_MANY: Final = 0.9


class FrontReport(TypedDict):
    """How one front does, as `status` tells it.

    Keys:
        state: in a word; `serving` is the one in which people can log in.
        pid: of its process; None: there is none now.
        begun_again: how often it has ended, and was begun again.
        reason: why, the last time; empty: never.
        confined_by, lacking: which rights its process has given up, and which it could not give up.
        connections, sessions: how many there are now, of users who have logged in.
        logins: how many users have logged in, since the server was started.
        refused: how many clients have left without a login.
        turned_away: how many connections the front has closed at once, because of a limit or a penalty.
        received_bytes, sent_bytes: how much has gone between the front and the core, towards the core and from it.
    """

    state: str
    pid: int | None
    begun_again: int
    reason: str
    confined_by: list[str]
    lacking: list[str]
    connections: int
    sessions: int
    logins: int
    refused: int
    turned_away: int
    received_bytes: int
    sent_bytes: int


class Vitals:
    """Counts events, and measures the loop while `run` runs.

    Args:
        events: what happens.
        fronts: returns how each front does, by its name.

    Attributes:
        started: by `time.monotonic`.
        seen: events so far, by kind.
        watchdog: finds what holds the loop.
        descriptors: why there are too few of them, in words; empty: there are enough.
    """

    def __init__(self, events: Events, fronts: Callable[[], Mapping[str, FrontReport]] = dict) -> None:
        self.started = time.monotonic()
        self.seen: Counter[Kind] = Counter()
        self.fronts = fronts
        self.descriptors = ""
        self._limit = LogLimit(1)
        self._events = events
        self.watchdog = Watchdog()
        self._lags: deque[float] = deque(maxlen=KEPT)
        events.add_sink(self._event)

    @property
    def uptime(self) -> float:
        """For how many seconds the server has been running."""
        return time.monotonic() - self.started

    @property
    def lag(self) -> float:
        """How late the loop was when it was looked at last, in seconds."""
        return self._lags[-1] if self._lags else 0.0

    @property
    def worst_lag(self) -> float:
        """How late the loop was at worst in the last half minute, in seconds."""
        return max(self._lags, default=0.0)

    async def run(self) -> None:
        """Measure the loop's lag until cancelled."""
        self.watchdog.start()
        try:
            await self._measure()
        finally:
            self.watchdog.stop()

    async def _measure(self) -> None:
        due, turns = time.monotonic(), 0
        while True:
            if turns % DESCRIPTORS_EACH == 0:
                self._count_descriptors()
            turns += 1
            due += INTERVAL
            await asyncio.sleep(due - time.monotonic())
            self._events.look_at_clock()
            now = time.monotonic()
            self._lags.append(max(0.0, now - due))
            due = now

    def _count_descriptors(self) -> None:
        """Look whether file descriptors run out. If there are none left, the kernel closes connections at once, and
        nobody else says so."""
        self.descriptors = _too_few_descriptors()
        if self.descriptors and self._limit.allows():
            log.error("too few descriptors: raise LimitNOFILE in the unit, or ulimit -n", found=self.descriptors)

    def _event(self, event: Event) -> None:
        self.seen[event.kind] += 1


def _too_few_descriptors() -> str:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        used = len(os.listdir("/proc/self/fd")) - 1  # noqa: PTH208 - names are enough; one is that of the listing
    except FileNotFoundError:
        return ""  # there is no /proc
    except OSError as error:
        return f"not one more can be opened: {error.strerror}"
    return f"{used} of {limit} are open" if used > DESCRIPTORS_MANY * limit else ""


def resident_bytes(process: int | str = "self") -> int:
    """Memory of this or another process, as proc_pid_statm(5) has it; 0 where there is no /proc."""
    with contextlib.suppress(OSError, IndexError):
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE
    return 0
