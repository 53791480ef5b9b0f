"""Who has come in, in the core: what those who let people in say becomes events, log lines and sessions."""

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

#: Sessions that one connection may have, with those that have ended and that the client has not closed.
SESSIONS_MAX: Final = 40
#: Bytes of input that may wait in a session. From so many sessions of one front on, a further one may have fewer:
#: what nobody reads stays bounded, however many sessions a front begins.
WINDOW: Final = 65536
WIDE_SESSIONS: Final = 1024


class Reception:
    """What all who let people in share.

    Attributes:
        sessions: those that run.
        refusals: logins that were refused.
        logins: those that were not.
    """

    def __init__(self, sessions: Sessions, events: Events) -> None:
        self.sessions = sessions
        self.refusals = Refusals(events)
        self.logins = Logins(events)

    async def stop(self) -> None:
        """End the sessions, and tell what was counted."""
        await self.sessions.stop()
        self.refusals.flush()
        self.logins.flush()


@dataclass(slots=True)
class _Connection:
    """Somebody who has logged in.

    Attributes:
        began: when the connection began, by `time.monotonic`.
        listed: the login was told of, so that its end is, too.
    """

    who: Principal
    began: float
    listed: bool
    visitors: set[Visitor] = field(default_factory=set)


class Lobby:
    """Whoever came in by one front. It is the core itself (`ends.Core`) to a front of the same process.

    Args:
        most: connections at the same time.

    Everything raises `FrontError` where a front says what cannot be.
    """

    def __init__(self, reception: Reception, most: int) -> None:
        self.most = most
        self._reception = reception
        self._connections: dict[int, _Connection] = {}
        self._last = 0
        self._visitors: set[Visitor] = set()

    @property
    def visitors(self) -> tuple[Visitor, ...]:
        """Everybody who has a session here."""
        return tuple(self._visitors)

    def logged_in(self, connection: int, who: Principal, age: float) -> None:
        """Somebody has logged in, over a connection that began so many seconds ago."""
        if connection <= self._last:
            raise FrontError(f"a second login of connection {connection}")
        if len(self._connections) >= self.most:
            raise FrontError(f"more than {self.most} connections")
        self._last = connection
        is_listed = self._reception.logins.add(who)
        self._connections[connection] = _Connection(who, time.monotonic() - age, is_listed)
        if self._reception.sessions.user_log.allows(who.name, user=who.name):
            log.info("logged in", user=who.name, address=who.address, key=who.key, local=who.local)

    def has_sessions(self, connection: int) -> bool:
        """Has anybody who came by that connection a session?"""
        known = self._connections.get(connection)
        return known is not None and bool(known.visitors)

    def logged_out(self, connection: int) -> None:
        """That connection is over."""
        over = self._connections.pop(connection, None)
        if over is None:
            raise FrontError(f"the end of connection {connection}, which there is not")
        for visitor in tuple(over.visitors):
            visitor.lost()
        if over.listed:
            self._reception.logins.end(over.who, time.monotonic() - over.began)

    def refused(self, who: Principal, reason: str) -> None:
        """Somebody has left without a login."""
        self._reception.refusals.add(who, reason)

    def open(self, connection: int, wanted: Opening, client: ClientEnd) -> Visitor:
        """Begin a session of whoever has logged in there."""
        by = self._connections.get(connection)
        if by is None:
            raise FrontError(f"a session of connection {connection}, which there is not")
        if len(by.visitors) >= SESSIONS_MAX:
            raise FrontError(f"more than {SESSIONS_MAX} sessions of one connection")

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
        """The core's own front asks the kernel who somebody is, and for no keys."""
        raise Unavailable("there are no keys here", ours=False)

    def set_room(self, room: bool) -> None:
        """Does what is between us and the front take anything now?"""
        for visitor in self.visitors:
            visitor.set_room(room)

    def end(self, why: str) -> None:
        """The front is no more: all its connections and sessions are over, for a reason that others are told."""
        for visitor in self.visitors:
            visitor.why_gone = why
        for connection in tuple(self._connections):
            self.logged_out(connection)
