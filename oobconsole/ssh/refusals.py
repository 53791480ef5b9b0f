"""What clients can have written again and again: so many lines a minute, and how many more there were."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from oobconsole.access import Principal
from oobconsole.events import Events, Kind

log = structlog.get_logger(__name__)

#: Events and log lines in PERIOD seconds.
LISTED_MAX: Final = 60
PERIOD: Final = 60.0


class Refusals:
    """Emits what attackers can repeat without end."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, who: Principal, reason: str) -> None:
        """One more. Who named no user has not tried to log in: a scan, or a check that the port is open."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PERIOD, self.flush)
        self._count += 1
        if self._count <= LISTED_MAX:
            log.info("left without a login", user=who.name, address=who.address, key=who.key, reason=reason)
            if who.name:
                self._events.emit(Kind.LOGIN_REFUSED, who=who, reason=reason)

    def flush(self) -> None:
        """Say how many were not listed, and begin anew."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        more, self._count = self._count - LISTED_MAX, 0
        if more > 0:
            log.warning("more left without a login than are listed", more=more)
            self._events.emit(Kind.LOGIN_REFUSED, reason="more than are listed", more=more)
