"""An open serial port of this host, or of a terminal server: reading, writing, breaks, and what it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import serial
from serial import rfc2217

from oobconsole import supervise
from oobconsole.errors import LineFault
from oobconsole.net import keepalive
from oobconsole.net.dialer import why

#: How many seconds a break lasts: as terminal servers send it, and no shorter than a character at 50 baud
#: (tcsendbreak(3)).
BREAK_SECONDS: Final = 0.25
#: How many bytes are read at once, and how many may wait to be written.
READ_MAX: Final = 65536
WRITE_MAX: Final = 4096
#: How many bytes pyserial may have read from a terminal server that nobody took from it; then it reads no more.
_QUEUE_MAX: Final = 65536
#: How often, in seconds, pyserial's reader and the other end are looked at: are they still there?
POLL_SECONDS: Final = 1.0
#: How often it is looked whether a port has sent everything, so that a break can be sent.
LOOK_SECONDS: Final = 0.05


class Owner(Protocol):
    """The line that a port belongs to."""

    def received(self, data: bytes) -> None:
        """`data` was read from the port."""

    def room(self) -> None:
        """The port has room again: more can be written to it."""

    def ended(self, port: Port, reason: str) -> None:
        """The port has ended; `reason` says why, in words."""


class Port(ABC):
    """An open port. Everything but `close` is called from the event loop's thread."""

    @abstractmethod
    def write(self, data: bytes) -> int: ...

    @abstractmethod
    def send_break(self) -> bool | Awaitable[None]:
        """Send a break condition, as `Stream.send_break` says."""

    @abstractmethod
    def close(self) -> None: ...


class Tty(Port):
    """A tty of this host, non-blocking.

    Breaks and the close have a thread, because the kernel makes whoever asks for these wait: for a break until
    everything that was written is sent (drivers/tty/tty_io.c, TIOCSBRK), which is never at a guest that holds its
    input up; and for a close up to 30 s for the same (`closing_wait`, setserial(8)).
    """

    def __init__(self, port: serial.Serial, owner: Owner) -> None:
        self._port = port
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._fd = port.fileno()
        self._waiting = False
        self._look: asyncio.TimerHandle | None = None
        self._breaking = False
        self._asked = threading.Lock()  # held by the thread that asks the driver for something
        self._closed = threading.Event()
        self._loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_MAX)
        except BlockingIOError:
            return
        except OSError as error:
            self._owner.ended(self, f"it cannot be read: {error.strerror}")
            return
        if data:
            self._owner.received(data)
        else:
            self._owner.ended(self, "it is gone (hung up or unplugged)")

    def write(self, data: bytes) -> int:
        try:
            written = os.write(self._fd, data)
        except BlockingIOError:
            written = 0
        except OSError as error:
            self._loop.call_soon(self._owner.ended, self, f"it cannot be written: {error.strerror}")
            return 0
        if written < len(data) and not self._waiting:
            self._waiting = True
            self._loop.add_writer(self._fd, self._writable)
        return written

    def _writable(self) -> None:
        self._waiting = False
        self._loop.remove_writer(self._fd)
        self._owner.room()

    def send_break(self) -> bool | Awaitable[None]:
        if self._breaking or self._unsent():
            self._look_again()
            return False
        self._breaking = True
        sent: asyncio.Future[None] = self._loop.create_future()
        supervise.thread(self._break, sent, name=f"break of {self._port.name}")
        return sent

    def _unsent(self) -> int:
        """How many bytes the kernel still has to send; 0 where the driver does not tell."""
        try:
            return int(self._port.out_waiting)
        except OSError:
            return 0

    def _look_again(self) -> None:
        """Say that there is room in a moment, so that whoever wants to send a break tries it again."""
        if self._look is None:
            self._look = self._loop.call_later(LOOK_SECONDS, self._looked)

    def _looked(self) -> None:
        self._look = None
        self._owner.room()

    def _break(self, sent: asyncio.Future[None]) -> None:
        """Send a break; in a thread. If it cannot be ended, that ends the line."""
        with self._asked:
            refused = ""
            try:
                if self._closed.is_set():
                    raise OSError("the line was lost meanwhile")
                self._port.break_condition = True
            except OSError as error:  # a driver may not be able to: cdc_acm says EPIPE, others ENOTTY or EOPNOTSUPP
                refused = f"the port refuses it: {why(error)}"
            else:
                self._closed.wait(BREAK_SECONDS)
                self._end_break()
        self._tell(self._break_done, sent, refused)

    def _break_done(self, sent: asyncio.Future[None], refused: str) -> None:
        self._breaking = False
        _settle(sent, refused)

    def _end_break(self) -> None:
        try:
            self._port.break_condition = False
        except OSError as error:
            self._tell(self._owner.ended, self, f"its break cannot be ended: {why(error)}")

    def _tell(self, call: Callable[..., object], *args: object) -> None:
        """Have the event loop's thread call a function, unless the server has ended."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(call, *args)

    def close(self) -> None:
        if self._look is not None:
            self._look.cancel()
        self._loop.remove_reader(self._fd)
        if self._waiting:
            self._loop.remove_writer(self._fd)
        self._closed.set()
        supervise.thread(self._close, name=f"close {self._port.name}")

    def _close(self) -> None:
        with self._asked:
            self._port.close()


class Remote(Port):
    """A port that pyserial reaches over the network: blocking, so each direction has a thread."""

    def __init__(self, port: rfc2217.Serial, owner: Owner) -> None:
        self._port = port
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._out: deque[bytes | asyncio.Future[None]] = deque()  # a future: a break, to be settled
        self._out_bytes = 0
        self._breaking: asyncio.Future[None] | None = None
        self._pause = threading.Event()  # never set: for a pause
        self._wake = threading.Semaphore(0)
        self._taken = threading.Semaphore(1)  # the event loop has taken what was read before
        socket = _inside(port, "_socket")
        keepalive.keep_alive(socket)
        socket.settimeout(None)  # pyserial's 5 s would end a line whose guest does not read: slow is not dead
        _inside(port, "_read_buffer").maxsize = _QUEUE_MAX
        port.timeout = POLL_SECONDS
        for target in (self._read, self._write):
            supervise.thread(target, name=f"serial {port.name}")

    def write(self, data: bytes) -> int:
        data = data[: WRITE_MAX - self._out_bytes]
        if data:
            self._out_bytes += len(data)
            self._post(data)
        return len(data)

    def send_break(self) -> Awaitable[None]:
        sent: asyncio.Future[None] = self._loop.create_future()
        self._post(sent)
        return sent

    def _post(self, what: bytes | asyncio.Future[None]) -> None:
        self._out.append(what)
        self._wake.release()

    def close(self) -> None:
        self._closed = True
        for waiting in (*self._out, self._breaking):
            if isinstance(waiting, asyncio.Future):
                _settle(waiting, "the line was lost meanwhile")
        self._wake.release()
        self._taken.release()
        queue = _inside(self._port, "_read_buffer")
        with queue.mutex:  # its thread may wait for room
            queue.maxsize = 0
            queue.not_full.notify_all()
        supervise.thread(self._port.close, name=f"close {self._port.name}")  # it waits for its own thread

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
                    self._require_alive()
                    continue
                self._taken.acquire()
                self._tell(self._received, data)
        except Exception as error:  # pyserial raises many kinds, above all when it is closed meanwhile
            self._tell(self._owner.ended, self, str(error))

    def _require_alive(self) -> None:
        """pyserial's reader ends without a word, by a connection's end or by what no RFC 2217 server sends."""
        reader = _inside(self._port, "_thread")
        if reader is None or not reader.is_alive():
            raise serial.SerialException("the other end closed the connection, or does not speak RFC 2217")
        if keepalive.unanswered(_inside(self._port, "_socket")):
            raise serial.SerialException(f"the other end has not answered for {keepalive.UNANSWERED_SECONDS:g} s")

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
                    self._breaking = what
                    self._break(what)
        except Exception as error:  # as above: whatever it is, whoever has the port is told
            self._tell(self._owner.ended, self, str(error))

    def _break(self, sent: asyncio.Future[None]) -> None:
        """Only one that has begun and cannot be ended ends the line."""
        refused = ""
        try:
            self._port.break_condition = True
        except (OSError, ValueError) as error:  # ValueError: the server says no (pyserial's TelnetSubnegotiation)
            refused = f"the terminal server refuses it: {error}"
        else:
            self._pause.wait(BREAK_SECONDS)
            self._port.break_condition = False
        self._tell(_settle, sent, refused)

    def _sent(self, count: int) -> None:
        self._out_bytes -= count
        self._owner.room()


def _inside(port: rfc2217.Serial, name: str) -> Any:
    """What pyserial 3.5 keeps to itself, and nobody can do without."""
    return getattr(port, name)


def _settle(sent: asyncio.Future[None], refused: str) -> None:
    if sent.done():
        return
    if refused:
        sent.set_exception(LineFault(refused))
    else:
        sent.set_result(None)
