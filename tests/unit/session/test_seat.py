"""Seats: what people sit at together. A console is one; what needs no console is tested without."""

from __future__ import annotations

import pytest

from oobconsole.access import ALL, Access, Grant, Principal
from oobconsole.config.guests import ConsoleConfig
from oobconsole.console.console import Console, ConsoleState
from oobconsole.console.reader import Notice
from oobconsole.events import Events
from oobconsole.session import seat as module
from oobconsole.session.seat import Seat
from oobconsole.session.services import Services
from tests.unit.session.fakes import ALICE, consoles, vanish


class Picture:
    """A graphical screen, as far as a room needs one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.settings = ConsoleConfig()

    def take(self) -> bool:
        return False


class Viewer:
    """What shows it to somebody."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def wake(self, notice: Notice | None = None) -> None:
        self.told.append(notice.text if notice is not None else "")


async def test_people_sit_at_what_is_no_console() -> None:
    everything = Access((Grant(("*",), ("*",), ALL),))
    seat = Seat(Picture("web1.screen"), everything, Events())
    viewers = Viewer(), Viewer()
    first = seat.room.join(ALICE, viewers[0], watch=False)
    second = seat.room.join(Principal("bob"), viewers[1], watch=False)
    assert (seat.holder, seat.members) == (first, [first, second])
    seat.room.ask(second)
    assert seat.room.hand_over(first) == "bob has the keyboard now, and you watch"
    assert viewers[0].told == ["bob is attached", "bob asks for the keyboard: ~r, then h, hands it over"]
    assert viewers[1].told == ["alice gave you the keyboard"]


def web1(settings: Services) -> Console:
    console = settings.directory.find("web1")
    assert console is not None
    return console


async def test_a_seat_is_made_when_somebody_needs_one() -> None:
    settings = consoles("web1", "web2")
    assert settings.seats.known(web1(settings)) is None
    seat = settings.seats.at(web1(settings))
    assert settings.seats.known(web1(settings)) is seat
    assert list(settings.seats) == [seat]


async def test_to_look_whether_anybody_is_there_makes_no_room() -> None:
    settings = consoles("web1")
    seat = settings.seats.at(web1(settings))
    assert (seat.members, seat.holder) == ([], None)
    seat.recheck()
    assert seat._room is None


async def test_whoever_has_lost_a_right_is_told_at_each_seat() -> None:
    settings = consoles("web1", "web2")
    members = [
        settings.seats.room(console).join(ALICE, console.attach(), watch=False)
        for console in settings.directory.consoles()
    ]
    settings.access.grants = ()
    settings.seats.recheck()
    assert [member.ended.result() for member in members] == [
        "your right to watch web1 was taken away",
        "your right to watch web2 was taken away",
    ]


async def test_screens_that_are_unused_for_longest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCREENS_MAX", 2)
    settings = consoles("web1", "web2", "web3")
    one, two, three = settings.directory.consoles()
    first, second = settings.seats.screen(one), settings.seats.screen(two)
    assert settings.seats.screen(one) is first
    settings.seats.screen(three)
    assert settings.seats.screen(one) is first
    assert settings.seats.screen(two) is not second


async def test_a_console_that_is_no_more_has_no_seat() -> None:
    settings = consoles("web1")
    console = web1(settings)
    settings.seats.screen(console)
    vanish(settings, "web1")
    assert settings.seats.known(console) is None
    assert list(settings.seats) == []


async def test_the_last_line_is_read_when_somebody_looks() -> None:
    settings = consoles("web1")
    console = web1(settings)
    console.set_state(ConsoleState.LIVE)
    line = settings.seats.at(console).last_line
    assert (line.known, line.is_old) == (None, True)
    console.output(b"login: ")
    assert await line.look() == "login:"
    console.output(b"root")
    assert (line.known, line.is_old) == ("login:", True)
