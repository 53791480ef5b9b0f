"""Accepting connections: at sockets that listen already, and at a UNIX socket of our own, which is private from its
first moment, and never somebody else's."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import structlog

from oobconsole.log.log import LogLimit
from oobconsole.net.unixsocket import UnixSocket
from oobconsole.supervise import Tasks

log = structlog.get_logger(__name__)

P = TypeVar("P", bound=asyncio.BaseProtocol)

#: When the process or the host has no descriptor left, in seconds.
RETRY_SECONDS: Final = 1.0
#: How many lines a minute the log gets about connections that cannot be accepted.
LOG_LINES: Final = 5


async def hand_over(sock: socket.socket, make: Callable[[], P]) -> P:
    """Give an accepted connection to the event loop, whose it is from now on; returns its protocol.

    uvloop (0.23) closes the socket by its number, and has our object forget it only where the connection did not end
    at once: then the object would close that number again, which is somebody else's by then.

    Raises:
        OSError: it is over already.
    """
    loop = asyncio.get_running_loop()
    connect = loop.create_unix_connection if sock.family == socket.AF_UNIX else loop.create_connection
    try:
        _, protocol = await connect(make, sock=sock)
    finally:
        if type(loop).__module__.startswith("uvloop"):
            sock.detach()
    return protocol


class Acceptor:
    """Accepts connections on a listening socket, non-blocking ones.

    Args:
        listener: non-blocking; closed with the acceptor.
        accepted: gets each connection.
        failed: is told why a connection could not be accepted.
    """

    def __init__(
        self,
        listener: socket.socket,
        accepted: Callable[[socket.socket], object],
        failed: Callable[[str], object],
    ) -> None:
        self._accepted = accepted
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._socket = listener
        self._retry: asyncio.TimerHandle | None = None
        self._listen()

    def close(self) -> None:
        """Accept nobody any more, and close the listening socket."""
        self._loop.remove_reader(self._socket.fileno())
        if self._retry is not None:
            self._retry.cancel()
        self._socket.close()

    def _listen(self) -> None:
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:  # out of descriptors or memory: the connection stays ready, and would spin
            self._loop.remove_reader(self._socket.fileno())
            self._retry = self._loop.call_later(RETRY_SECONDS, self._listen)
            self._failed(error.strerror or str(error))
            return
        connection.setblocking(False)
        self._accepted(connection)


class Entrance:
    """Accepts connections at sockets that listen already, and gives each to a protocol of its own.

    Why not by the event loop's own servers? When no descriptor is left, uvloop's close one that they have in reserve,
    and must open a file to have it again. A front may open none: its server would try again without a pause, with all
    of a processor. Here connections wait until there is a descriptor, and the log says so.

    Args:
        listening: the sockets; closed with the entrance.
        make: makes the protocol of each connection.
    """

    def __init__(self, listening: Sequence[socket.socket], make: Callable[[], asyncio.BaseProtocol]) -> None:
        self._make = make
        self._limit = LogLimit(LOG_LINES)
        self._tasks = Tasks()
        self._acceptors = []
        for sock in listening:
            sock.setblocking(False)
            self._acceptors.append(Acceptor(sock, self._accepted, self._not_accepted))

    def close(self) -> None:
        """Accept nobody any more, and close the listening sockets. A second call does nothing."""
        acceptors, self._acceptors = self._acceptors, []
        for acceptor in acceptors:
            acceptor.close()

    def _accepted(self, sock: socket.socket) -> None:
        self._tasks.start(self._enter(sock), "the beginning of a connection")

    async def _enter(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it is over already
            await hand_over(sock, self._make)

    def _not_accepted(self, reason: str) -> None:
        if self._limit.allows(about="connections that cannot be accepted"):
            log.error("no connection can be accepted now; those that come wait", reason=reason)


class Listener(Acceptor):
    """Accepts connections on `path`, mode 0600.

    Args:
        path: at most 107 bytes; a dead server's socket is replaced, its folder made (0700) when missing.

    Raises:
        EnvironmentFault: the path cannot be had, with the reason.
    """

    def __init__(
        self, path: Path, accepted: Callable[[socket.socket], object], failed: Callable[[str], object]
    ) -> None:
        bound = UnixSocket(path)
        super().__init__(bound.socket, accepted, failed)
        self._bound = bound

    def close(self) -> None:
        """Stop, and remove the socket unless somebody has put another in its place."""
        super().close()
        self._bound.unlink()
