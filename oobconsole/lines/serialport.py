"""Real serial ports by pyserial: `/dev/ttyS*`, USB adapters that come and go, and `rfc2217://` terminal servers."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import termios
import threading
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import serial
import structlog
from serial import rfc2217

from oobconsole import supervise
from oobconsole.config.guests import SerialConfig
from oobconsole.lines.base import Stream, StreamEvents
from oobconsole.lines.port import Port, Remote, Tty
from oobconsole.lines.uucp import PortLock, PortTakenError, flock_holder
from oobconsole.log.log import LogLimit
from oobconsole.net.dialer import Dialer, longest_wait
from oobconsole.net.looking import look as look_at
from oobconsole.threads import in_thread

log = structlog.get_logger(__name__)

LOG_LINES = 10


class Opening:
    """Opening a port takes a thread, and whoever waits for it may be told to stop meanwhile: then the thread leaves
    neither the port open nor its lock files.

    Args:
        open_: opens it, in a thread; what else is to be undone at the end goes to the stack that it is given.
    """

    def __init__(self, open_: Callable[[contextlib.ExitStack], serial.Serial | rfc2217.Serial]) -> None:
        self._open = open_
        self._lock = threading.Lock()
        self._held = contextlib.ExitStack()
        self._port: serial.Serial | rfc2217.Serial | None = None
        self._closed = False

    def run(self) -> serial.Serial | rfc2217.Serial:
        """Open it; in a thread. Raises what `open_` does."""
        with contextlib.ExitStack() as held:
            port = self._open(held)
            with self._lock:
                if not self._closed:
                    self._held, self._port = held.pop_all(), port
                    return port
            port.close()
            raise OSError("nobody waits for it any more")

    def taken(self) -> None:
        """Somebody else closes the port from now on."""
        self._port = None

    def close(self) -> None:
        """Undo what was done, or will have been. Idempotent."""
        with self._lock:
            self._closed = True
        if self._port is not None:
            supervise.thread(self._port.close, name=f"close {self._port.name}")  # pyserial waits for its own thread
            self._port = None
        self._held.close()


class SerialStream(Stream):
    """One serial port.

    Args:
        name: the name of the console, for the log.
        config: which port it is, and how it is set.
    """

    events: StreamEvents
    has_break = True

    def __init__(self, name: str, config: SerialConfig) -> None:
        self.name = name
        self.config = config
        self._port: Port | None = None
        self._remote = "://" in config.device
        look = None if self._remote else lambda: look_at(config.device)
        longest = longest_wait((urlsplit(config.device).hostname or "") if self._remote else None)
        self._dialer = Dialer(self._open, self._down, look=look, longest=longest)
        self._lock_told = ""
        self._ended: asyncio.Future[str] | None = None
        self._limit = LogLimit(LOG_LINES)

    async def start(self, events: StreamEvents) -> None:
        self.events = events
        self._dialer.start()

    async def stop(self) -> None:
        await self._dialer.stop()

    def write(self, data: bytes) -> int:
        return self._port.write(data) if self._port else 0

    def send_break(self) -> bool | Awaitable[None]:
        return self._port.send_break() if self._port is not None else False

    # -- the port's life ----------------------------------------------------------------------------

    async def _open(self) -> str:
        with contextlib.ExitStack() as held, contextlib.closing(Opening(self._open_locked)) as opening:
            port = await in_thread(opening.run, f"open {self.name}")
            opened = Tty(port, self) if isinstance(port, serial.Serial) else Remote(port, self)
            opening.taken()
            held.callback(opened.close)
            self._ended, self._port = asyncio.get_running_loop().create_future(), opened
            try:
                self.events.up(self.config.device)
                return f"{self.config.device}: {await self._ended}"
            finally:
                self._port = None

    def _open_locked(self, held: contextlib.ExitStack) -> serial.Serial | rfc2217.Serial:
        """Open the port, after other programs have been asked whether they have it: merely opening a port may hang up
        a modem. Raises `OSError`, whose message says in words why the port cannot be opened."""
        try:
            self._take_lock(held)
            return self._open_blocking()
        except PortTakenError as error:
            raise OSError(f"{self.config.device}: {error}") from error
        except (OSError, ValueError, termios.error) as error:
            raise OSError(f"{self.config.device} cannot be opened: {self._words(error)}") from error

    def _take_lock(self, held: contextlib.ExitStack) -> None:
        if not self._remote:
            lock = PortLock(self.config.device)
            held.callback(lock.release)
            if lock.trouble != self._lock_told:
                self._lock_told = lock.trouble
                log.info("other programs may not know that this port is taken", console=self.name, why=lock.trouble)

    def _open_blocking(self) -> serial.Serial | rfc2217.Serial:
        config = self.config
        port: serial.Serial | rfc2217.Serial = (rfc2217.Serial if self._remote else serial.Serial)(
            baudrate=config.baud,
            bytesize=config.bits,
            parity=config.parity[0].upper(),
            stopbits=config.stop_bits,
            rtscts=config.flow == "rtscts",
            xonxoff=config.flow == "xonxoff",
            timeout=None if self._remote else 0,
        )
        if not self._remote:
            port.exclusive = True
        port.port, port.dtr, port.rts = config.device, config.dtr, config.rts
        port.open()
        return port

    def _down(self, reason: str, retry_s: float | None) -> None:
        if self._dialer.news and self._limit.allows(console=self.name):
            log.info("line is down", console=self.name, reason=reason, retry_s=retry_s and round(retry_s, 1))
        self.events.down(reason, retry_s)

    # -- Owner --------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        self.events.output(data)

    def room(self) -> None:
        self.events.writable()

    def ended(self, port: Port, reason: str) -> None:
        if port is self._port and self._ended is not None and not self._ended.done():
            self._ended.set_result(reason)

    def _words(self, error: Exception) -> str:
        number = error.args[0] if isinstance(error, termios.error) else getattr(error, "errno", None)
        if self._remote or not isinstance(number, int):
            return str(error)
        if number == errno.EAGAIN:
            return f"{flock_holder(self.config.device)} has locked it (flock)"
        if number == errno.EBUSY:
            return "another program has it for itself alone (TIOCEXCL), or drives it"
        return os.strerror(number)
