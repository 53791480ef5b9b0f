"""The core's reception of users. What a front tells about logins becomes events, log lines and sessions."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

import structlog

from oobconsole.access import Principal
from oobconsole.errors import FrontError
from oobconsole.events import Events
from oobconsole.front.ends import INPUT_WINDOW, ClientEnd, Unavailable, UserKeys
from oobconsole.front.frames import Opening
from oobconsole.front.refusals import Logins, Refusals
from oobconsole.front.visitor import Visitor
from oobconsole.session.run import Sessions

log = structlog.get_logger(__name__)

#: How many sessions one connection may have. Sessions that have ended, but that the client has not closed, count.
SESSIONS_MAX: Final = 40
#: How many bytes of input may wait in a session. When a front has `WIDE_SESSIONS` sessions, further ones may have
#: fewer, so that input that nobody reads stays bounded, however many sessions a front begins.
WINDOW: Final = 65536
WIDE_SESSIONS: Final = 1024


class Reception:
    """What all fronts share.

    Attributes:
        sessions: the sessions that run.
        refusals: reports the logins that were refused.
        logins: reports the logins that succeeded.
    """

    def __init__(self, sessions: Sessions, events: Events) -> None:
        self.sessions = sessions
        self.refusals = Refusals(events)
        self.logins = Logins(events)

    async def stop(self) -> None:
        """End the sessions, and report what was counted."""
        await self.sessions.stop()
        self.refusals.flush()
        self.logins.flush()


@dataclass(slots=True)
class _Connection:
    """A connection over which a user has logged in.

    Attributes:
        began: when the connection began, by `time.monotonic`.
        listed: the login was reported, so its end will be, too.
    """

    who: Principal
    began: float
    listed: bool
    visitors: set[Visitor] = field(default_factory=set)


class Lobby:
    """All users who have come in through one front. For a front in the core's own process it is the core
    (`ends.Core`).

    All methods raise `FrontError` when a front says something that cannot be true.

    Args:
        most: how many connections there may be at the same time.
    """

    def __init__(self, reception: Reception, most: int) -> None:
        self.most = most
        self._reception = reception
        self._connections: dict[int, _Connection] = {}
        self._last = 0
        self._visitors: set[Visitor] = set()

    @property
    def visitors(self) -> tuple[Visitor, ...]:
        """The core's ends of all sessions that have come through this front."""
        return tuple(self._visitors)

    @property
    def connections(self) -> int:
        """How many connections there are now over which a user has logged in."""
        return len(self._connections)

    def logged_in(self, connection: int, who: Principal, age: float) -> None:
        """A user has logged in, over a connection that began `age` seconds ago."""
        if connection <= self._last:
            raise FrontError(f"LOGIN is a second login of connection {connection}, or comes after a higher number")
        if len(self._connections) >= self.most:
            raise FrontError(
                f"LOGIN makes more than {self.most} connections, which is the most that the front may have"
            )
        self._last = connection
        is_listed = self._reception.logins.add(who)
        self._connections[connection] = _Connection(who, time.monotonic() - age, is_listed)
        if self._reception.sessions.user_log.allows(who.name, user=who.name):
            log.info("logged in", user=who.name, address=who.address, key=who.key, local=who.local)

    def has_sessions(self, connection: int) -> bool:
        """Return whether a session is open on that connection."""
        known = self._connections.get(connection)
        return known is not None and bool(known.visitors)

    def logged_out(self, connection: int) -> None:
        """A connection is over: ends its sessions, and reports the end of the login."""
        over = self._connections.pop(connection, None)
        if over is None:
            raise FrontError(f"LOGOUT ends connection {connection}, which there is not")
        for visitor in tuple(over.visitors):
            visitor.lost()
        if over.listed:
            self._reception.logins.end(over.who, time.monotonic() - over.began)

    def refused(self, who: Principal, reason: str) -> None:
        """A client has left without a login."""
        self._reception.refusals.add(who, reason)

    def open(self, connection: int, wanted: Opening, client: ClientEnd) -> Visitor:
        """Begin a session of the user who has logged in over that connection."""
        by = self._connections.get(connection)
        if by is None:
            raise FrontError(f"OPEN begins a session of connection {connection}, which there is not")
        if len(by.visitors) >= SESSIONS_MAX:
            raise FrontError(f"OPEN begins more than {SESSIONS_MAX} sessions of one connection")

        def closed(visitor: Visitor) -> None:
            by.visitors.discard(visitor)
            self._visitors.discard(visitor)

        window = WINDOW if len(self._visitors) < WIDE_SESSIONS else INPUT_WINDOW
        visitor = Visitor(wanted, client, closed, window=window)
        by.visitors.add(visitor)
        self._visitors.add(visitor)
        self._reception.sessions.begin(visitor, by.who)
        return visitor

    async def keys(self, user: str) -> UserKeys:
        """Raise `Unavailable`: the core's own front asks the kernel who a user is, and needs no keys."""
        raise Unavailable("there are no keys here", ours=False)

    def set_room(self, room: bool) -> None:
        """Say whether the connection to the front takes more output now."""
        for visitor in self.visitors:
            visitor.set_room(room)

    def end(self, why: str) -> None:
        """The front has ended. Ends all its connections and sessions; `why` is the reason that other users are
        told."""
        for visitor in self.visitors:
            visitor.why_gone = why
        for connection in tuple(self._connections):
            self.logged_out(connection)
