"""Seats: what people and scripts sit at together.

A console is a seat (`ConsoleSeat`): it has a room with its people, a text screen that is drawn for whoever comes, and
the last line that its guest printed. What `Seat` itself has needs no console: a graphical screen can be a seat, too.
Seats are made when somebody needs one. An idle console has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Generic

from oobconsole.access import Access
from oobconsole.console.console import Console
from oobconsole.console.textscreen import TextScreen
from oobconsole.events import Events
from oobconsole.guests.directory import Directory
from oobconsole.guests.guest import Guest
from oobconsole.session.lastline import LastLine
from oobconsole.session.room import Member, PlaceT, Room

#: How many text screens are kept up to date at the same time. Each costs up to a few hundred KiB.
SCREENS_MAX: Final = 64


class Seat(Generic[PlaceT]):
    """What people sit at together.

    Args:
        place: what it is: a console, or later a graphical screen.
        access: who may do what.
        events: where it is told what happens.
    """

    def __init__(self, place: PlaceT, access: Access, events: Events) -> None:
        self.place = place
        self._access = access
        self._events = events
        self._room: Room[PlaceT] | None = None

    @property
    def room(self) -> Room[PlaceT]:
        """The room of the seat, which knows the people there. It is made when it is first asked for."""
        if self._room is None:
            self._room = Room(self.place, self._access, self._events)
        return self._room

    @property
    def members(self) -> list[Member]:
        """All members of the room. If there is no room yet, nobody is there, and none is made."""
        return [] if self._room is None else self._room.members

    @property
    def holder(self) -> Member | None:
        """The member who has the keyboard; None: nobody. No room is made for that."""
        return None if self._room is None else self._room.holder

    def recheck(self) -> None:
        """Rights or settings have changed: whoever has lost a right is told, and ended or demoted."""
        if self._room is not None:
            self._room.recheck()


class ConsoleSeat(Seat[Console]):
    """A console with its room, its text screen, and what its guest printed last.

    Attributes:
        last_line: what the guest printed last, as plain text.
    """

    def __init__(self, console: Console, access: Access, events: Events) -> None:
        super().__init__(console, access, events)
        self.last_line = LastLine(console)
        self._screen: TextScreen | None = None

    @property
    def screen(self) -> TextScreen:
        """What the console looks like; ask `Seats.screen` for it, which bounds how many there are."""
        if self._screen is None:
            self._screen = TextScreen(self.place)
        return self._screen

    def forget_screen(self) -> None:
        """Forget the screen. It is drawn anew when somebody wants to see it again."""
        self._screen = None


class Seats:
    """The seats of all consoles that somebody has needed one of.

    Args:
        directory: tells which consoles are no more; their seats are forgotten.
        access: who may do what.
        events: where it is told what happens.
    """

    def __init__(self, directory: Directory, access: Access, events: Events) -> None:
        self._access = access
        self._events = events
        self._seats: dict[Console, ConsoleSeat] = {}
        self._drawn: dict[ConsoleSeat, None] = {}  # the seats with a text screen; the last used stands last
        directory.on_vanished(self._forget)

    def at(self, console: Console) -> ConsoleSeat:
        """Return the seat of a console. It is made if there is none yet."""
        seat = self._seats.get(console)
        if seat is None:
            seat = self._seats[console] = ConsoleSeat(console, self._access, self._events)
        return seat

    def known(self, console: Console) -> ConsoleSeat | None:
        """Return the seat of a console, or None if nobody has needed one yet; then nobody is there."""
        return self._seats.get(console)

    def room(self, console: Console) -> Room[Console]:
        """Return the room of a console, which knows the people there. It is made if there is none."""
        return self.at(console).room

    def screen(self, console: Console) -> TextScreen:
        """Return the text screen of a console. Only some screens are kept: the one that was unused for the longest
        time is forgotten first."""
        seat = self.at(console)
        self._drawn.pop(seat, None)
        self._drawn[seat] = None
        while len(self._drawn) > SCREENS_MAX:
            self._forget_screen(next(iter(self._drawn)))
        return seat.screen

    def offsets_changed(self, console: Console) -> None:
        """The offsets of a console's output have changed, for example because its recording began late."""
        seat = self._seats.get(console)
        if seat is not None:
            self._forget_screen(seat)

    def recheck(self) -> None:
        """Rights or settings have changed: whoever has lost a right is told, and ended or demoted."""
        for seat in self:
            seat.recheck()

    def __iter__(self) -> Iterator[ConsoleSeat]:
        """Return all seats. Seats may come and go while the caller iterates."""
        return iter(tuple(self._seats.values()))

    def _forget_screen(self, seat: ConsoleSeat) -> None:
        self._drawn.pop(seat, None)
        seat.forget_screen()

    def _forget(self, guest: Guest, console: Console) -> None:
        """Forget the seat of a console that has vanished, and that nobody is at."""
        self.offsets_changed(console)
        self._seats.pop(console, None)
