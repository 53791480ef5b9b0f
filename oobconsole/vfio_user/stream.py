"""The server's side: one port of a keeper as a line. It starts the keeper's process if there is none."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import structlog

from oobconsole.errors import WireError
from oobconsole.lines.base import Stream, StreamEvents
from oobconsole.log.log import LogLimit
from oobconsole.net.dialer import Dialer
from oobconsole.threads import in_thread
from oobconsole.vfio_user import keeper, link
from oobconsole.vfio_user.link import Kind
from oobconsole.vfio_user.port import BREAKS_MAX, INPUT_MAX

log = structlog.get_logger(__name__)

#: How many seconds a keeper has to start, and how many to say HELLO.
START_SECONDS: Final = 20.0
HELLO_SECONDS: Final = 5.0
#: For how many more seconds HELLO is looked for, in case it was the server itself that did not run.
LOOK_SECONDS: Final = 0.05
#: How many lines a minute the log gets about one port.
LOG_LINES: Final = 10

_P = TypeVar("_P", bound=asyncio.Protocol)


class KeeperProcess:
    """Connects to a card's keeper, and starts one when nobody answers. All ports of the card share it.

    Args:
        name: the console's name, for the log.
        settings: what the keeper is told to be.
    """

    def __init__(self, name: str, settings: keeper.Settings) -> None:
        self.name = name
        self.settings = settings
        self._turn = asyncio.Lock()

    async def begin(self) -> None:
        """Start a keeper if none runs, so that a VM can be started. Errors are ignored here; `connect` reports
        them."""
        with contextlib.suppress(OSError):
            transport, _ = await self.connect(asyncio.Protocol)
            transport.abort()

    async def connect(self, protocol: Callable[[], _P]) -> tuple[asyncio.Transport, _P]:
        """Connect to the keeper, and start one first if none runs.

        Raises:
            OSError: it failed; the message says why.
        """
        async with self._turn:
            try:
                return await self._dial(protocol)
            except (ConnectionRefusedError, FileNotFoundError):
                await self._start()
            return await self._dial(protocol)

    async def _dial(self, protocol: Callable[[], _P]) -> tuple[asyncio.Transport, _P]:
        return await asyncio.get_running_loop().create_unix_connection(protocol, self.settings.control)

    async def _start(self) -> None:
        """Start a keeper in a session of its own, and not as our child: what ends the server must not end the
        keeper."""
        words = (sys.executable, "-P", "-m", keeper.__name__, json.dumps(self.settings._asdict()))

        def start() -> subprocess.CompletedProcess[bytes]:
            return subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=START_SECONDS,
                start_new_session=True,
                check=False,
            )

        try:
            done = await in_thread(start, f"start the keeper of {self.name}")
        except subprocess.TimeoutExpired as error:
            raise OSError(f"its keeper did not start in {START_SECONDS:g} s") from error
        said = done.stdout.decode(errors="replace").strip()
        if said != keeper.READY:
            raise OSError(f"its keeper cannot be started: {said or _last_line(done.stderr)}")
        log.info("keeper started", console=self.name, socket=self.settings.socket)


def _last_line(said: bytes) -> str:
    lines = said.decode(errors="replace").splitlines()
    return lines[-1] if lines else "it ended at once"


class _Connection(asyncio.Protocol):
    """A connection to a keeper, for one port."""

    def __init__(self, line: VfioUserStream) -> None:
        self._line = line
        self._decoder = link.Decoder()
        self.hello: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from it

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._decoder.feed(data):
                if frame.kind is Kind.HELLO and not self.hello.done():
                    self.hello.set_result(frame.table)
                else:
                    self._line.frame(frame)
        except WireError as error:
            self._end(f"its keeper broke the protocol between keeper and server: {error}")
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"its keeper is gone (it may have said why in {self._line.last_words}), or serves another server")

    def send(self, kind: Kind, payload: bytes | dict[str, Any] = b"") -> None:
        """Send a frame to the keeper. Nothing is sent to a keeper that is gone: `ended` is about to say that, and
        uvloop's transports raise `RuntimeError` by then."""
        if not self.transport.is_closing():
            self.transport.write(link.encode(kind, payload))

    def _end(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)
        if not self.hello.done():
            self.hello.set_exception(OSError(reason))


async def _greeting(connection: _Connection) -> dict[str, Any]:
    """Wait for HELLO, and return its content. It is looked for once more at the end: it may have come while the
    server itself did not run."""
    for seconds in (HELLO_SECONDS, LOOK_SECONDS):
        await asyncio.wait({connection.hello}, timeout=seconds)
    if not connection.hello.done():
        raise OSError(f"its keeper said nothing for {HELLO_SECONDS:g} s")
    return connection.hello.result()


class VfioUserStream(Stream):
    """One port of a vfio-user device.

    Args:
        name: the console's name, for the log.
        process: the card's keeper.
        port: the number of the port, from 0.
    """

    events: StreamEvents
    has_break = True
    keeps_output = True

    def __init__(self, name: str, process: KeeperProcess, port: int) -> None:
        self.name = name
        self._process = process
        self._port = port
        self._have: tuple[int, int] | None = None  # the keeper's instance, and how many bytes of its output have come
        self._connection: _Connection | None = None
        self._up = False
        self._waiting = self._breaks = 0  # how many bytes of input, and how many breaks, the guest has not taken
        self._counts_breaks = False  # whether the keeper tells how many breaks were taken: an older one does not
        self._dialer = Dialer(self._dial, self._down)
        self._logged = ""
        self._limit = LogLimit(LOG_LINES)

    @property
    def last_words(self) -> Path:
        """The file in which the keeper says why it died, if it could."""
        return keeper.last_words(self._process.settings.control)

    async def start(self, events: StreamEvents) -> None:
        self.events = events
        await self._process.begin()
        self._dialer.start()

    async def stop(self) -> None:
        await self._dialer.stop()

    def write(self, data: bytes) -> int:
        if self._connection is None or not self._up:
            return 0
        data = data[: INPUT_MAX - self._waiting]
        if data:
            self._waiting += len(data)
            self._connection.send(Kind.INPUT, data)
        return len(data)

    def send_break(self) -> bool:
        if self._connection is None or not self._up or self._breaks >= BREAKS_MAX:
            return False
        self._breaks += self._counts_breaks
        self._connection.send(Kind.BREAK)
        return True

    # -- the link -----------------------------------------------------------------------------------

    async def _dial(self) -> str:
        _, connection = await self._process.connect(lambda: _Connection(self))
        try:
            self._attach(connection, await _greeting(connection))
            return await connection.ended
        finally:
            self._connection, self._up = None, False
            connection.transport.abort()

    def _attach(self, connection: _Connection, hello: dict[str, Any]) -> None:
        instance = hello.get("instance")
        device = [self._process.settings.socket, self._process.settings.bar, self._process.settings.ports]
        if hello.get("version") != link.VERSION or not isinstance(instance, int):
            raise OSError(_other(hello, "is of another version of oobconsole"))
        if hello.get("device") != device:
            if not hello.get("busy"):
                connection.send(Kind.END)
            raise OSError(_other(hello, "is another device than the one configured now"))
        self._counts_breaks = hello.get("breaks") is True
        connection.send(Kind.ATTACH, {"port": self._port, "have": self._position(instance), "breaks": True})
        self._waiting = self._breaks = 0
        self._connection = connection

    @property
    def position(self) -> tuple[int, int, int] | None:
        return None if self._have is None else (self._have[0], self._port + 1, self._have[1])

    def _position(self, instance: int) -> int | None:
        """Return how many bytes of that keeper's output are known: to this server, or to the recording of a server
        before."""
        if self._have is not None and self._have[0] == instance:
            return self._have[1]
        self._have = instance, 0
        return None if self.recorded is None else self.recorded(instance, self._port + 1) or 0

    def frame(self, frame: link.Frame) -> None:
        """Do what a frame of the keeper says. Raises `WireError` if no keeper sends such a frame."""
        if self._have is None:
            raise WireError(f"{frame.kind.name} came before HELLO")
        instance, have = self._have
        match frame.kind:
            case Kind.OUTPUT:
                self._have = instance, have + len(frame.payload)
                self.events.output(frame.payload)
            case Kind.GAP:
                self._have = instance, have + frame.number
                self.events.gap(frame.number)
            case Kind.ATTACHED:
                self._have = instance, frame.number
            case Kind.TAKEN:
                self._waiting = max(0, self._waiting - frame.number)
                self.events.writable()
            case Kind.BREAKS_TAKEN:
                self._breaks = max(0, self._breaks - frame.number)
                self.events.writable()
            case Kind.STATE:
                self._state(frame.table)
            case _:
                raise WireError(f"{frame.kind.name} came where no keeper sends it")

    def _state(self, state: dict[str, Any]) -> None:
        self._up = bool(state.get("up"))
        self._waiting = _count(state.get("waiting", self._waiting)) if self._up else 0
        self._breaks = _count(state.get("breaks", self._breaks)) if self._up else 0
        reason, retry_s = str(state.get("reason")), state.get("retry_s")
        if self._up:
            self._logged = ""
            self.events.up(reason)
        else:
            self._down(reason, retry_s)

    def _down(self, reason: str, retry_s: float | None) -> None:
        """Report that the line is down. If the reason is the same as before, it is only logged when the time of the
        next attempt is known."""
        if (retry_s is not None or reason != self._logged) and self._limit.allows(console=self.name):
            log.info("line is down", console=self.name, reason=reason, retry_s=retry_s and round(retry_s, 1))
        self._logged = reason
        self.events.down(reason, retry_s)


def _count(value: object) -> int:
    """Return the value as a count. Raises `WireError` if it is none."""
    if not isinstance(value, int) or value < 0:
        raise WireError(f"STATE has {value!r} where a number of bytes or breaks belongs")
    return value


def _other(hello: dict[str, Any], how: str) -> str:
    """Return why a keeper that runs cannot be used, and when another one is started, in words."""
    ends = "it goes when its VMM does" if hello.get("busy") else "another is started"
    return f"the keeper that runs (process {hello.get('pid')}) {how}; {ends}"
