"""The interfaces between a session in the core and its client in a front, and between a front and the core.

A session and its client's channel are either in one process (the local socket), or in two, with the relay between
them. Neither end can tell the difference, because both use the interfaces in this module. In both directions the
number of bytes on their way is bounded by credit. No method here waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from oobconsole.access import Principal
from oobconsole.front.frames import Opening

#: How many bytes of input a client's end may send before it gets credit. A session may give more credit when it
#: begins.
INPUT_WINDOW: Final = 4096
#: How many bytes of output a session may send before it gets credit: twice as many as a frame may have. While the
#: front handles one frame, the next one is on its way.
OUTPUT_WINDOW: Final = 131072
#: Credit is given back only when it is at least this part of the window (a fourth), so that a key and its echo need
#: no third frame.
PORTION: Final = 4
#: How many questions about users' keys of one front may be without an answer at the same time.
QUESTIONS_MAX: Final = 64
#: How many sessions one front may have. Sessions that have ended, but that the client has not closed, count. A front
#: refuses more, and the core ends a front that does not.
FRONT_SESSIONS_MAX: Final = 10_000
#: How many connections may wait to be accepted, also while there is no front to accept them.
BACKLOG: Final = 1024


class ClientEnd(Protocol):
    """The client of a session, as the session sees it."""

    def send(self, data: bytes, *, error: bool) -> None:
        """Send bytes to the client, at most as many as there is credit for.

        Args:
            error: send them to standard error, and not to standard output.
        """

    def taken(self, count: int) -> None:
        """Give the client credit: it may send `count` more bytes of input."""

    def break_answered(self, sent: bool) -> None:
        """Tell the client whether the break was sent for which it wanted an answer."""

    def finish(self, status: int) -> None:
        """End the session. All output was sent before, and the client is told the exit status."""


class SessionEnd(Protocol):
    """The session of a client, as the client's end sees it."""

    def typed(self, data: bytes, at: float) -> None:
        """Bytes have come from the client, at most as many as there is credit for.

        Args:
            at: when they came, by `time.monotonic`.
        """

    def input_ended(self) -> None:
        """The client will type no more. Output goes on."""

    def resized(self, rows: int, columns: int) -> None:
        """The client's terminal has another size."""

    def break_asked(self, *, answer: bool) -> None:
        """The client asks for a break (RFC 4335).

        Args:
            answer: the client wants to be told whether the break was sent. It asks for no other such break meanwhile.
        """

    def signalled(self, signal: str) -> None:
        """The client has sent a signal, one of `session.signals.SIGNALS`."""

    def credit(self, count: int) -> None:
        """Give the session credit: the client's end can take `count` more bytes of output."""

    def reads_no_more(self) -> None:
        """The client reads no more output, so the session ends as if the client had hung up. But the client's end is
        still told the exit status."""

    def dismissed(self, reason: str) -> None:
        """The user has lost the right to be here. The user is told why, and the session ends."""

    def lost(self) -> None:
        """The client has closed the session."""


class UserKeys(NamedTuple):
    """A user's file of keys.

    Attributes:
        file: the path of the file, for messages; empty: the user has no such file.
        lines: the lines of the file.
    """

    file: str = ""
    lines: Sequence[str] = ()


class Unavailable(Exception):
    """A user's keys cannot be read. The message says why.

    Attributes:
        ours: the fault is this host's, or the core's. It says nothing about the user who wants to log in.
    """

    def __init__(self, reason: str, *, ours: bool) -> None:
        self.ours = ours
        super().__init__(reason)


class Core(Protocol):
    """The core, as a front sees it. The front numbers its connections, and uses each number only once."""

    def logged_in(self, connection: int, who: Principal, age: float) -> None:
        """A user has logged in, over a connection that began `age` seconds ago."""

    def logged_out(self, connection: int) -> None:
        """A connection is over, and all its sessions are closed."""

    def refused(self, who: Principal, reason: str) -> None:
        """A client has left without a login."""

    def open(self, connection: int, wanted: Opening, client: ClientEnd) -> SessionEnd:
        """Begin a session of the user who has logged in over that connection. At first `client` can take
        `OUTPUT_WINDOW` bytes, and the session `INPUT_WINDOW` bytes."""

    async def keys(self, user: str) -> UserKeys:
        """Return a user's file of keys.

        Raises:
            Unavailable: the file cannot be used.
        """


class CoreOfFront(Core, Protocol):
    """The core, as a front in a process of its own sees it."""

    def turned_away(self) -> None:
        """The front has closed a connection at once, because of a limit or a penalty. The core counts these."""
