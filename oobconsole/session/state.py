"""The consoles that sessions can reach, and the settings that they share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from oobconsole.access import Access, Principal
from oobconsole.console.console import Console
from oobconsole.console.screen import Screen
from oobconsole.events import Events
from oobconsole.power.power import Power
from oobconsole.recording.recorder import Recorder
from oobconsole.recording.recordings import Recordings
from oobconsole.session.lastline import LastLines
from oobconsole.session.room import Room
from oobconsole.session.safe import eased
from oobconsole.session.states import StateEvents
from oobconsole.vitals import Vitals

#: Screens that are kept up to date at the same time: each costs up to a few hundred KiB.
SCREENS_MAX: Final = 64
#: Consoles at which a user's rights are looked up in one slice: a hundred grants make each of them a fifth of a
#: millisecond.
RIGHTS_A_SLICE: Final = 16


class Source(Protocol):
    """A machine or a line: where consoles come from."""

    name: str

    @property
    def consoles(self) -> list[Console]:
        """Its consoles."""

    @property
    def connected(self) -> bool:
        """Is its native half, or its line, there?"""

    def record(self, recorder_of: Callable[[str], Recorder | None]) -> None:
        """Say what records the consoles, by name; before `start`."""

    async def start(self) -> None:
        """Begin. Raises `EnvironmentFault`."""

    async def stop(self, reason: str) -> None:
        """Tell whoever is attached, and let the guests go on without us."""


@dataclass
class Consoles:
    """Every console of the server.

    Attributes:
        machines: and lines: all of them.
        access: who may do what.
        events: what happens.
        tail_lines: lines that `~l` and `log` show.
        drain_s: how long a pipe's output must be quiet after its input has ended, in seconds.
        drain_max_s: how long a pipe stays at most after its input has ended, in seconds.
        power: what switches a guest, by its console's name.
        rooms: who is at a console, by its name.
        screens: what consoles look like, by their names; of those that somebody wanted to see.
        last_lines: what their guests printed last.
        reload: reads the configuration again, for whoever asks; returns what has changed, or raises `OobError`.
        audit_head: number and hash of the audit log's last entry.
        recordings: of the consoles; None: nothing is recorded.
        newcomers: are called with every console before it prints anything: at the start, and while the server runs.
        stopping: set when the server stops.
        vitals: how the server does.
    """

    machines: Sequence[Source]
    access: Access
    events: Events
    tail_lines: int
    drain_s: float
    drain_max_s: float
    power: dict[str, Power] = field(default_factory=dict)
    rooms: dict[str, Room] = field(default_factory=dict)
    screens: dict[str, Screen] = field(default_factory=dict)
    last_lines: LastLines = field(default_factory=LastLines)
    reload: Callable[[Principal | None], Awaitable[str]] | None = None
    audit_head: Callable[[], tuple[int, str]] | None = None
    recordings: Recordings | None = None
    newcomers: list[Callable[[Console], object]] = field(default_factory=list)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    vitals: Vitals = field(init=False)

    def __post_init__(self) -> None:
        self.vitals = Vitals(self.events)
        for machine in self.machines:
            for console in machine.consoles:
                console.observe(StateEvents(console, self.events))

    async def start(self) -> None:
        """Go on with the recordings, then wait for guests. Raises `EnvironmentFault`."""
        if self.recordings is not None:
            self.recordings.began_late = self._recorded_late
            await self.recordings.start([console for machine in self.machines for console in machine.consoles])
            for machine in self.machines:
                machine.record(self.recordings.recorder)
        for console in [console for machine in self.machines for console in machine.consoles]:
            self._came(console)
        for machine in self.machines:
            await machine.start()

    async def stop(self, reason: str) -> None:
        """End every session, and let the guests go on without us."""
        self.stopping.set()
        for machine in self.machines:
            await machine.stop(reason)
        if self.recordings is not None:
            await self.recordings.stop()

    async def adopt(self, console: Console, power: Power) -> None:
        """A console comes while the server runs; before it prints anything."""
        console.observe(StateEvents(console, self.events))
        self.power[console.name] = power
        if self.recordings is not None:
            await self.recordings.adopt(console)
        self._came(console)

    def _recorded_late(self, console: Console) -> None:
        """Its offsets are others now."""
        assert self.recordings is not None
        self.screens.pop(console.name, None)
        for machine in self.machines:
            machine.record(self.recordings.recorder)

    def _came(self, console: Console) -> None:
        for newcomer in self.newcomers:
            newcomer(console)

    def forget(self, console: Console) -> None:
        """A console is no more, and nobody is at it."""
        console.close(f"{console.name} is no more")  # for those who read aside
        for known in (self.power, self.rooms, self.screens, self.vitals.unrecorded, self.vitals.damaged):
            known.pop(console.name, None)
        if self.recordings is not None:
            self.recordings.forget(console)

    def find(self, name: str) -> Console | None:
        """The console of that name."""
        return next((c for machine in self.machines for c in machine.consoles if c.name == name), None)

    async def visible(self, who: Principal) -> list[tuple[Console, str]]:
        """Every console at which `who` has any right, and its machine's name; by name. Consoles that come or go
        while they are looked through may be missing, or be in it."""
        every = [(console, machine.name) for machine in self.machines for console in machine.consoles]
        found = [pair async for pair in eased(every, RIGHTS_A_SLICE) if self.access.sees(who, pair[0].name)]
        return sorted(found, key=lambda pair: pair[0].name)

    def room(self, console: Console) -> Room:
        """Who is at a console."""
        if console.name not in self.rooms:
            self.rooms[console.name] = Room(console, self.access, self.events)
        return self.rooms[console.name]

    def recheck(self) -> None:
        """Rights or settings have changed: whoever has lost one is told, and ended or demoted."""
        for room in self.rooms.values():
            room.recheck()

    def screen(self, console: Console) -> Screen:
        """What a console looks like. Those that have been unused for longest are forgotten."""
        screen = self.screens.pop(console.name, None) or Screen(console)
        self.screens[console.name] = screen
        while len(self.screens) > SCREENS_MAX:
            del self.screens[next(iter(self.screens))]
        return screen
