"""What clients, or a front that is not what it should be, can have written again and again: so many entries a minute,
and how many more there were."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from oobconsole.access import Principal
from oobconsole.events import Events, Kind

log = structlog.get_logger(__name__)

#: Refusals, events and log lines, in PERIOD seconds.
LISTED_MAX: Final = 60
#: Logins, of all users together, in PERIOD seconds: more than a server can do for long.
LOGINS_MAX: Final = 6000
PERIOD: Final = 60.0


class _Minute:
    """Counts what happens in a minute.

    Args:
        most: so many are listed; the others are counted.
        tell: is told how many others there were, at the end of each minute in which there were any.
    """

    def __init__(self, most: int, tell: Callable[[int], object]) -> None:
        self._most = most
        self._tell = tell
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def lists(self) -> bool:
        """One more; is it listed?"""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PERIOD, self.flush)
        self._count += 1
        return self._count <= self._most

    def flush(self) -> None:
        """Say how many were not listed, and begin anew."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        more, self._count = self._count - self._most, 0
        if more > 0:
            self._tell(more)


class Refusals:
    """Emits the logins that were refused, which attackers can repeat without end."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._minute = _Minute(LISTED_MAX, self._tell)

    def add(self, who: Principal, reason: str) -> None:
        """One more. Who named no user has not tried to log in: a scan, or a check that the port is open."""
        if self._minute.lists():
            log.info("left without a login", user=who.name, address=who.address, key=who.key, reason=reason)
            if who.name:
                self._events.emit(Kind.LOGIN_REFUSED, who=who, reason=reason)

    def flush(self) -> None:
        """Say how many were not listed, and begin anew."""
        self._minute.flush()

    def _tell(self, more: int) -> None:
        log.warning("more left without a login than are listed", more=more)
        self._events.emit(Kind.LOGIN_REFUSED, reason="more than are listed", more=more)


class Logins:
    """Emits logins, and the ends of those that it emitted. A front that was taken over could claim logins without
    end, and push everything else out of the audit log."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._minute = _Minute(LOGINS_MAX, self._tell)

    def add(self, who: Principal) -> bool:
        """Somebody has logged in; is that listed?"""
        is_listed = self._minute.lists()
        if is_listed:
            self._events.emit(Kind.LOGIN, who=who, local=who.local)
        return is_listed

    def end(self, who: Principal, seconds: float) -> None:
        """A login that was listed is over, so many seconds after its connection began."""
        self._events.emit(Kind.LOGOUT, who=who, local=who.local, seconds=round(seconds, 3))

    def flush(self) -> None:
        """Say how many were not listed, and begin anew."""
        self._minute.flush()

    def _tell(self, more: int) -> None:
        log.warning("more logged in than are listed", more=more)
        self._events.emit(Kind.LOGIN, reason="more than are listed", more=more)
