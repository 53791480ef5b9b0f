"""The consoles that sessions can reach, and the settings that they share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from oobconsole.access import Access, Principal
from oobconsole.console.console import Console
from oobconsole.console.screen import Screen
from oobconsole.errors import EnvironmentFault
from oobconsole.events import Events
from oobconsole.guests.directory import Directory, Told
from oobconsole.guests.guest import Guest
from oobconsole.recording.recordings import Recordings
from oobconsole.session.lastline import LastLines
from oobconsole.session.room import Room
from oobconsole.session.safe import eased
from oobconsole.vitals import Vitals

#: Screens that are kept up to date at the same time: each costs up to a few hundred KiB.
SCREENS_MAX: Final = 64
#: Consoles at which a user's rights are looked up in one slice: a hundred grants make each of them a fifth of a
#: millisecond.
RIGHTS_A_SLICE: Final = 16


async def _no_file(who: Principal | None) -> str:
    raise EnvironmentFault("this server was started without a file that could be read again")


@dataclass
class Consoles:
    """Every console of the server.

    Attributes:
        directory: all guests and their consoles.
        access: who may do what.
        events: what happens.
        tail_lines: lines that `~l` and `log` show.
        drain_s: how long a pipe's output must be quiet after its input has ended, in seconds.
        drain_max_s: how long a pipe stays at most after its input has ended, in seconds.
        rooms: who is at a console, by its name.
        screens: what consoles look like, by their names; of those that somebody wanted to see.
        last_lines: what their guests printed last.
        reload: reads the configuration again, for whoever asks; returns what has changed, or raises `OobError`.
        audit_head: number and hash of the audit log's last entry.
        recordings: of the consoles; None: nothing is recorded.
        stopping: set when the server stops.
        vitals: how the server does.
    """

    directory: Directory
    access: Access
    events: Events
    tail_lines: int
    drain_s: float
    drain_max_s: float
    rooms: dict[str, Room] = field(default_factory=dict)
    screens: dict[str, Screen] = field(default_factory=dict)
    last_lines: LastLines = field(default_factory=LastLines)
    reload: Callable[[Principal | None], Awaitable[str]] = _no_file
    audit_head: Callable[[], tuple[int, str]] = lambda: (0, "")
    recordings: Recordings | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    vitals: Vitals = field(init=False)

    def __post_init__(self) -> None:
        self.vitals = Vitals(self.events)
        self.directory.on_vanished(self._forget)

    async def start(self, *watchers: Told) -> None:
        """Go on with the recordings, then wait for guests.

        Args:
            watchers: are told of each console once its recording goes on, and before its guest prints anything.

        Raises:
            EnvironmentFault: a source cannot begin, or nothing can be recorded.
        """
        if self.recordings is not None:
            self.recordings.began_late = self._recorded_late
            await self.recordings.start(tuple(self.directory.consoles()))
            for source in self.directory.sources:
                source.record(self.recordings.recorder)
        for told in watchers:
            self.directory.on_appeared(told)
        for source in self.directory.sources:
            await source.start()

    async def stop(self, reason: str) -> None:
        """End every session, and let the guests go on without us."""
        self.stopping.set()
        for source in self.directory.sources:
            await source.stop(reason)
        if self.recordings is not None:
            await self.recordings.stop()

    def _recorded_late(self, console: Console) -> None:
        """Its offsets are others now."""
        assert self.recordings is not None
        self.screens.pop(console.name, None)
        guest = self.directory.guest_of(console)
        if guest is not None:
            guest.source.record(self.recordings.recorder)

    def _forget(self, guest: Guest, console: Console) -> None:
        """A console is no more, and nobody is at it."""
        for known in (self.rooms, self.screens, self.vitals.unrecorded, self.vitals.damaged):
            known.pop(console.name, None)
        if self.recordings is not None:
            self.recordings.forget(console)

    def find(self, name: str) -> Console | None:
        """The console of that name."""
        return self.directory.find(name)

    async def visible(self, who: Principal) -> list[tuple[Console, str]]:
        """Every console at which `who` has any right, and its machine's name; by name. Consoles that come or go
        while they are looked through may be missing, or be in it."""
        entries = eased(self.directory.entries(), RIGHTS_A_SLICE)
        seen = [entry async for entry in entries if self.access.sees(who, entry.console.name)]
        return [(entry.console, entry.guest.source.name) for entry in seen]

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
