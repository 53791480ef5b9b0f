"""The UNIX socket of a machine's native half: private from its first moment, and never somebody else's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from oobconsole.net.unixsocket import UnixSocket

P = TypeVar("P", bound=asyncio.BaseProtocol)

#: When the process or the host has no descriptor left, in seconds.
RETRY_SECONDS: Final = 1.0


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
