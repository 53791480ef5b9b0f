"""What the menu knows of the consoles: which there are for this user, which a search finds, and a row for each.

A drawing waits for nothing: it shows what is known, and what is not known, or is old, is looked up behind it, in
slices that hold nobody else up, for the consoles that are on the screen.
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
    """A console, as the menu shows it: plain text, whatever its guest printed.

    Attributes:
        idle: how long ago the guest printed something.
        people: who is attached; `*` marks the keyboard.
        last: line that the guest printed; empty without the right to watch, as `people` is.
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
        self._wanted: dict[ConsoleSeat, None] = {}  # their last lines, in this order
        self._work = asyncio.Event()
        self._is_made = False

    def find(self, search: str) -> Found:
        """Those of which name, machine, state or the keyboard's holder have every word of `search`; by name."""
        if self._is_old():
            self._work.set()
        return self._view.search(search, self._held())

    def _held(self) -> dict[Console, str]:
        """Who has the keyboard, in lower case, wherever anybody has it."""
        seats = {console: self._services.seats.known(console) for console in self._services.directory.attended}
        return {c: seat.holder.who.name.lower() for c, seat in seats.items() if seat and seat.holder}

    @property
    def longest(self) -> int:
        """How many characters the longest name has."""
        return self._view.longest

    def drawing(self) -> None:
        """The screen is about to be drawn, and asks for the rows that are on it."""
        self._wanted.clear()

    def row(self, console: Console) -> Row:
        """How it is now; its last line as it was when somebody looked last."""
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
        """Look up which consoles there are for this user, if grants have changed since."""
        if self._is_old():
            self._view, self._is_made = await self._services.views.of(self._who), True

    async def look(self, changed: Callable[[], object]) -> None:
        """For ever: look up what the drawings found missing or old.

        Args:
            changed: is called when there is something that the screen does not show yet. Where it only shows what is
                old, it is not: a guest that prints on and on would have the screen drawn on and on.
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
