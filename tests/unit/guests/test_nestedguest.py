"""A guest of a nested machine, as the directory has it."""

from __future__ import annotations

from oobconsole.console.console import ConsoleState
from oobconsole.events import Events
from oobconsole.guests.directory import Directory
from oobconsole.guests.nestedguest import NestedGuest
from tests.support.rack import Rack


def guest_of(rack: Rack, name: str) -> NestedGuest:
    """Return the guest of that name as whoever asks the directory gets it."""
    directory = Directory(Events())
    directory.add(rack.machine)
    guest = directory.guest(name)
    assert isinstance(guest, NestedGuest)
    return guest


async def test_the_directory_has_the_guest_that_knows_its_context() -> None:
    """A monitor has to find the memory of a guest by the name of the guest."""
    rack = await Rack({"name": "web1"}, {"name": "web2"}).started()
    web2 = guest_of(rack, "web2")
    assert web2 is rack.machine.guests[1]
    assert web2.board is None
    rack.appear(1)
    rack.appear(2)
    assert web2.board is not None
    assert (web2.board.context.machine, web2.board.context.number) == ("rack7", 2)
    rack.interceptor.vanish(2)
    assert web2.board is None


async def test_a_guest_has_its_own_settings_its_power_and_its_machine() -> None:
    power = {"command": ["/bin/true", "{action}"]}
    rack = Rack({"name": "web1", "console": {"share": True}, "power": power}, {"name": "web2"})
    web1, web2 = rack.machine.guests
    assert (web1.settings.share, web2.settings.share) == (True, False)
    assert all(console.settings is web1.settings for console in web1.consoles)
    assert web1.power is not None
    assert web2.power is None
    assert web1.source is rack.machine


async def test_each_of_its_consoles_has_a_place_and_follows_the_guest() -> None:
    rack = await Rack({"name": "web1", "uarts": ["com1", "com2"]}).started()
    (web1,) = rack.machine.guests
    assert [
        (place.ranges[0].start, console.name) for place, console in zip(web1.places, web1.consoles, strict=True)
    ] == [
        (0x3F8, "web1"),
        (0x2F8, "web1.com2"),
    ]
    rack.appear(1)
    assert {console.state for console in web1.consoles} == {ConsoleState.LIVE}
    rack.interceptor.vanish(1, "it ended")
    assert {(console.state, console.reason) for console in web1.consoles} == {
        (ConsoleState.GONE, "the guest is gone: it ended")
    }
