"""Real serial ports by pyserial: `/dev/ttyS*`, USB adapters that come and go, and `rfc2217://` terminal servers."""

from __future__ import annotations

import asyncio
import os
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import serial
import structlog
from serial import rfc2217

from oobconsole import supervise
from oobconsole.dialer import Dialer
from oobconsole.interceptors.stream import Stream, StreamEvents
from oobconsole.log import LogLimit
from oobconsole.settings import SerialConfig

log = structlog.get_logger(__name__)

#: At least as long as a character at 50 baud, and what terminal servers send: 0.25 s (tcsendbreak(3)).
BREAK_SECONDS: Final = 0.25
#: Read at once, and waiting to be written, in bytes.
READ_MAX: Final = 65536
WRITE_MAX: Final = 4096
LOG_LINES: Final = 10


class _Owner(Protocol):
    """Whom a port tells."""

    def received(self, data: bytes) -> None:
        """It was read."""

    def room(self) -> None:
        """More can be written."""

    def ended(self, reason: str) -> None:
        """The port is no more."""


class _Port(ABC):
    """An open port. Everything but `close` is called from the event loop's thread."""

    @abstractmethod
    def write(self, data: bytes) -> int: ...

    @abstractmethod
    def send_break(self) -> None: ...

    @abstractmethod
    def close(self) -> None: ...


class _Tty(_Port):
    """A tty of this host, non-blocking."""

    def __init__(self, port: serial.Serial, owner: _Owner) -> None:
        self._port = port
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._fd = port.fileno()
        self._waiting = False
        self._timer: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_MAX)
        except BlockingIOError:
            return
        except OSError as error:
            self._owner.ended(f"it cannot be read: {error.strerror}")
            return
        if data:
            self._owner.received(data)
        else:
            self._owner.ended("it is gone (hung up or unplugged)")

    def write(self, data: bytes) -> int:
        try:
            written = os.write(self._fd, data)
        except BlockingIOError:
            written = 0
        except OSError as error:
            self._loop.call_soon(self._owner.ended, f"it cannot be written: {error.strerror}")
            return 0
        if written < len(data) and not self._waiting:
            self._waiting = True
            self._loop.add_writer(self._fd, self._writable)
        return written

    def _writable(self) -> None:
        self._waiting = False
        self._loop.remove_writer(self._fd)
        self._owner.room()

    def send_break(self) -> None:
        self._port.break_condition = True
        self._timer = self._loop.call_later(BREAK_SECONDS, self._end_break)

    def _end_break(self) -> None:
        self._timer = None
        try:
            self._port.break_condition = False
        except OSError as error:
            self._owner.ended(f"its break cannot be ended: {error}")

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._fd)
        if self._waiting:
            self._loop.remove_writer(self._fd)
        self._port.close()


class _Remote(_Port):
    """A port that pyserial reaches over the network: blocking, so each direction has a thread."""

    def __init__(self, port: rfc2217.Serial, owner: _Owner) -> None:
        self._port = port
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._out: deque[bytes | Callable[[], object]] = deque()
        self._out_bytes = 0
        self._wake = threading.Semaphore(0)
        self._taken = threading.Semaphore(1)  # the event loop has taken what was read before
        for target in (self._read, self._write):
            supervise.thread(target, name=f"serial {port.name}")

    def write(self, data: bytes) -> int:
        data = data[: WRITE_MAX - self._out_bytes]
        if data:
            self._out_bytes += len(data)
            self._post(data)
        return len(data)

    def send_break(self) -> None:
        self._post(lambda: self._port.send_break(BREAK_SECONDS))

    def _post(self, what: bytes | Callable[[], object]) -> None:
        self._out.append(what)
        self._wake.release()

    def close(self) -> None:
        self._closed = True
        self._wake.release()
        self._taken.release()
        self._loop.run_in_executor(None, self._port.close)  # it waits for its own thread

    def _tell(self, call: Callable[..., object], *args: object) -> None:
        if not self._closed and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._told, call, args)

    def _told(self, call: Callable[..., object], args: tuple[object, ...]) -> None:
        if not self._closed:
            call(*args)

    def _read(self) -> None:
        try:
            while not self._closed:
                data = self._port.read(1)
                data += self._port.read(min(READ_MAX, self._port.in_waiting)) if data else b""
                if not data:
                    raise serial.SerialException("the other end closed the connection")
                self._taken.acquire()
                self._tell(self._received, data)
        except Exception as error:  # pyserial raises many kinds, above all when it is closed meanwhile
            self._tell(self._owner.ended, str(error))

    def _received(self, data: bytes) -> None:
        self._taken.release()
        self._owner.received(data)

    def _write(self) -> None:
        try:
            while True:
                self._wake.acquire()
                if self._closed:
                    return
                what = self._out.popleft()
                if isinstance(what, bytes):
                    self._port.write(what)
                    self._tell(self._sent, len(what))
                else:
                    what()
        except Exception as error:  # as above: whatever it is, whoever has the port is told
            self._tell(self._owner.ended, str(error))

    def _sent(self, count: int) -> None:
        self._out_bytes -= count
        self._owner.room()


class SerialStream(Stream):
    """One serial port.

    Args:
        name: the console's, for the log.
        config: which port, and how it is set.
    """

    events: StreamEvents
    has_break = True

    def __init__(self, name: str, config: SerialConfig) -> None:
        self.name = name
        self.config = config
        self._port: _Port | None = None
        self._dialer = Dialer(self._open, self._down)
        self._ended: asyncio.Future[str] | None = None
        self._limit = LogLimit(LOG_LINES)

    async def start(self, events: StreamEvents) -> None:
        self.events = events
        self._dialer.start()

    async def stop(self) -> None:
        await self._dialer.stop()

    def write(self, data: bytes) -> int:
        return self._port.write(data) if self._port else 0

    def send_break(self) -> bool:
        if self._port is not None:
            self._port.send_break()
        return self._port is not None

    # -- the port's life ----------------------------------------------------------------------------

    async def _open(self) -> str:
        try:
            port = await asyncio.to_thread(self._open_blocking)
        except (OSError, ValueError) as error:
            raise OSError(f"{self.config.device} cannot be opened: {_words(error)}") from error
        self._ended = asyncio.get_running_loop().create_future()
        self._port = opened = _Tty(port, self) if isinstance(port, serial.Serial) else _Remote(port, self)
        try:
            self.events.up(self.config.device)
            return f"{self.config.device}: {await self._ended}"
        finally:
            self._port = None
            opened.close()

    def _open_blocking(self) -> serial.Serial | rfc2217.Serial:
        config = self.config
        remote = "://" in config.device
        port: serial.Serial | rfc2217.Serial = (rfc2217.Serial if remote else serial.Serial)(
            baudrate=config.baud,
            bytesize=config.bits,
            parity=config.parity[0].upper(),
            stopbits=config.stop_bits,
            rtscts=config.flow == "rtscts",
            xonxoff=config.flow == "xonxoff",
            timeout=None if remote else 0,
        )
        if not remote:
            port.exclusive = True
        port.port, port.dtr, port.rts = config.device, config.dtr, config.rts
        port.open()
        return port

    def _down(self, reason: str, retry_s: float) -> None:
        if self._limit.allows(console=self.name):
            log.info("line is down", console=self.name, reason=reason, retry_s=round(retry_s, 1))
        self.events.down(reason, retry_s)

    # -- _Owner -------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        self.events.output(data)

    def room(self) -> None:
        self.events.writable()

    def ended(self, reason: str) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(reason)


def _words(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error)
