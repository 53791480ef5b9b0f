"""A device that every guest has: from the configuration to the guest's access and its interrupt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from oobconsole.config.guests import MachineConfig
from oobconsole.config.places import FITTED, Fitting, conflict, devices_of, places_of
from oobconsole.devices.bus import Slot
from oobconsole.devices.device import Device, Resources
from oobconsole.guests.board import Board
from oobconsole.guests.fittings import MAKERS, Bind
from oobconsole.guests.nested import Machine
from oobconsole.interceptors.base import PortHandler
from oobconsole.interceptors.memory import MemoryInterceptor
from oobconsole.interceptors.ranges import Served, disagreement, served_ranges
from oobconsole.interceptors.tcg import qemu_options
from tests.support.devices import KEYBOARD, Keyboard

COM1 = 0x3F8


class Inert(Device):
    """A device that does nothing. Its place is what counts here."""

    def read(self, register: int) -> int:
        return 0

    def write(self, register: int, value: int) -> None:
        pass

    def reset(self) -> None:
        pass


class Registrar(Inert):
    """A device without interrupts."""

    sizes: ClassVar = (4,)
    outputs: ClassVar = 0


@dataclass
class Rack:
    """A machine whose guests have these ranges."""

    ranges: tuple[Served, ...]
    machine: str = "rack7"


def machine(*guests: dict[str, object]) -> MachineConfig:
    return MachineConfig.model_validate({"name": "rack7", "guest": list(guests)})


@pytest.fixture
def keyboards(monkeypatch: pytest.MonkeyPatch) -> list[Keyboard]:
    """Every guest has a keyboard controller; those that were made."""
    made: list[Keyboard] = []

    def make(slot: Slot, board: Board, bind: Bind) -> Keyboard:
        made.append(Keyboard(*slot.outputs))
        return made[-1]

    monkeypatch.setitem(FITTED, "keyboard", Fitting(Keyboard, KEYBOARD))
    monkeypatch.setitem(MAKERS, "keyboard", make)
    return made


def test_whatever_has_a_place_has_a_maker() -> None:
    assert FITTED.keys() == MAKERS.keys()
    assert conflict(machine({"name": "web1"})) is None


def test_the_native_half_is_told_of_it_once(keyboards: list[Keyboard]) -> None:
    places = places_of(machine({"name": "web1"}, {"name": "web2", "uarts": ["com1", "com2"]}))
    _, value = qemu_options("rack7", Path("/s"), Path("/p"), places)
    assert value.endswith(",ports=uart@0x3f8-0x3ff:uart@0x2f8-0x2ff:generic@0x60+0x64,irq=4:3:1+12")


def test_the_server_says_each_of_its_ranges(keyboards: list[Keyboard]) -> None:
    """A guest waits for what it writes to such a device, and not for what it writes to a UART."""
    served = served_ranges(devices_of(machine({"name": "web1"}, {"name": "web2"})))
    assert [(one.guest, *one.range) for one in served] == [
        ("web1", 0x60, 1, 1 << 1 | 1 << 12, 1, 0),
        ("web1", 0x64, 1, 1 << 1 | 1 << 12, 1, 0),
        ("web1", COM1, 8, 1 << 4, 1, 0xFF),
    ]


def test_a_device_may_have_no_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the configuration to the options of QEMU, and to WELCOME."""
    place = Resources((range(0xE8, 0xEC),), ())
    monkeypatch.setitem(FITTED, "registrar", Fitting(Registrar, place))
    both = machine({"name": "web1"}, {"name": "web2"})
    assert conflict(both) is None
    _, value = qemu_options("rack7", Path("/s"), Path("/p"), places_of(both))
    assert value.endswith(",ports=uart@0x3f8-0x3ff:generic@0xe8-0xeb,irq=4:-")
    served = served_ranges(devices_of(both))
    assert [(one.guest, *one.range) for one in served] == [
        ("web1", 0xE8, 4, 0, 1, 0),
        ("web1", COM1, 8, 1 << 4, 1, 0xFF),
    ]
    assert disagreement(Rack(served), [one.range for one in served]) is None
    said = disagreement(Rack(served), [one.range._replace(lines=1 << 4) for one in served])
    assert said is not None
    assert said.startswith(
        "guest web1 has ports 0xe8-0xeb without an interrupt, but the native half intercepts ports 0xe8-0xeb with "
        "interrupt 4, ports 0x3f8-0x3ff with interrupt 4: "
    )


@pytest.mark.parametrize(("count", "reason"), [(31, None), (32, "more than 32 different ranges of ports")])
def test_many_ranges_of_one_device(monkeypatch: pytest.MonkeyPatch, count: int, reason: str | None) -> None:
    """Beside the one range of the guest's UART."""
    place = Resources(tuple(range(first, first + 1) for first in range(0x100, 0x100 + 2 * count, 2)), ())
    monkeypatch.setitem(FITTED, "registrar", Fitting(Registrar, place))
    said = conflict(machine({"name": "web1"}))
    assert (said and said.partition(" in one machine")[0]) == reason


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (Resources((range(0xE8, 0xEC),), (5, 6, 7)), "it has 3 interrupts, and at most 2 are possible"),
        (Resources((range(0x100, 0x109),), ()), "it has 9 adjacent ports, and at most 8 are possible"),
    ],
)
def test_what_a_native_half_has_no_room_for(monkeypatch: pytest.MonkeyPatch, place: Resources, reason: str) -> None:
    monkeypatch.setitem(FITTED, "registrar", Fitting(Registrar, place))
    assert conflict(machine({"name": "web1"})) == f"'web1' cannot have a device there: {reason}"


def test_one_place_has_one_kind_of_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The native half knows one device for each port."""
    monkeypatch.setitem(FITTED, "registrar", Fitting(Registrar, Resources((range(COM1, COM1 + 8),), ())))
    assert conflict(machine({"name": "web1"})) == "port 0x3f8 has two interrupts, none and 4: it has one in a machine"


class Wide(Inert):
    """A device with registers of two and of four bytes."""

    sizes: ClassVar = (4,)
    outputs: ClassVar = 0
    widths: ClassVar = (1, 2, 4)


def test_the_server_says_how_wide_an_access_may_be() -> None:
    served = served_ranges([("web1", Wide, Resources((range(0x1CE, 0x1D2),), ()))])
    assert [tuple(one.range) for one in served] == [(0x1CE, 4, 0, 0b111, 0)]


class Octet(Inert):
    """A device with as many ports and interrupts as a 16550, which is none."""

    sizes: ClassVar = (8,)
    outputs: ClassVar = 1


def test_eight_ports_are_not_taken_for_a_uart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FITTED, "octet", Fitting(Octet, Resources((range(0x2F8, 0x300),), (3,))))
    _, value = qemu_options("rack7", Path("/s"), Path("/p"), places_of(machine({"name": "web1"})))
    assert value.endswith(",ports=uart@0x3f8-0x3ff:generic@0x2f8-0x2ff,irq=4:3")


def test_one_place_has_one_kind_of_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The native half has one shadow for each port."""
    monkeypatch.setitem(FITTED, "octet", Fitting(Octet, Resources((range(COM1, COM1 + 8),), (4,))))
    said = conflict(machine({"name": "web1"}))
    assert said == "port 0x3f8 has devices of two kinds, Octet and Uart16550: it has one in a machine"


def test_a_uart_in_its_place_is_refused(keyboards: list[Keyboard], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FITTED, "keyboard", Fitting(Keyboard, Resources((range(0x3FA, 0x3FB),), (1,))))
    assert conflict(machine({"name": "web1"})) == "port 0x3fa of 'web1' belongs to another device already"


async def test_each_guest_has_one_beside_its_console(keyboards: list[Keyboard]) -> None:
    interceptor = MemoryInterceptor("rack7")
    rack = Machine(machine({"name": "web1"}, {"name": "web2"}), interceptor, scrollback=4096)
    await rack.start()
    handlers: list[PortHandler] = []
    for number in (1, 2):
        handler = interceptor.appear(number)
        assert handler is not None
        handlers.append(handler)
    first, second = keyboards
    first.press(0x1E)
    assert interceptor.levels[1, 1] is True
    assert not interceptor.levels.get((2, 1))
    assert [handler.read(0x64, 1) for handler in handlers] == [0x01, 0]
    assert handlers[0].read(0x60, 1) == 0x1E
    assert interceptor.levels[1, 1] is False
    handlers[1].write(0x64, 1, 0xAE)
    assert (first.written, second.written) == ([], [(1, 0xAE)])
    handlers[1].write_block(COM1, b"hello")
    assert rack.guests[1].consoles[0].read_from(0, 10).data == b"hello"
