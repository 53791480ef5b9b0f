"""Reports of logins, with a limit. Clients, or a front that was taken over, can cause such reports without end. So
only some entries are written each minute, and then how many more there were."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from oobconsole.access import Principal
from oobconsole.events import Events, Kind

log = structlog.get_logger(__name__)

#: How many refused logins are listed in `PERIOD` seconds, as events and log lines.
LISTED_MAX: Final = 60
#: How many logins of all users together are listed in `PERIOD` seconds. It is more than a server can do for long.
LOGINS_MAX: Final = 6000
#: How long a period is, in seconds.
PERIOD: Final = 60.0


class _Minute:
    """Counts how often something happens in a minute.

    Args:
        most: how often it is listed; further times are only counted.
        tell: called with the number of the further times, at the end of each minute in which there were any.
    """

    def __init__(self, most: int, tell: Callable[[int], object]) -> None:
        self._most = most
        self._tell = tell
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def lists(self) -> bool:
        """Count one more. Returns whether it should be listed."""
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
    """Reports the logins that were refused. Attackers can repeat these without end."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._minute = _Minute(LISTED_MAX, self._tell)

    def add(self, who: Principal, reason: str) -> None:
        """Report one more. If the client named no user, it has not tried to log in, so this is no event: it was a
        scan, or a check that the port is open."""
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
    """Reports logins, and the ends of the logins that it has reported. Why the limit? A front that was taken over
    could claim logins without end, and push everything else out of the audit log."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._minute = _Minute(LOGINS_MAX, self._tell)

    def add(self, who: Principal) -> bool:
        """Report a login. Returns whether it was listed."""
        is_listed = self._minute.lists()
        if is_listed:
            self._events.emit(Kind.LOGIN, who=who, local=who.local)
        return is_listed

    def end(self, who: Principal, seconds: float) -> None:
        """Report the end of a login that was listed, `seconds` after its connection began."""
        self._events.emit(Kind.LOGOUT, who=who, local=who.local, seconds=round(seconds, 3))

    def flush(self) -> None:
        """Say how many were not listed, and begin anew."""
        self._minute.flush()

    def _tell(self, more: int) -> None:
        log.warning("more logged in than are listed", more=more)
        self._events.emit(Kind.LOGIN, reason="more than are listed", more=more)
