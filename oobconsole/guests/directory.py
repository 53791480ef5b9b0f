"""The directory: every guest of the server and every console, found by name.

Sources push into it (`appeared`, `vanished`). Whoever wants to know of changes asks to be told of them
(`on_appeared`, `on_vanished`). So a look-up costs the same with ten consoles and with ten thousand.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from oobconsole.access import Principal
from oobconsole.config.schema import Config
from oobconsole.console.console import Console, ConsoleState
from oobconsole.events import Events, Kind
from oobconsole.guests.guest import Guest, Source
from oobconsole.power.power import Power

#: A function that is called with a console that appears or vanishes, and the guest to which it belongs.
Told = Callable[[Guest, Console], object]


@dataclass(frozen=True, slots=True)
class Entry:
    """One console of the directory, and the guest that it belongs to."""

    console: Console
    guest: Guest


class _States:
    """Observes the state of one console. Each change is an event, and is counted."""

    def __init__(
        self, console: Console, changed: Callable[[ConsoleState, ConsoleState], object], events: Events
    ) -> None:
        self._name = console.name
        self._changed = changed
        self._events = events
        self._state = console.state

    def output(self, offset: int, data: bytes) -> None:
        """Output is no event, because there would be thousands."""

    def gap(self, offset: int, lost: int) -> None:
        """A gap is no event, because the console's readers are told of it."""

    def typed(self, data: bytes, who: Principal | None) -> None:
        """Input is no event, because nobody else may know what somebody types."""

    def state_changed(self, state: ConsoleState, reason: str) -> None:
        self._changed(self._state, state)
        self._state = state
        self._events.emit(Kind.CONSOLE, self._name, state=state.name.lower(), reason=reason)


class Directory:
    """Every guest and every console of the server.

    Attributes:
        sources: where guests come from, in the order of the configuration.
        in_state: the consoles that are in each state.
        attended: the consoles to which anybody is attached.
        state_changes: how often the state of a console has changed. A caller that keeps a result that depends on the
            states compares this number to learn whether the result is still true.
    """

    def __init__(self, events: Events) -> None:
        self.sources: list[Source] = []
        self.in_state: dict[ConsoleState, set[Console]] = {state: set() for state in ConsoleState}
        self.attended: set[Console] = set()
        self.state_changes = 0
        self._events = events
        self._guests: dict[str, Guest] = {}
        self._entries: dict[str, Entry] = {}
        self._names: list[str] = []  # sorted
        self._appeared: list[Told] = []
        self._vanished: list[Told] = []

    # -- looking up ---------------------------------------------------------------------------------

    def find(self, name: str) -> Console | None:
        """Return the console of that name, or None. There may be a recording of that name even then."""
        entry = self._entries.get(name)
        return None if entry is None else entry.console

    def entry(self, name: str) -> Entry | None:
        """Return the console of that name with its guest, or None."""
        return self._entries.get(name)

    def guest(self, name: str) -> Guest | None:
        """Return the guest of that name, or None."""
        return self._guests.get(name)

    def guest_of(self, console: Console) -> Guest | None:
        """Return the guest to which a console belongs. None: the console has vanished, and another console may have
        its name now."""
        entry = self._entries.get(console.name)
        return entry.guest if entry is not None and entry.console is console else None

    def power_of(self, console: Console) -> Power | None:
        """Return what can switch the guest of a console on and off. None: nothing of that kind is configured."""
        guest = self.guest_of(console)
        return None if guest is None else guest.power

    @property
    def states(self) -> Counter[ConsoleState]:
        """How many consoles are in each state; 0 for a state in which no console is."""
        return Counter({state: len(consoles) for state, consoles in self.in_state.items()})

    @property
    def names(self) -> Sequence[str]:
        """The names of all consoles, sorted. This is the directory's own list, so it changes with the directory."""
        return self._names

    def consoles(self) -> Iterator[Console]:
        """Return all consoles, sorted by name. Consoles may come and go while the caller iterates."""
        return (entry.console for entry in self.entries())

    def entries(self) -> Iterator[Entry]:
        """Return all consoles with their guests, sorted by name. They may come and go while the caller iterates."""
        return (entry for name in tuple(self._names) if (entry := self._entries.get(name)) is not None)

    def __len__(self) -> int:
        """How many consoles there are."""
        return len(self._names)

    # -- who is told --------------------------------------------------------------------------------

    def on_appeared(self, told: Told) -> None:
        """Call `told` for every console that is there already, and for each that appears later. The call for a new
        console comes before its guest prints anything."""
        for entry in self.entries():
            told(entry.guest, entry.console)
        self._appeared.append(told)

    def on_vanished(self, told: Told) -> None:
        """Call `told` for each console that vanishes. At the time of the call `find` does not find it any more."""
        self._vanished.append(told)

    # -- the sources' side --------------------------------------------------------------------------

    def add(self, source: Source) -> None:
        """Add a source, with the guests that it has already."""
        self.sources.append(source)
        source.introduce(self)

    def configure(self, config: Config) -> None:
        """Give all guests the settings that a configuration has for them."""
        for source in self.sources:
            source.configure(config)

    async def start(self) -> None:
        """Start all sources, which begin to connect. Raises `EnvironmentFault`."""
        for source in self.sources:
            await source.start()

    async def stop(self, reason: str) -> None:
        """Stop all sources. Each tells the people who are attached why, and lets its guests go on without the
        server."""
        for source in self.sources:
            await source.stop(reason)

    def appeared(self, guest: Guest) -> None:
        """Add a guest with its consoles. The guest must not have printed anything yet.

        Raises:
            ValueError: another guest or console has one of these names.
        """
        if guest.name in self._guests:
            raise ValueError(f"there is another guest {guest.name} already")
        for console in guest.consoles:
            self._refuse_if_taken(console)
        self._guests[guest.name] = guest
        for console in guest.consoles:
            self._add(guest, console)

    def grew(self, guest: Guest, console: Console) -> None:
        """Add a further console to a guest that is there. Nothing must have been printed at the console yet.

        Raises:
            ValueError: another console has that name.
        """
        self._refuse_if_taken(console)
        guest.consoles.append(console)
        self._add(guest, console)

    def shrank(self, guest: Guest, console: Console) -> None:
        """Remove a console of a guest that stays. Nobody may be attached to that console."""
        guest.consoles.remove(console)
        self._remove(guest, console)

    def vanished(self, guest: Guest) -> None:
        """Remove a guest and its consoles. Nobody may be attached to them."""
        for console in tuple(guest.consoles):
            self.shrank(guest, console)
        del self._guests[guest.name]

    def _refuse_if_taken(self, console: Console) -> None:
        if console.name in self._entries:
            raise ValueError(f"there is another console {console.name} already")

    def _add(self, guest: Guest, console: Console) -> None:
        self._entries[console.name] = Entry(console, guest)
        insort(self._names, console.name)
        self.in_state[console.state].add(console)
        console.observe(_States(console, partial(self._state_changed, console), self._events))
        console.on_attended(partial(self._attended, console))
        for told in self._appeared:
            told(guest, console)

    def _remove(self, guest: Guest, console: Console) -> None:
        console.close(f"{console.name} is no more")  # for those who read aside
        del self._entries[console.name]
        del self._names[bisect_left(self._names, console.name)]
        self.in_state[console.state].discard(console)
        self.attended.discard(console)
        for told in self._vanished:
            told(guest, console)

    def _state_changed(self, console: Console, former: ConsoleState, state: ConsoleState) -> None:
        if self.find(console.name) is not console:
            return  # the console has vanished, and does not count any more
        self.in_state[former].discard(console)
        self.in_state[state].add(console)
        self.state_changes += 1

    def _attended(self, console: Console, attended: bool) -> None:
        (self.attended.add if attended else self.attended.discard)(console)
