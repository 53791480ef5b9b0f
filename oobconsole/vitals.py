"""How the server itself does: how late its event loop is, and what has happened so far, counted."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from pathlib import Path
from typing import Final

from oobconsole.events import Event, Events, Kind
from oobconsole.watchdog import Watchdog

#: How often the loop's lag is measured, in seconds, and how many of the latest values are kept.
INTERVAL: Final = 0.5
KEPT: Final = 60
_PAGE: Final = 4096


class Vitals:
    """Counts events, and measures the loop while `run` runs.

    Attributes:
        started: by `time.monotonic`.
        seen: events so far, by kind.
        unrecorded: why a console is not recorded now, by its name.
        damaged: what somebody else did to a console's recording last, by its name.
        watchdog: finds what holds the loop.
    """

    def __init__(self, events: Events) -> None:
        self.started = time.monotonic()
        self.seen: Counter[Kind] = Counter()
        self.unrecorded: dict[str, str] = {}
        self.damaged: dict[str, str] = {}
        self._events = events
        self.watchdog = Watchdog()
        self._lags: deque[float] = deque(maxlen=KEPT)
        events.add_sink(self._event)

    @property
    def uptime(self) -> float:
        """In seconds."""
        return time.monotonic() - self.started

    @property
    def lag(self) -> float:
        """How late the loop was when it was looked at last, in seconds."""
        return self._lags[-1] if self._lags else 0.0

    @property
    def worst_lag(self) -> float:
        """The same, at worst, in the last half minute."""
        return max(self._lags, default=0.0)

    async def run(self) -> None:
        """Measure the loop's lag until cancelled."""
        self.watchdog.start()
        try:
            await self._measure()
        finally:
            self.watchdog.stop()

    async def _measure(self) -> None:
        due = time.monotonic()
        while True:
            due += INTERVAL
            await asyncio.sleep(due - time.monotonic())
            self._events.look_at_clock()
            now = time.monotonic()
            self._lags.append(max(0.0, now - due))
            due = now

    def _event(self, event: Event) -> None:
        self.seen[event.kind] += 1
        if event.kind is Kind.RECORDING:
            reason = str(event.detail.get("reason", ""))
            match event.detail.get("state"):
                case "stopped":
                    self.unrecorded[event.console] = reason
                case "damaged":
                    self.damaged[event.console] = reason
                case _:
                    self.unrecorded.pop(event.console, None)


def resident_bytes() -> int:
    """Memory of this process, as proc_pid_statm(5) has it; 0 where there is no /proc."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
    return 0
