"""The console of a domain by libvirt's `virDomainOpenConsole`. Like `virsh console`, it lets in one client at a time.

Why has each console a connection to libvirtd of its own? libvirtd stops reading from a connection when five messages
wait in it (`max_client_requests`), and typing at a guest that does not read fills it. With one connection for all,
one such guest would silence the others, and keepalives would end the connection.

How many threads does a console have? A console that is open and idle has none: libvirt's event thread reads it. It
has one while it is being opened, typed at, or closed (threads.py).
"""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial
from typing import Any, Final, NamedTuple

import structlog

from oobconsole.libvirt import library as virt
from oobconsole.libvirt.library import LibvirtFault
from oobconsole.libvirt.threads import HostThreads
from oobconsole.lines.base import Stream, StreamEvents
from oobconsole.log.log import LogLimit
from oobconsole.net.dialer import Dialer

log = structlog.get_logger(__name__)

OPEN_SECONDS: Final = 15.0
#: How many bytes of input may wait for libvirtd, and how many it is given at once.
WRITE_MAX: Final = 1024
#: How many bytes of output may wait for our event loop. What comes beyond that is lost, and users are told.
OUTPUT_MAX: Final = 4 << 20
_READ_MAX: Final = 262144
#: For how many ms more output is waited for after some has come. QEMU writes to a pty in small pieces, and each is a
#: message of libvirtd's.
_GATHER_MS: Final = 5
#: After how many seconds a stream that takes nothing is tried again.
_AGAIN_SECONDS: Final = 0.05
LOG_LINES: Final = 10
#: The error (virterror.h) with which openConsole answers when the console is open already.
_OPERATION_FAILED: Final = 9


class _Opened(NamedTuple):
    """What an open console consists of.

    Attributes:
        connection: a connection to libvirtd.
        stream: a stream over that connection.
        timer: the number of the timer that lets output gather.
    """

    connection: Any
    stream: Any
    timer: int


class _Channel:
    """An open console. One thread opens it, one thread types while there is something to type, and one thread closes
    it, one after the other. libvirt's event thread reads it.

    Args:
        events: told of output.
        threads: the threads of the host.
        uri, uuid, device: which device of which domain, at which libvirt.
        force: whether another client that has it open is ended.

    Attributes:
        opened: done when it can be used; raises `LibvirtFault`.
        ended: done when it cannot be used any more, with the reason.
    """

    def __init__(
        self, events: StreamEvents, threads: HostThreads, uri: str, uuid: str, device: str, *, force: bool
    ) -> None:
        self._events = events
        self._threads = threads
        self._uri, self._uuid, self._device, self._force = uri, uuid, device, force
        self._loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = virt.awaited_or_not(self._loop.create_future())
        self.ended: asyncio.Future[str] = self._loop.create_future()
        self._changed = threading.Lock()  # guards everything below
        self._open_one: _Opened | None = None  # None: it is not open yet, or is being closed
        self._is_typing = False  # whether there is a thread that types
        self._typed = bytearray()
        self._refused = False
        self._printed = bytearray()
        self._lost = 0
        self._delivered = True
        self._closing = False
        self._unwanted = False
        self._threads.opening.begin(self._begin, f"libvirt console {uuid}")

    # -- the event loop's thread --------------------------------------------------------------------

    def write(self, data: bytes) -> int:
        """Type. Returns how many bytes were accepted."""
        with self._changed:
            part = data[: WRITE_MAX - len(self._typed)]
            self._typed += part
            self._refused = len(part) < len(data)
            begins = bool(part) and not self._is_typing and self._open_one is not None
            self._is_typing = self._is_typing or begins
        if begins:
            self._threads.typing.begin(self._type, f"typing at libvirt console {self._uuid}")
        return len(part)

    def close(self) -> None:
        """Let go of the console as soon as libvirtd lets us. Nothing comes from it any more. A second call does
        nothing."""
        with self._changed:
            self._closing = self._unwanted = True
        self._release_if_idle()

    def deliver(self) -> None:
        """Hand on what the guest has printed."""
        with self._changed:
            data, self._printed = bytes(self._printed), bytearray()
            lost, self._lost = self._lost, 0
            self._delivered = True
            unwanted = self._unwanted
        if data and not unwanted:
            self._events.output(data)
        if lost and not unwanted:
            self._events.gap(lost)

    def _settle_opened(self, error: Exception | None) -> None:
        if self.opened.done():
            return
        if error is None:
            self.opened.set_result(None)
        else:
            self.opened.set_exception(error)

    def _settle_ended(self, reason: str) -> None:
        self.deliver()
        if not self.ended.done():
            self.ended.set_result(reason)

    # -- threads of the host, one at a time ---------------------------------------------------------

    def _begin(self) -> None:
        """Open the stream. Whoever waits for it gets the stream, or the error."""
        try:
            opened = _Opened(*virt.attempt(self._open))
        except Exception as error:  # whatever the error is, whoever waits gets it
            virt.post(self._loop, self._settle_opened, error.with_traceback(None))
            return
        with self._changed:
            self._open_one = opened
        virt.post(self._loop, self._settle_opened, None)
        self._release_if_idle()

    def _release_if_idle(self) -> None:
        """Have the console closed if it is to be closed and nobody types, because typing uses it. Only one call does
        that."""
        with self._changed:
            opened = self._open_one if self._closing and not self._is_typing else None
            if opened is None:
                return
            self._open_one = None
        self._threads.opening.begin(lambda: self._release(opened), f"closing libvirt console {self._uuid}")

    def _release(self, opened: _Opened) -> None:
        connection, stream, timer = opened
        forget_timer = partial(virt.load().virEventRemoveTimeout, timer)
        releases = (forget_timer, stream.eventRemoveCallback, virt.settle_events, stream.abort, connection.close)
        for release in releases:
            try:
                virt.attempt(release)
            except LibvirtFault as error:  # the stream has ended by itself
                log.debug("libvirt console closed", device=self._device, reason=str(error))

    def _open(self) -> tuple[Any, Any, int]:
        library = virt.load()
        connection = library.open(self._uri)
        domain = connection.lookupByUUIDString(self._uuid)
        stream = connection.newStream(library.VIR_STREAM_NONBLOCK)
        how = library.VIR_DOMAIN_CONSOLE_FORCE if self._force else library.VIR_DOMAIN_CONSOLE_SAFE
        domain.openConsole(self._device, stream, how)
        always = library.VIR_STREAM_EVENT_ERROR | library.VIR_STREAM_EVENT_HANGUP
        wanted = always | library.VIR_STREAM_EVENT_READABLE

        def go_on(timer: int, _: object) -> None:
            library.virEventUpdateTimeout(timer, -1)
            stream.eventUpdateCallback(wanted)

        def come(stream: Any, _: int, __: object) -> None:
            if self._read(stream):
                stream.eventUpdateCallback(always)
                library.virEventUpdateTimeout(timer, _GATHER_MS)

        timer: int = library.virEventAddTimeout(-1, go_on, None)
        stream.eventAddCallback(wanted, come, None)
        return connection, stream, timer

    def _type(self) -> None:
        """Type what waits, until nothing waits any more."""
        try:
            virt.attempt(self._type_all)
        except LibvirtFault as error:
            self._end(f"libvirt takes no more input: {error}")
        finally:
            self._release_if_idle()

    def _type_all(self) -> None:
        try:
            while (due := self._next_part()) is not None:
                stream, part = due
                sent = stream.send(part)  # waits, for as long as the guest does not read
                if sent < 0:
                    time.sleep(_AGAIN_SECONDS)
                else:
                    self._was_sent(sent)
        except BaseException:
            with self._changed:
                self._is_typing = False
            raise

    def _next_part(self) -> tuple[Any, bytes] | None:
        """Return the stream and what is to be typed at it now; None: nothing is, and this thread ends. Nobody closes
        the stream while this thread types."""
        with self._changed:
            opened, part = self._open_one, bytes(self._typed)
            self._is_typing = bool(part) and opened is not None and not self._closing
            return (opened.stream, part) if opened is not None and self._is_typing else None

    def _was_sent(self, count: int) -> None:
        with self._changed:
            del self._typed[:count]
            refused, self._refused = self._refused, False
        if refused:
            virt.post(self._loop, self._events.writable)

    # -- libvirt's event thread ---------------------------------------------------------------------

    def _read(self, stream: Any) -> bool:
        """Take the output that is there. Returns whether more is to be expected."""
        try:
            data = virt.attempt(lambda: stream.recv(_READ_MAX))
        except LibvirtFault as error:
            self._end(f"libvirt ended it: {error}")
            return False
        if data == -2:  # nothing is there now (virStreamRecv)
            return False
        if data:
            self._keep(data)
        else:
            self._end("libvirt ended it")
        return bool(data)

    def _keep(self, data: bytes) -> None:
        with self._changed:
            room = 0 if self._lost else OUTPUT_MAX - len(self._printed)
            self._printed += data[:room]
            self._lost += max(0, len(data) - room)
            due, self._delivered = self._delivered, False
        if due:
            virt.post(self._loop, self.deliver)

    def _end(self, reason: str) -> None:
        with self._changed:
            self._closing = True
        virt.post(self._loop, self._settle_ended, reason)
        self._release_if_idle()


class LibvirtStream(Stream):
    """The console of a domain that runs.

    Args:
        name: the name of the console, for the log.
        threads: the threads of the domain's host.
        uri: where libvirt is.
        uuid: the UUID of the domain.
        device: the alias of the device.
    """

    events: StreamEvents

    def __init__(self, name: str, threads: HostThreads, uri: str, uuid: str, device: str) -> None:
        self.name = name
        self._threads = threads
        self._uri, self._uuid, self._device = uri, uuid, device
        self._channel: _Channel | None = None
        self._dialer = Dialer(self._dial, self._down)
        self._force = False
        self._busy = False  # whether another program has the console open
        self._limit = LogLimit(LOG_LINES)

    async def start(self, events: StreamEvents) -> None:
        self.events = events
        self._dialer.start()

    async def stop(self) -> None:
        await self._dialer.stop()

    def write(self, data: bytes) -> int:
        return self._channel.write(data) if self._channel is not None else 0

    def take(self) -> bool:
        if not self._busy:
            return False
        self._force = True
        self._dialer.hurry()
        return True

    async def _dial(self) -> str:
        force, self._force = self._force, False
        channel = _Channel(self.events, self._threads, self._uri, self._uuid, self._device, force=force)
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await channel.opened
            self._channel, self._busy = channel, False
            self.events.up(f"{self._device} by {self._uri}")
            return await channel.ended
        except TimeoutError as error:
            raise OSError(f"libvirt did not open {self._device} in {OPEN_SECONDS:g} s") from error
        except LibvirtFault as error:
            self._busy = error.code == _OPERATION_FAILED
            raise OSError(self._words(error)) from error
        finally:
            self._channel = None
            channel.close()

    def _words(self, error: LibvirtFault) -> str:
        if not self._busy:
            return f"libvirt cannot open {self._device}: {error}"
        return (
            f"another program has it open ({error}: virsh console, virt-manager?); "
            f"'attach --force {self.name}', or ~r f, ends that one, with the right to force"
        )

    def _down(self, reason: str, retry_s: float | None) -> None:
        if self._limit.allows(console=self.name):
            log.info("line is down", console=self.name, reason=reason, retry_s=retry_s and round(retry_s, 1))
        self.events.down(reason, retry_s)
