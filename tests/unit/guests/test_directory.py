"""The directory: what is found in it, who is told of what comes and goes, and what that costs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from oobconsole.config.guests import ConsoleConfig
from oobconsole.config.schema import Config
from oobconsole.console.console import Console, ConsoleState
from oobconsole.console.reader import Notice
from oobconsole.events import Event, Events, Kind
from oobconsole.guests.directory import Directory
from oobconsole.guests.guest import Guest, Listing
from oobconsole.recording.recorder import Recorder
from tests.support.aio import soon


class Host:
    """A source that has no guests of its own."""

    def __init__(self, name: str = "host", *guests: Guest) -> None:
        self.name = name
        self.guests = guests

    @property
    def links(self) -> dict[str, bool]:
        return {self.name: True}

    def introduce(self, directory: Listing) -> None:
        for guest in self.guests:
            directory.appeared(guest)

    def record(self, recorder_of: Callable[[str], Recorder | None]) -> None:
        """Nothing is recorded."""

    def configure(self, config: Config) -> None:
        """Nothing behaves in one way or another."""

    async def start(self) -> None:
        """Nothing to connect to."""

    async def stop(self, reason: str) -> None:
        """Nothing to disconnect from."""


def guest(name: str, *more: str) -> Guest:
    """With a console of its name, and of further ones."""
    consoles = [Console(each, scrollback=4096) for each in (name, *more)]
    return Guest(name, Host(), settings=ConsoleConfig(), consoles=consoles)


@pytest.fixture
def happened() -> list[Event]:
    return []


@pytest.fixture
def directory(happened: list[Event]) -> Directory:
    events = Events()
    events.add_sink(happened.append)
    return Directory(events)


def test_a_source_introduces_its_guests_and_they_are_found_by_name(directory: Directory) -> None:
    web, db = guest("web", "web.port2"), guest("db")
    directory.add(Host("rack", web, db))
    assert [source.name for source in directory.sources] == ["rack"]
    assert (directory.guest("web"), directory.guest("web.port2")) == (web, None)
    assert directory.find("web.port2") is web.consoles[1]
    assert directory.guest_of(web.consoles[1]) is web
    assert list(directory.names) == ["db", "web", "web.port2"]
    assert list(directory.consoles()) == [*db.consoles, *web.consoles]
    assert len(directory) == 3


def test_what_is_not_there_is_not_found(directory: Directory) -> None:
    assert directory.find("web") is None
    assert directory.guest("web") is None
    assert directory.guest_of(Console("web", scrollback=4096)) is None


def test_whoever_asks_is_told_of_those_that_are_there_those_that_come_and_those_that_go(directory: Directory) -> None:
    told: list[str] = []
    directory.appeared(guest("web"))
    directory.on_appeared(lambda of, console: told.append(f"{of.name} has {console.name}"))
    directory.on_vanished(lambda of, console: told.append(f"{of.name} had {console.name}"))
    db = guest("db", "db.port2")
    directory.appeared(db)
    directory.shrank(db, db.consoles[1])
    directory.grew(db, Console("db.port3", scrollback=4096))
    directory.vanished(db)
    assert told == [
        "web has web",
        "db has db",
        "db has db.port2",
        "db had db.port2",
        "db has db.port3",
        "db had db",
        "db had db.port3",
    ]
    assert (list(directory.names), directory.guest("db")) == (["web"], None)


async def test_whoever_reads_aside_at_a_console_that_vanishes_comes_to_its_end(directory: Directory) -> None:
    web = guest("web")
    directory.appeared(web)
    reader = web.consoles[0].attach(aside=True)
    directory.vanished(web)
    item = await soon(reader.next())
    assert isinstance(item, Notice)
    assert item.text == "web is no more"
    with pytest.raises(EOFError):
        await soon(reader.next())


def test_a_name_that_is_taken_is_refused(directory: Directory) -> None:
    directory.appeared(guest("web", "web.port2"))
    with pytest.raises(ValueError, match="another guest web"):
        directory.appeared(guest("web"))
    with pytest.raises(ValueError, match=r"another console web\.port2"):
        directory.appeared(guest("web.port2"))
    assert (list(directory.names), directory.guest("web.port2")) == (["web", "web.port2"], None)


def test_a_console_that_has_vanished_is_not_the_one_that_has_its_name_now(directory: Directory) -> None:
    """Whoever is still at its power's question must not switch another guest."""
    former, later = guest("web"), guest("web")
    directory.appeared(former)
    console = former.consoles[0]
    directory.vanished(former)
    directory.appeared(later)
    assert (directory.guest_of(console), directory.power_of(console)) == (None, None)
    assert directory.guest_of(later.consoles[0]) is later


def test_states_are_counted_and_are_events(directory: Directory, happened: list[Event]) -> None:
    web, db = guest("web"), guest("db")
    directory.appeared(web)
    directory.appeared(db)
    assert dict(+directory.states) == {ConsoleState.WAITING: 2}
    web.consoles[0].set_state(ConsoleState.LIVE)
    assert dict(+directory.states) == {ConsoleState.WAITING: 1, ConsoleState.LIVE: 1}
    assert [(event.kind, event.console, event.detail["state"]) for event in happened] == [
        (Kind.CONSOLE, "web", "live")
    ]
    assert directory.state_changes == 1
    console = web.consoles[0]
    directory.vanished(web)
    console.set_state(ConsoleState.GONE)  # nobody counts it any more
    assert (dict(+directory.states), directory.state_changes) == ({ConsoleState.WAITING: 1}, 1)


def test_the_consoles_at_which_somebody_is_are_known(directory: Directory) -> None:
    web, db = guest("web"), guest("db")
    directory.appeared(web)
    directory.appeared(db)
    readers = [web.consoles[0].attach(), web.consoles[0].attach(), db.consoles[0].attach()]
    db.consoles[0].attach(aside=True)
    assert directory.attended == {web.consoles[0], db.consoles[0]}
    readers[0].close()
    assert web.consoles[0] in directory.attended
    readers[1].close()
    assert directory.attended == {db.consoles[0]}
    directory.vanished(db)
    assert directory.attended == set()


def test_ten_thousand_consoles_are_found_without_being_looked_at(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10_000):
        directory.appeared(guest(f"web{number:05}"))
    looked_at: list[str] = []
    monkeypatch.setattr(directory, "entries", lambda: looked_at.append("all of them"))
    console = directory.find("web07777")
    assert console is not None
    assert console.name == "web07777"
    assert directory.guest_of(console) is directory.guest("web07777")
    assert looked_at == []
