"""What the menu knows of the consoles: which there are for this user, which a search finds, and a row for each.

A row costs a look at the console's output, so it is made only for what is on the screen.
"""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

from oobconsole.access import Grant, Principal, Right
from oobconsole.console.console import Console
from oobconsole.session.listing import last_line, shown_idle
from oobconsole.session.room import Room
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
        self._every: list[Console] = []
        self._known: list[tuple[Console, str]] = []
        self._longest = 0
        self._last_lines: WeakKeyDictionary[Console, tuple[int, str]] = WeakKeyDictionary()

    def find(self, search: str) -> list[Console]:
        """Those of which name, machine, state or the keyboard's holder have every word of `search`; by name."""
        words = search.lower().split()
        known = self._all()
        return [c for c, fixed in known if all(word in self._text(c, fixed) for word in words)]

    @property
    def longest(self) -> int:
        """Characters of the longest name, when `find` looked last."""
        return self._longest

    def row(self, console: Console) -> Row:
        """How it is now."""
        room = self._consoles.room(console)
        may_watch = room.may(self._who, Right.WATCH)
        return Row(
            console.name,
            console.state.name.lower(),
            shown_idle(console),
            _people(room) if may_watch else "",
            self._last_line(console) if may_watch else "",
        )

    def _last_line(self, console: Console) -> str:
        """It costs up to some milliseconds, and nothing while the guest prints nothing."""
        end, text = self._last_lines.get(console, (-1, ""))
        if end != console.end:
            end, text = self._last_lines[console] = console.end, last_line(console)
        return text

    def _all(self) -> list[tuple[Console, str]]:
        """Looked up again only when grants have changed, or consoles came or went: a thousand take milliseconds."""
        grants = self._consoles.access.grants
        every = [console for machine in self._consoles.machines for console in machine.consoles]
        if grants is not self._grants or every != self._every:
            self._grants, self._every = grants, every
            visible = self._consoles.visible(self._who)
            self._known = [(console, f"{console.name} {machine}".lower()) for console, machine in visible]
            self._longest = max((len(console.name) for console, _ in visible), default=0)
        return self._known

    def _text(self, console: Console, fixed: str) -> str:
        room = self._consoles.rooms.get(console.name)
        holder = room.holder.who.name.lower() if room and room.holder else ""
        return f"{fixed} {console.state.name.lower()} {holder}"


def _people(room: Room) -> str:
    members = sorted(room.members, key=lambda member: member is not room.holder)
    return ", ".join(f"{m.who.name}{'*' if room.may_type(m) else ''}" for m in members)
