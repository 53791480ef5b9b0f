"""What the menu knows of the consoles: which consoles this user has, which of these a search finds, and a row for
each.

What if something is not known yet? A drawing waits for nothing: it shows what is known. What is missing or old is
looked up after the drawing, for the consoles that are on the screen only, and in slices that hold nobody else up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from oobconsole.access import Principal, Right
from oobconsole.console.console import Console
from oobconsole.session.listing import shown_idle
from oobconsole.session.seat import ConsoleSeat
from oobconsole.session.services import Services
from oobconsole.session.view import Found, View


class Row(NamedTuple):
    """A console as the menu shows it. All of it is plain text, whatever its guest has printed.

    Attributes:
        name: the console's name.
        state: the console's state, in lower case.
        idle: how long ago the guest has printed something.
        people: who is attached, and `*` behind whoever may type. Empty if the user has no right to watch.
        last: the last line that the guest has printed. Empty if the user has no right to watch.
    """

    name: str
    state: str
    idle: str
    people: str
    last: str


class Catalogue:
    """The consoles at which one user has any right."""

    def __init__(self, services: Services, who: Principal) -> None:
        self._services = services
        self._who = who
        self._view = View(who, services.access, services.directory)  # empty, until `refresh` has another
        self._wanted: dict[ConsoleSeat, None] = {}  # the seats whose last lines are to be looked up, in this order
        self._work = asyncio.Event()
        self._is_made = False

    def find(self, search: str) -> Found:
        """Return the consoles that have every word of `search` in their name, machine, state or keyboard holder,
        sorted by name."""
        if self._is_old():
            self._work.set()
        return self._view.search(search, self._held())

    def _held(self) -> dict[Console, str]:
        """Return the name, in lower case, of whoever has the keyboard, for all consoles at which somebody has it."""
        seats = {console: self._services.seats.known(console) for console in self._services.directory.attended}
        return {c: seat.holder.who.name.lower() for c, seat in seats.items() if seat and seat.holder}

    @property
    def longest(self) -> int:
        """How many characters the longest name has."""
        return self._view.longest

    def drawing(self) -> None:
        """Note that the screen is about to be drawn, and will ask for the rows that are on it."""
        self._wanted.clear()

    def row(self, console: Console) -> Row:
        """Return the row of a console as it is now. Its last line is the one that was looked up last."""
        seat = self._services.seats.at(console)
        may_watch = self._services.access.may(self._who, Right.WATCH, console.name)
        return Row(
            console.name,
            console.state.name.lower(),
            shown_idle(console),
            _people(seat) if may_watch else "",
            self._last_line(seat) if may_watch else "",
        )

    def _last_line(self, seat: ConsoleSeat) -> str:
        if seat.last_line.is_old:
            self._wanted[seat] = None
            self._work.set()
        return seat.last_line.known or ""

    # -- beside the drawing -------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Look up which consoles there are for this user, if grants have changed since the last time."""
        if self._is_old():
            self._view, self._is_made = await self._services.views.of(self._who), True

    async def look(self, changed: Callable[[], object]) -> None:
        """Look up what the drawings have found missing or old, for ever.

        Args:
            changed: called when something was found that the screen does not show at all. It is not called when the
                screen only shows something older: otherwise a guest that prints on and on would have the screen drawn
                on and on.
        """
        while True:
            await self._work.wait()
            self._work.clear()
            is_news = self._is_old()
            await self.refresh()
            while self._wanted:
                last_line = (seat := next(iter(self._wanted))).last_line
                del self._wanted[seat]
                is_news |= last_line.known is None
                await last_line.look()
            if is_news:
                changed()

    def _is_old(self) -> bool:
        return not self._is_made or self._services.views.is_old(self._view)


def _people(seat: ConsoleSeat) -> str:
    members = sorted(seat.members, key=lambda member: member is not seat.holder)
    return ", ".join(f"{m.who.name}{'*' if seat.room.may_type(m) else ''}" for m in members)
