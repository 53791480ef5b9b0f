"""The two ends of a session, as each sees the other, and what those who let people in see of the core.

A session of the core and the channel of its client are either in one process (the local socket), or in two, with the
relay between them. Neither end can tell which it is: both speak through what is written here, and both ways are
bounded by credit, in bytes. Nothing here waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from oobconsole.access import Principal
from oobconsole.front.frames import Opening

#: Bytes of input that a client's end may send at once. The session widens that as soon as it has begun, if it can.
INPUT_WINDOW: Final = 4096
#: Bytes of output that a session may send at once.
OUTPUT_WINDOW: Final = 65536
#: Credit is given back in portions of this part of the window at least: a key and its echo need no third frame.
PORTION: Final = 4
#: Connections that wait to be accepted, also while no front is there to accept them.
BACKLOG: Final = 1024


class ClientEnd(Protocol):
    """A session's client."""

    def send(self, data: bytes, *, error: bool) -> None:
        """Send bytes, at most as many as there is credit for.

        Args:
            error: on standard error.
        """

    def taken(self, count: int) -> None:
        """So many bytes of input have been read: as many more may come."""

    def finish(self, status: int) -> None:
        """The session has ended. Everything was sent; the client is told the exit status."""


class SessionEnd(Protocol):
    """A client's session."""

    def typed(self, data: bytes, at: float) -> None:
        """Bytes came from the client, at most as many as there is credit for.

        Args:
            at: when they came, by `time.monotonic`.
        """

    def input_ended(self) -> None:
        """The client types no more; output goes on."""

    def resized(self, rows: int, columns: int) -> None:
        """The client's terminal has another size."""

    def break_asked(self) -> None:
        """The client asks for a break (RFC 4335)."""

    def credit(self, count: int) -> None:
        """So many bytes more of output can be taken."""

    def reads_no_more(self) -> None:
        """The session ends as that of a client that has hung up, but somebody still wants to know how."""

    def dismissed(self, reason: str) -> None:
        """Whoever it is may be here no longer: they are told why, and the session ends."""

    def lost(self) -> None:
        """The client has closed the session."""


class UserKeys(NamedTuple):
    """A user's file of keys.

    Attributes:
        file: its path, for messages; empty: there is none.
        lines: what it holds.
    """

    file: str = ""
    lines: Sequence[str] = ()


class Unavailable(Exception):
    """A user's keys cannot be had; says why.

    Attributes:
        ours: for a fault of this host, or of the core, which says nothing about who wants to log in.
    """

    def __init__(self, reason: str, *, ours: bool) -> None:
        self.ours = ours
        super().__init__(reason)


class Core(Protocol):
    """What whoever lets people in sees of the core. Connections have numbers, which the core's side chooses nothing
    by: a number is used for one connection only."""

    def logged_in(self, connection: int, who: Principal, age: float) -> None:
        """Somebody has logged in, over a connection that began so many seconds ago."""

    def logged_out(self, connection: int) -> None:
        """That connection is over, and all its sessions are closed."""

    def refused(self, who: Principal, reason: str) -> None:
        """Somebody has left without a login."""

    def open(self, connection: int, wanted: Opening, client: ClientEnd) -> SessionEnd:
        """Begin a session of whoever has logged in there. `client` may be given `OUTPUT_WINDOW` bytes at once, and
        the session `INPUT_WINDOW`."""

    async def keys(self, user: str) -> UserKeys:
        """A user's file of keys.

        Raises:
            Unavailable: it cannot be used.
        """
