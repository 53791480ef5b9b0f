"""A device that every guest has: from the configuration to the guest's access and its interrupt."""

from __future__ import annotations

from pathlib import Path

import pytest

from oobconsole.config.guests import MachineConfig
from oobconsole.config.places import FITTED, conflict, devices_of, places_of
from oobconsole.devices.bus import Slot
from oobconsole.devices.device import Resources
from oobconsole.guests.board import Board
from oobconsole.guests.fittings import MAKERS
from oobconsole.guests.nested import Machine
from oobconsole.interceptors.base import PortHandler
from oobconsole.interceptors.memory import MemoryInterceptor
from oobconsole.interceptors.ranges import served_ranges
from oobconsole.interceptors.tcg import qemu_options
from tests.support.devices import KEYBOARD, Keyboard

COM1 = 0x3F8


def machine(*guests: dict[str, object]) -> MachineConfig:
    return MachineConfig.model_validate({"name": "rack7", "guest": list(guests)})


@pytest.fixture
def keyboards(monkeypatch: pytest.MonkeyPatch) -> list[Keyboard]:
    """Every guest has a keyboard controller; those that were made."""
    made: list[Keyboard] = []

    def make(slot: Slot, board: Board) -> Keyboard:
        made.append(Keyboard(*slot.outputs))
        return made[-1]

    monkeypatch.setitem(FITTED, "keyboard", (Keyboard, KEYBOARD))
    monkeypatch.setitem(MAKERS, "keyboard", make)
    return made


def test_whatever_has_a_place_has_a_maker() -> None:
    assert FITTED.keys() == MAKERS.keys()
    assert conflict(machine({"name": "web1"})) is None


def test_the_native_half_is_told_of_it_once(keyboards: list[Keyboard]) -> None:
    places = places_of(machine({"name": "web1"}, {"name": "web2", "uarts": ["com1", "com2"]}))
    _, value = qemu_options("rack7", Path("/s"), Path("/p"), places)
    assert value.endswith(",ports=0x3f8-0x3ff:0x2f8-0x2ff:0x60+0x64,irq=4:3:1+12")


def test_the_server_says_each_of_its_ranges(keyboards: list[Keyboard]) -> None:
    """A guest waits for what it writes to such a device, and not for what it writes to a UART."""
    served = served_ranges(devices_of(machine({"name": "web1"}, {"name": "web2"})))
    assert [(one.guest, *one.range) for one in served] == [
        ("web1", 0x60, 1, 1 << 1 | 1 << 12, 1, 0),
        ("web1", 0x64, 1, 1 << 1 | 1 << 12, 1, 0),
        ("web1", COM1, 8, 1 << 4, 1, 0xFF),
    ]


def test_a_uart_in_its_place_is_refused(keyboards: list[Keyboard], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FITTED, "keyboard", (Keyboard, Resources((range(0x3FA, 0x3FB),), (1,))))
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
