"""The bus: which device an access reaches, who holds a line, and what a device with a bug may cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.devices.bus import Bus, Slot
from oobconsole.devices.device import Device, Resources
from oobconsole.devices.uart16550 import Ier, Iir, Mcr, Reg, Uart16550
from tests.support.devices import KEYBOARD, Broken, Keyboard

COM1, COM3 = 0x3F8, 0x3E8


class Rig:
    """A bus, what it said of its lines, and what it reported."""

    def __init__(self) -> None:
        self.said: list[tuple[int, bool]] = []
        self.failures: list[tuple[Slot, Exception]] = []
        self.sent: dict[int, bytearray] = {}
        self.now = 0
        self.bus = Bus(
            irq=lambda line, level: self.said.append((line, level)),
            failed=lambda slot, error: self.failures.append((slot, error)),
        )

    def uart(self, port: int = COM1, line: int = 4) -> Uart16550:
        slot = self.bus.add(Resources.of(Uart16550, ports=(port,), lines=(line,)))
        sent = self.sent[port] = bytearray()
        uart = Uart16550(transmit=sent.extend, irq=slot.outputs[0], clock=lambda: self.now)
        slot.plug(uart)
        return uart

    def keyboard(self) -> Keyboard:
        slot = self.bus.add(KEYBOARD)
        keyboard = Keyboard(*slot.outputs)
        slot.plug(keyboard)
        return keyboard

    def broken(self, port: int, line: int = 4) -> Broken:
        slot = self.bus.add(Resources.of(Broken, ports=(port,), lines=(line,)))
        device = Broken()
        slot.plug(device)
        return device


@pytest.fixture
def rig() -> Rig:
    return Rig()


class Dispi(Device):
    """A display adapter's two registers of 16 bits, at odd and even ports."""

    sizes: ClassVar = (3,)
    outputs: ClassVar = 0
    widths: ClassVar = (1, 2)

    def __init__(self) -> None:
        self.done: list[tuple[int, ...]] = []

    def read(self, register: int) -> int:
        self.done.append((register, 1))
        return 0x10 + register

    def write(self, register: int, value: int) -> None:
        self.done.append((register, 1, value))

    def reset(self) -> None:
        self.done.clear()

    def read_wide(self, register: int, size: int) -> int:
        self.done.append((register, size))
        return 0xB0C0 + register

    def write_wide(self, register: int, size: int, value: int) -> None:
        self.done.append((register, size, value))


class TestWidths:
    @pytest.fixture
    def dispi(self, rig: Rig) -> Dispi:
        device = Dispi()
        rig.bus.add(Resources.of(Dispi, ports=(0x1CE,), lines=())).plug(device)
        return device

    def test_a_wide_access_comes_whole(self, rig: Rig, dispi: Dispi) -> None:
        assert rig.bus.read(0x1CF, 2) == 0xB0C1
        rig.bus.write(0x1CE, 2, 0x1234)
        assert dispi.done == [(1, 2), (0, 2, 0x1234)]

    def test_a_wider_one_is_taken_apart(self, rig: Rig, dispi: Dispi) -> None:
        assert rig.bus.read(0x1CE, 4) == 0xFF12_B0C0
        rig.bus.write(0x1CE, 4, 0x5544_3322)
        assert dispi.done == [(0, 2), (2, 1), (0, 2, 0x3322), (2, 1, 0x44)]

    def test_one_that_begins_before_the_device_or_ends_behind_it_comes_in_bytes(self, rig: Rig, dispi: Dispi) -> None:
        assert rig.bus.read(0x1CD, 2) == 0x10FF
        assert rig.bus.read(0x1D0, 2) == 0xFF12
        assert dispi.done == [(0, 1), (2, 1)]

    def test_a_device_that_says_nothing_else_is_of_bytes(self, rig: Rig) -> None:
        rig.keyboard()
        assert rig.bus.read(0x60, 2) == 0xFF00
        assert (Keyboard.widths, Uart16550.widths) == ((1,), (1,))


class TestAccesses:
    def test_two_kinds_of_devices_are_on_one_bus(self, rig: Rig) -> None:
        rig.uart()
        keyboard = rig.keyboard()
        keyboard.press(0x1E)
        rig.bus.write(COM1, 1, ord("a"))
        rig.bus.write(0x64, 1, 0xAE)
        assert (rig.bus.read(0x64, 1), rig.bus.read(0x60, 1), rig.bus.read(0x64, 1)) == (0x01, 0x1E, 0)
        assert (bytes(rig.sent[COM1]), keyboard.written) == (b"a", [(1, 0xAE)])

    def test_between_two_ranges_of_a_device_there_is_nothing(self, rig: Rig) -> None:
        keyboard = rig.keyboard()
        for port in (0x5F, 0x61, 0x63, 0x65):
            assert rig.bus.read(port, 1) == 0xFF
            rig.bus.write(port, 1, 0)
        assert keyboard.written == []
        assert rig.bus.at(0x64) == (rig.bus.slots[0], 1)
        assert rig.bus.at(0x63) is None

    def test_a_wide_access_spans_devices_and_holes(self, rig: Rig) -> None:
        rig.uart(0x68)
        keyboard = rig.keyboard()
        keyboard.press(0x1E)
        rig.bus.write(0x68 + Reg.SCR, 1, 0x5A)
        rig.bus.write(0x68 + Reg.LCR, 1, 0x03)
        assert rig.bus.read(0x60, 4) == 0xFFFFFF1E
        keyboard.press(0x1F)
        assert rig.bus.read(0x62, 4) == 0xFF01FFFF
        assert rig.bus.read(0x6B, 2) == 0x0003
        assert rig.bus.read(0x6F, 2) == 0xFF5A
        rig.bus.write(0x62, 4, 0x44332211)
        assert keyboard.written == [(1, 0x33)]

    def test_behind_the_last_port_there_is_nothing(self, rig: Rig) -> None:
        rig.uart(0xFFF8)
        rig.bus.write(0xFFFF, 4, 0x04030201)
        assert rig.bus.read(0xFFFF, 4) == 0xFFFFFF01

    def test_a_slot_without_a_device_is_as_if_it_were_not_there(self, rig: Rig) -> None:
        slot = rig.bus.add(KEYBOARD)
        assert rig.bus.read(0x60, 1) == 0xFF
        keyboard = Keyboard(*slot.outputs)
        slot.plug(keyboard)
        keyboard.press(0x1E)
        assert rig.bus.level(1)
        slot.unplug()
        assert rig.bus.read(0x60, 1) == 0xFF
        assert rig.said == [(1, True), (1, False)]

    def test_another_device_takes_the_place_of_one(self, rig: Rig) -> None:
        rig.uart().write(Reg.SCR, 0x77)
        slot = rig.bus.slots[0]
        slot.plug(Uart16550(transmit=rig.sent[COM1].extend, irq=slot.outputs[0], clock=lambda: 0))
        assert rig.bus.read(COM1 + Reg.SCR, 1) == 0

    def test_a_slot_that_is_removed_leaves_its_ports_and_lines_to_others(self, rig: Rig) -> None:
        rig.keyboard().move(0x08)
        rig.bus.remove(rig.bus.slots[0])
        assert (rig.said, rig.bus.lines) == ([(12, True), (12, False)], [])
        rig.keyboard().press(0x1E)
        assert rig.bus.read(0x60, 1) == 0x1E


class TestWhatDoesNotFit:
    @pytest.mark.parametrize(
        ("ports", "lines", "reason"),
        [
            ((0xFFF9,), (4,), "0xfff9-0x10000 are no I/O ports"),
            ((-8,), (4,), "are no I/O ports"),
            ((COM1,), (16,), "16 is no ISA interrupt: there are 0 to 15"),
            ((COM1, COM3), (4,), "a Uart16550 has 1 ranges of ports and 1 interrupts, not 2 and 1"),
            ((COM1,), (), "not 1 and 0"),
        ],
    )
    def test_a_place_that_no_guest_has(self, ports: tuple[int, ...], lines: tuple[int, ...], reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            Resources.of(Uart16550, ports, lines)

    def test_ranges_of_one_device_that_overlap(self) -> None:
        with pytest.raises(ValueError, match="0x60-0x67 and 0x64-0x64 have ports in common"):
            Resources((range(0x60, 0x68), range(0x64, 0x65)), ())

    def test_a_port_that_belongs_to_another_device(self, rig: Rig) -> None:
        rig.keyboard()
        with pytest.raises(ValueError, match="port 0x64 belongs to another device already"):
            rig.bus.add(Resources.of(Uart16550, ports=(0x64,), lines=(4,)))
        assert len(rig.bus.slots) == 1

    def test_a_device_of_another_shape(self, rig: Rig) -> None:
        slot = rig.bus.add(KEYBOARD)
        with pytest.raises(ValueError, match="does not fit where there are ports"):
            slot.plug(Broken())


class TestLines:
    def test_each_output_has_a_line_of_its_own(self, rig: Rig) -> None:
        keyboard = rig.keyboard()
        keyboard.press(0x1E)
        keyboard.move(0x08)
        assert (rig.bus.level(1), rig.bus.level(12)) == (True, False)
        rig.bus.read(0x60, 1)
        assert (rig.bus.level(1), rig.bus.level(12)) == (False, True)
        assert rig.said == [(1, True), (1, False), (12, True)]
        assert rig.bus.lines == [1, 12]

    def test_two_uarts_on_one_line_are_counted_once(self, rig: Rig) -> None:
        one, other = rig.uart(COM1), rig.uart(COM3)
        for port in (COM1, COM3):
            rig.bus.write(port + Reg.MCR, 1, Mcr.OUT2)
            rig.bus.write(port + Reg.IER, 1, Ier.RDI)
        one.feed(b"a")
        other.feed(b"b")
        assert rig.said == [(4, True)]
        assert rig.bus.read(COM1, 1) == ord("a")
        assert rig.said == [(4, True)]
        assert rig.bus.read(COM3, 1) == ord("b")
        assert rig.said == [(4, True), (4, False)]

    def test_a_line_falls_when_the_last_of_its_devices_was_served_elsewhere(self, rig: Rig) -> None:
        rig.uart(COM1)
        other = rig.uart(COM3)
        for port in (COM1, COM3):
            rig.bus.write(port + Reg.MCR, 1, Mcr.OUT2)
            rig.bus.write(port + Reg.IER, 1, Ier.RDI | Ier.THRI)
        rig.bus.served(COM1 + Reg.IIR, Iir.THRI, 0)
        assert rig.said == [(4, True)]
        rig.bus.served(COM3 + Reg.IIR, Iir.THRI, 0)
        assert rig.said == [(4, True), (4, False)]
        assert other.read(Reg.IIR) & 0x0F == Iir.NONE

    def test_a_device_is_read_elsewhere_at_its_own_ports_alone(self, rig: Rig) -> None:
        uart = rig.uart()
        uart.write(Reg.FCR, 1)
        uart.feed(b"abc")
        before = uart.ahead()
        rig.bus.served(COM3, ord("a"), before.number + 1)
        assert uart.ahead() == before
        rig.bus.served(COM1, ord("a"), before.number + 1)
        assert uart.ahead() == (before.number + 1, before.images[1:])


class TestTime:
    def test_the_next_deadline_is_the_first_of_any_device(self, rig: Rig) -> None:
        slow, fast = rig.uart(COM1), rig.uart(COM3)
        rig.keyboard()
        assert rig.bus.next_deadline() is None
        for uart, divisor in ((slow, 96), (fast, 12)):
            for register, value in ((Reg.LCR, 0x83), (Reg.DLL, divisor), (Reg.LCR, 3), (Reg.FCR, 0xC1)):
                uart.write(register, value)
            uart.write(Reg.MCR, Mcr.OUT2)
            uart.write(Reg.IER, Ier.RDI)
            uart.feed(b"a")
        assert rig.bus.next_deadline() == fast.next_deadline()
        rig.now = fast.next_deadline() or 0
        rig.bus.poll()
        assert (fast.irq_level, slow.irq_level) == (True, False)
        assert rig.bus.next_deadline() == slow.next_deadline()


class TestADeviceWithABug:
    ASKS: tuple[Callable[[Bus], object], ...] = (
        lambda bus: bus.read(0x3E8, 1),
        lambda bus: bus.read(0x3E6, 4),
        lambda bus: bus.write(0x3E8, 1, 5),
        lambda bus: bus.write_block(0x3E8, b"abc"),
        lambda bus: bus.served(0x3EA, 0x02, 7),
        lambda bus: bus.poll(),
        lambda bus: bus.next_deadline(),
    )

    @pytest.mark.parametrize("ask", ASKS)
    def test_is_reported_once_and_disturbs_nobody(self, rig: Rig, ask: Callable[[Bus], object]) -> None:
        rig.broken(COM3)
        uart = rig.uart()
        uart.write(Reg.MCR, Mcr.OUT2)
        uart.write(Reg.IER, Ier.RDI)
        for _ in range(3):
            ask(rig.bus)
        [(slot, error)] = rig.failures
        assert (slot.resources.ranges, type(error)) == ((range(COM3, COM3 + 8),), ZeroDivisionError)
        uart.feed(b"a")
        assert rig.bus.level(4)
        assert rig.bus.read(COM1, 1) == ord("a")

    def test_its_guest_reads_all_ones_as_long_as_it_fails(self, rig: Rig) -> None:
        device = rig.broken(COM3)
        assert rig.bus.read(COM3, 4) == 0xFFFFFFFF
        device.broken = False
        assert rig.bus.read(COM3, 2) == 0x4242

    def test_a_device_in_its_place_is_reported_by_itself(self, rig: Rig) -> None:
        rig.broken(COM3)
        rig.bus.read(COM3, 1)
        rig.bus.slots[0].plug(Broken())
        rig.bus.read(COM3, 1)
        assert len(rig.failures) == 2


class Logger(Device):
    """Notes every access, and drives its outputs as its first register says."""

    sizes: ClassVar = (2, 1)
    outputs: ClassVar = 2

    def __init__(self, log: list[tuple[int, int, int | None]], name: int, *irq: Callable[[bool], object]) -> None:
        self._log, self._name, self._irq = log, name, irq
        self.held_outputs = 0

    def read(self, register: int) -> int:
        self._log.append((self._name, register, None))
        return 0x10 * self._name + register

    def write(self, register: int, value: int) -> None:
        self._log.append((self._name, register, value))
        if register == 0:
            self.held_outputs = value & 3
            for output, irq in enumerate(self._irq):
                irq(bool(value >> output & 1))

    def reset(self) -> None:
        self.held_outputs = 0


#: Ports in a small part of the world, so that accesses meet devices.
ports = st.integers(0x60, 0x7F)
places = st.tuples(ports, ports, st.integers(1, 3), st.integers(1, 3))
accesses = st.tuples(ports, st.sampled_from((1, 2, 4)), st.one_of(st.none(), st.integers(0, 0xFFFFFFFF)))


@given(st.lists(places, max_size=6), st.lists(accesses, max_size=20))
def test_a_bus_does_what_a_naive_model_does(
    places: list[tuple[int, int, int, int]], accesses: list[tuple[int, int, int | None]]
) -> None:
    """The model: a dictionary of all ports, and for each line the outputs that hold it, looked for each time."""
    rig, log = Rig(), list[tuple[int, int, int | None]]()
    by_port: dict[int, tuple[int, int]] = {}
    loggers: list[tuple[tuple[int, int], Logger]] = []
    for first, second, one, other in places:
        mine = [first, first + 1, second]
        fits = len(set(mine)) == 3 and not any(port in by_port for port in mine)
        try:
            slot = rig.bus.add(Resources.of(Logger, ports=(first, second), lines=(one, other)))
        except ValueError:
            assert not fits
            continue
        assert fits
        name = len(loggers)
        loggers.append(((one, other), Logger(log, name, *slot.outputs)))
        slot.plug(loggers[-1][1])
        by_port |= {port: (name, register) for register, port in enumerate(mine)}

    levels = dict.fromkeys(range(4), False)
    for port, size, value in accesses:
        log.clear()
        rig.said.clear()
        expected = list[tuple[int, int, int | None]]()
        result = 0
        for i in range(size):
            reached = by_port.get(port + i)
            result |= (0xFF if reached is None else 0x10 * reached[0] + reached[1]) << 8 * i
            if reached is not None:
                expected.append((*reached, None if value is None else value >> 8 * i & 0xFF))
        if value is None:
            assert rig.bus.read(port, size) == result
        else:
            rig.bus.write(port, size, value)
        assert log == expected
        for line, level in rig.said:
            assert level is not levels[line], "a line is said that has not changed"
            levels[line] = level
        for line in levels:
            held = any(
                logger.held_outputs >> output & 1
                for lines, logger in loggers
                for output in range(2)
                if lines[output] == line
            )
            assert rig.bus.level(line) is levels[line] is held
