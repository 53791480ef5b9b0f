"""QEMU's `-serial unix:…` and `-chardev socket`, and any other byte stream on a socket; either side may listen.

The stream has no framing and no acknowledgement: what QEMU had not sent when its socket broke is lost unnoticed.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Final, NamedTuple, cast

import structlog

from oobconsole.errors import EnvironmentFault
from oobconsole.lines.base import Stream, StreamEvents
from oobconsole.log.log import LogLimit
from oobconsole.net import keepalive
from oobconsole.net.dialer import Dialer, longest_wait, why
from oobconsole.net.listener import Acceptor, Listener, hand_over
from oobconsole.net.looking import look as look_at
from oobconsole.net.names import reach
from oobconsole.supervise import Tasks

log = structlog.get_logger(__name__)

#: How many bytes of input may wait in our socket for QEMU. Beyond that `write` takes nothing.
OUTPUT_MAX: Final = 65536
CONNECT_SECONDS: Final = 10.0
#: How often, once a second, a connection that is in the way of a new one is asked whether it lives.
PROBES: Final = 3
#: How many bytes of output are read at once. All lines take turns with one buffer: each line has taken its bytes out
#: when it returns.
READ_MAX: Final = 65536
_BUFFER: Final = memoryview(bytearray(READ_MAX))
#: QEMU's serial ports write each byte by itself, and each byte would wake us. A line that brings fewer than FEW bytes
#: again within CLOSE_SECONDS is not read for REST_SECONDS. In that time no guest prints more single bytes than QEMU's
#: socket holds (277).
FEW: Final = 256
CLOSE_SECONDS: Final = 0.001
REST_SECONDS: Final = 0.0005
#: A stream that comes and goes may write this many lines a minute to the log.
LOG_LINES: Final = 10


class Address(NamedTuple):
    """Where the other end of a line is.

    Attributes:
        path: the path of a UNIX socket; None: the line is TCP.
        host, port: the other end of TCP.
        listen: whether we listen and QEMU connects (`-chardev socket,…,server=off,reconnect-ms=…`).
    """

    path: Path | None
    host: str
    port: int
    listen: bool

    def __str__(self) -> str:
        return str(self.path) if self.path else f"{self.host}:{self.port}"


def parse(text: str) -> Address:
    """Return the address that a validated text means: `unix:PATH`, `unix-listen:PATH`, `tcp:HOST:PORT` or
    `tcp-listen:HOST:PORT`."""
    kind, _, rest = text.partition(":")
    listen = kind.endswith("-listen")
    if kind.startswith("unix"):
        return Address(Path(rest), "", 0, listen)
    host, _, port = rest.rpartition(":")
    return Address(None, host.strip("[]"), int(port), listen)


class _Connection(asyncio.BufferedProtocol):
    def __init__(self, line: ChardevStream) -> None:
        self._line = line
        self._loop = asyncio.get_running_loop()
        self._last = 0.0
        self._held = self._resting = False
        self._look: asyncio.TimerHandle | None = None
        self.room = True
        self.ended: asyncio.Future[str] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from it
        self.transport.set_write_buffer_limits(high=OUTPUT_MAX)
        self._socket: keepalive.Socket = transport.get_extra_info("socket")
        if keepalive.keep_alive(self._socket):
            self._look = self._loop.call_later(keepalive.LOOK_SECONDS, self._look_for_dead)
        self._line.connected(self)

    def _look_for_dead(self) -> None:
        """End the connection if the other end does not answer. The kernel does not probe while data that was sent is
        not answered: it would try to send that data for a quarter of an hour."""
        if keepalive.unanswered(self._socket):
            self.abort(f"the other end has not answered for {keepalive.UNANSWERED_SECONDS:g} s")
        else:
            self._look = self._loop.call_later(keepalive.LOOK_SECONDS, self._look_for_dead)

    async def probe(self) -> bool:
        """Ask the other end now. Returns whether it answers."""
        keepalive.keep_alive(self._socket, idle=1, interval=1, count=PROBES)
        await asyncio.wait((self.ended,), timeout=PROBES + 2)
        if not self.ended.done() and keepalive.unanswered(self._socket, PROBES):
            self.abort("the other end does not answer")
        if self.ended.done():
            return False
        keepalive.keep_alive(self._socket)
        return True

    def abort(self, reason: str) -> None:
        """End the connection, for that reason. A second call does nothing."""
        if not self.ended.done():
            self.ended.set_result(reason)
        self.transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER[: self._line.at_once]

    def buffer_updated(self, nbytes: int) -> None:
        self._line.events.output(bytes(_BUFFER[:nbytes]))
        now = self._loop.time()
        if nbytes < FEW and now - self._last < CLOSE_SECONDS and not self._resting:
            self._resting = True
            self._read_or_not()
            self._loop.call_later(REST_SECONDS, self._rested)
        self._last = now

    def _rested(self) -> None:
        self._resting = False
        self._last = self._loop.time()  # what has come meanwhile counts as close behind
        self._read_or_not()

    def hold(self, held: bool) -> None:
        """Stop reading, so that the guest has to wait (`held` is true), or go on."""
        self._held = held
        self._read_or_not()

    def _read_or_not(self) -> None:
        if self.transport.is_closing():
            return
        if self._held or self._resting:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        self.room = False

    def resume_writing(self) -> None:
        self.room = True
        self._line.events.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look is not None:
            self._look.cancel()
        if not self.ended.done():
            reason = why(exc) if isinstance(exc, OSError) else "the other end closed the connection"
            self.ended.set_result(reason)


class ChardevStream(Stream):
    """One line over a socket.

    Args:
        name: the name of the console, for the log.
        address: where the other end is.
        at_once: how many bytes of output are read at once.
    """

    events: StreamEvents

    def __init__(self, name: str, address: Address, *, at_once: int = READ_MAX) -> None:
        self.name = name
        self.at_once = min(at_once, READ_MAX)
        self.address = address
        self._connection: _Connection | None = None
        path = address.path
        look = None if path is None else lambda: look_at(path)
        self._dialer = Dialer(self._dial, self._down, look=look, longest=longest_wait(None if path else address.host))
        self._acceptor: Acceptor | None = None
        self._accepted = Tasks()
        self._free = asyncio.Event()  # set when the end of the last connection was reported
        self._taking = False  # a socket that has come is being dealt with
        self._limit = LogLimit(LOG_LINES)

    async def start(self, events: StreamEvents) -> None:
        self.events = events
        if not self.address.listen:
            self._dialer.start()
            return
        if self.address.path:
            self._acceptor = Listener(self.address.path, self._accept, self._not_accepted)
        else:
            self._acceptor = Acceptor(self._bind_tcp(), self._accept, self._not_accepted)
        events.down(f"nobody has connected to {self.address} yet", None)

    async def stop(self) -> None:
        await self._dialer.stop()
        if self._acceptor is not None:
            self._acceptor.close()
            self._acceptor = None
        if self._connection is not None:
            self._connection.transport.abort()
        await self._accepted.wait()

    def write(self, data: bytes) -> int:
        connection = self._connection
        if connection is None or not connection.room or connection.transport.is_closing():
            return 0
        connection.transport.write(data)
        return len(data)

    def hold(self, held: bool) -> bool:
        connection = self._connection
        if connection is None or connection.transport.is_closing():
            return False
        connection.hold(held)
        return True

    # -- connections --------------------------------------------------------------------------------

    def connected(self, connection: _Connection) -> None:
        """Note that this connection is the only one from now on."""
        self._connection = connection
        self._free.clear()
        self.events.up(str(self.address))

    async def _dial(self) -> str:
        loop = asyncio.get_running_loop()
        path, host, port, _ = self.address
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                if path:
                    _, made = await loop.create_unix_connection(lambda: _Connection(self), str(path))
                else:
                    _, made = await reach(
                        host, lambda address: loop.create_connection(lambda: _Connection(self), address, port)
                    )
        except TimeoutError as error:
            raise OSError(f"{self.address} did not answer in {CONNECT_SECONDS:g} s") from error
        except OSError as error:
            raise OSError(f"{self.address} cannot be reached: {why(error)}") from error
        return await self._until_ended(made)

    async def _until_ended(self, connection: _Connection) -> str:
        try:
            return await connection.ended
        finally:
            self._connection = None
            connection.transport.abort()

    def _down(self, reason: str, retry_s: float | None) -> None:
        if self._dialer.news and self._limit.allows(console=self.name):
            log.info("line is down", console=self.name, reason=reason, retry_s=retry_s and round(retry_s, 1))
        self.events.down(reason, retry_s)

    # -- when we listen -----------------------------------------------------------------------------

    def _bind_tcp(self) -> socket.socket:
        host, port = self.address.host, self.address.port
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = socket.create_server((host, port), family=family)
        except OSError as error:
            raise EnvironmentFault(f"cannot listen on {self.address}: {why(error)}") from error
        listener.setblocking(False)
        return listener

    def _accept(self, sock: socket.socket) -> None:
        self._accepted.start(self._take(sock), f"connection of {self.name}")

    async def _take(self, sock: socket.socket) -> None:
        try:
            connection = None if self._taking else await self._take_one(sock)
        except OSError as error:
            self._not_accepted(why(error))
            return
        if connection is None:
            sock.close()
            self._not_accepted("it is connected already")
            return
        self._down(await self._until_ended(connection), None)
        self._free.set()

    async def _take_one(self, sock: socket.socket) -> _Connection | None:
        """Make a connection of a socket, unless there is one already. Only one socket at a time is dealt with here:
        two that came in the same turn of the event loop would both find the place free.

        Raises:
            OSError: the socket is no good.
        """
        self._taking = True
        try:
            if self._connection is not None and not await self._make_room(self._connection):
                return None
            return await hand_over(sock, lambda: _Connection(self))
        finally:
            self._taking = False

    async def _make_room(self, old: _Connection) -> bool:
        """Return whether there is room for a new connection. The host that connects again may have lost its power, so
        the connection that is there is asked whether it still answers."""
        if self.address.path or await old.probe():
            return False
        await self._free.wait()
        return True

    def _not_accepted(self, reason: str) -> None:
        if self._limit.allows(console=self.name):
            log.warning("a connection to a line is refused", console=self.name, line=str(self.address), reason=reason)
