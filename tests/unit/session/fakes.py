"""The other end of a session, in memory."""

from __future__ import annotations

import asyncio
import time
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from oobconsole.access import ALL, Access, Grant, Principal
from oobconsole.config.guests import MachineConfig
from oobconsole.config.schema import RecordingConfig
from oobconsole.events import Events
from oobconsole.guests.directory import Directory
from oobconsole.guests.guest import Source
from oobconsole.guests.nested import Machine
from oobconsole.interceptors.memory import MemoryInterceptor
from oobconsole.recording.recordings import Recordings
from oobconsole.session.request import AtOnce, ExitStatus, Peer, Request
from oobconsole.session.seat import Seats
from oobconsole.session.services import Services
from oobconsole.session.view import Views
from oobconsole.verbs import VERBS
from oobconsole.vitals import Vitals

#: May do everything at the consoles below.
ALICE = Principal("alice", "SHA256:key", "192.0.2.1")


class FakePeer:
    """Types what it is given, keeps what it gets; `block` makes it a stalled client."""

    def __init__(self, *typed: bytes, ended: bool = False) -> None:
        self.got = bytearray()
        self.told: list[str] = []
        self.errors = bytearray()
        self.writable = asyncio.Event()
        self.writable.set()
        self.offered = 0  # bytes that it was to take, whether or not it has taken them
        self._typed: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self._taken = 0.0
        self.pause = 0.0
        self.why_gone = ""
        self._put_back = b""
        self._gone = asyncio.Event()
        for data in typed:
            self.type(data)
        if ended:
            self.end()

    def type(self, data: bytes) -> None:
        self._typed.put_nowait((time.monotonic(), data))

    @property
    def waiting(self) -> int:
        """How many packets were typed that nobody has read."""
        return self._typed.qsize()

    def end(self) -> None:
        self.type(b"")

    def hang_up(self) -> None:
        self._gone.set()

    async def read(self, at_once: AtOnce | None = None) -> bytes:
        data, self._put_back = self._put_back, b""
        if data:
            self.pause = 0.0
            return data
        came, data = await self._typed.get()
        self.pause, self._taken = came - self._taken, came
        return data

    def put_back(self, data: bytes) -> None:
        self._put_back = data + self._put_back

    async def write(self, data: bytes) -> None:
        self.offered += len(data)
        await self.writable.wait()
        self.got += data

    def takes(self, size: int) -> bool:
        return self.writable.is_set()

    def put(self, data: bytes) -> None:
        self.got += data

    async def tell(self, text: str) -> None:
        self.told.append(text)

    async def error(self, data: bytes) -> None:
        self.errors += data

    async def gone(self) -> None:
        await self._gone.wait()


def consoles(*names: str, drain_s: float = 0.02, drain_max_s: float = 5) -> Services:
    """Return services with consoles of these names, without guests."""
    config = MachineConfig.model_validate({"name": "rack7", "guest": [{"name": name} for name in names]})
    machine = Machine(config, MemoryInterceptor("rack7"), scrollback=4096)
    return of(machine, drain_s=drain_s, drain_max_s=drain_max_s)


def of(*sources: Source, drain_s: float = 0.02, drain_max_s: float = 5) -> Services:
    """Return services with the consoles of these sources. The user alice may do everything there."""
    events = Events()
    directory = Directory(events)
    for source in sources:
        directory.add(source)
    access = Access((Grant(("alice",), ("*",), ALL),))
    return Services(
        directory,
        Seats(directory, access, events),
        Views(directory, access),
        access,
        events,
        Vitals(events),
        tail_lines=2,
        drain_s=drain_s,
        drain_max_s=drain_max_s,
    )


def machine_of(settings: Services) -> Machine:
    """Return the machine from which the consoles come."""
    machine = settings.directory.sources[0]
    assert isinstance(machine, Machine)
    return machine


def vanish(settings: Services, name: str) -> None:
    """Let a guest vanish."""
    guest = settings.directory.guest(name)
    assert guest is not None
    settings.directory.vanished(guest)


@asynccontextmanager
async def recording(folder: Path) -> AsyncIterator[Services]:
    """Run a server with one console, web1, that is recorded into a folder."""
    made = consoles("web1")
    recordings = Recordings(RecordingConfig(), folder, made.events)
    made = replace(made, recordings=recordings)
    await recordings.start(tuple(made.directory.consoles()))
    try:
        yield made
    finally:
        await recordings.flush()
        await recordings.stop()


def request(settings: Services, peer: FakePeer, who: Principal = ALICE) -> Request:
    """Return a request without arguments and without a terminal."""
    return request_for("menu", peer, settings, who)


def request_for(verb: str, peer: FakePeer, settings: Services, who: Principal = ALICE, **args: object) -> Request:
    """A request as `run` makes it, for calling a part of a verb by itself; it cannot run another command."""

    async def run(command: str, heard: Peer) -> ExitStatus:
        raise AssertionError(f"nobody was to run {command!r}")

    return Request(Namespace(**args), peer, None, settings, who, VERBS[verb], run)
