"""What the menu knows of the consoles: which there are for this user, which a search finds, and a row for each.

A drawing waits for nothing: it shows what is known, and what is not known, or is old, is looked up behind it, in
slices that hold nobody else up, for the consoles that are on the screen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from oobconsole.access import Grant, Principal, Right
from oobconsole.console.console import Console
from oobconsole.session.listing import shown_idle
from oobconsole.session.seat import ConsoleSeat
from oobconsole.session.state import Consoles


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

    def __init__(self, consoles: Consoles, who: Principal) -> None:
        self._consoles = consoles
        self._who = who
        self._grants: tuple[Grant, ...] | None = None
        self._changes = -1
        self._known: list[tuple[Console, str]] = []
        self._longest = 0
        self._wanted: dict[ConsoleSeat, None] = {}  # their last lines, in this order
        self._work = asyncio.Event()

    def find(self, search: str) -> list[Console]:
        """Those of which name, machine, state or the keyboard's holder have every word of `search`; by name."""
        if self._is_old():
            self._work.set()
        words = search.lower().split()
        return [c for c, fixed in self._known if all(word in self._text(c, fixed) for word in words)]

    @property
    def longest(self) -> int:
        """Characters of the longest name."""
        return self._longest

    def drawing(self) -> None:
        """The screen is about to be drawn, and asks for the rows that are on it."""
        self._wanted.clear()

    def row(self, console: Console) -> Row:
        """How it is now; its last line as it was when somebody looked last."""
        seat = self._consoles.seats.at(console)
        may_watch = self._consoles.access.may(self._who, Right.WATCH, console.name)
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
        """Look up which consoles there are, if grants have changed or consoles came or went since."""
        if self._is_old():
            grants, changes = self._consoles.access.grants, self._consoles.directory.changes
            visible = await self._consoles.visible(self._who)
            self._grants, self._changes = grants, changes
            self._known = [(console, f"{console.name} {machine}".lower()) for console, machine in visible]
            self._longest = max((len(console.name) for console, _ in visible), default=0)

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
        consoles = self._consoles
        return consoles.access.grants is not self._grants or consoles.directory.changes != self._changes

    def _text(self, console: Console, fixed: str) -> str:
        seat = self._consoles.seats.known(console)
        holder = seat.holder.who.name.lower() if seat and seat.holder else ""
        return f"{fixed} {console.state.name.lower()} {holder}"


def _people(seat: ConsoleSeat) -> str:
    members = sorted(seat.members, key=lambda member: member is not seat.holder)
    return ", ".join(f"{m.who.name}{'*' if seat.room.may_type(m) else ''}" for m in members)
