"""A guest's bus: which device an I/O port belongs to, and who holds an interrupt line.

Each device has a slot. A slot has ports and interrupt lines of its own (`Resources`), and the device has registers
and interrupt outputs; they are numbered in the same order. Devices are made with the `outputs` of the slot, and then
plugged into it:

    slot = bus.add(Resources.of(Uart16550, ports=(0x3F8,), lines=(4,)))
    slot.plug(Uart16550(irq=slot.outputs[0], ...))

The bus has eight bits, as ISA has for most devices: a wider access is several accesses, to the lowest port first, and
may reach several devices, or none. A device gets a wider access whole if that is one of its `widths`. Where nothing
is, the guest reads all ones, and what it writes is lost.

An interrupt line is high as long as any output of any device holds it. So two devices on one line are told to the
guest once, and the line falls when the last of them lets go.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from oobconsole.devices.device import Device, Resources, shared

#: What the guest reads, byte by byte, where nothing is.
ABSENT: Final = 0xFF

_T = TypeVar("_T")


class Bus:
    """One guest's bus.

    Args:
        irq: gets the number and the level of an interrupt line, when it has changed.
        failed: gets the slot and the error when a method of a device has raised. It is called once for each device
            that is plugged in, however often that device fails.

    Attributes:
        slots: in the order in which they were added.
    """

    def __init__(
        self, irq: Callable[[int, bool], object], failed: Callable[[Slot, Exception], object] = lambda *_: None
    ) -> None:
        self.slots: list[Slot] = []
        self._irq = irq
        self._failed = failed
        self._registers: dict[int, tuple[Slot, Device, int]] = {}  # by port
        self._lines: dict[int, Line] = {}

    # -- what is on it ------------------------------------------------------------------------------

    def add(self, resources: Resources) -> Slot:
        """Make a slot, into which nothing is plugged yet. Raises `ValueError` where another slot has a port."""
        for slot in self.slots:
            for one in resources.ranges:
                for other in slot.resources.ranges:
                    if both := shared(one, other):
                        raise ValueError(f"port {both.start:#x} belongs to another device already")
        lines = (self._lines.setdefault(number, Line(number, self._irq)) for number in resources.lines)
        slot = Slot(self, resources, tuple(map(Output, lines)))
        self.slots.append(slot)
        return slot

    def remove(self, slot: Slot) -> None:
        """Take a slot away, with the device in it; its interrupt lines are let go."""
        slot.unplug()
        self.slots.remove(slot)

    def at(self, port: int) -> tuple[Slot, int] | None:
        """The slot and the register that a port belongs to; None where nothing is plugged in."""
        found = self._registers.get(port)
        return None if found is None else (found[0], found[2])

    # -- what the guest does ------------------------------------------------------------------------

    def read(self, port: int, size: int) -> int:
        """Return what the guest reads in an access of `size` (1, 2 or 4) bytes."""
        if size > 1:
            if whole := self._whole(port, size):
                slot, device, register = whole
                return self.ask(slot, partial(device.read_wide, register, size), (1 << 8 * size) - 1)
            half = size // 2
            return self.read(port, half) | self.read(port + half, half) << 8 * half
        found = self._registers.get(port)
        if found is None:
            return ABSENT
        slot, device, register = found
        try:
            return device.read(register)
        except Exception as error:
            self.report(slot, error)
            return ABSENT

    def write(self, port: int, size: int, value: int) -> None:
        """Serve the guest's write of `size` (1, 2 or 4) bytes."""
        if size == 1:
            self.write_block(port, bytes((value & 0xFF,)))
        elif whole := self._whole(port, size):
            slot, device, register = whole
            self.ask(slot, partial(device.write_wide, register, size, value), None)
        else:
            half = size // 2
            self.write(port, half, value & (1 << 8 * half) - 1)
            self.write(port + half, half, value >> 8 * half)

    def _whole(self, port: int, size: int) -> tuple[Slot, Device, int] | None:
        """The device that takes a whole access of 2 or 4 bytes at the port, with its slot and the first register."""
        found = self._registers.get(port)
        if found is None or size not in found[1].widths:
            return None
        inside = any(port in ports and port + size <= ports.stop for ports in found[0].resources.ranges)
        return found if inside else None

    def write_block(self, port: int, data: bytes) -> None:
        """Serve one write to the port for every byte of `data`, in order."""
        found = self._registers.get(port)
        if found is not None:
            slot, device, register = found
            try:
                device.write_block(register, data)
            except Exception as error:
                self.report(slot, error)

    def served(self, port: int, value: int, number: int) -> None:
        """The guest has read the port elsewhere (`Device.served`)."""
        found = self._registers.get(port)
        if found is not None:
            slot, device, register = found
            self.ask(slot, partial(device.served, register, value, number), None)

    def ask(self, slot: Slot, question: Callable[[], _T], otherwise: _T) -> _T:
        """Ask something of the slot's device; the answer is `otherwise` when that raises, which is reported."""
        try:
            return question()
        except Exception as error:
            self.report(slot, error)
            return otherwise

    def report(self, slot: Slot, error: Exception) -> None:
        """A method of the slot's device has raised; it is told once."""
        if not slot.failed:
            slot.failed = True
            self._failed(slot, error)

    # -- interrupt lines ----------------------------------------------------------------------------

    @property
    def lines(self) -> list[int]:
        """The interrupt lines that its slots have, lowest first."""
        return sorted({line for slot in self.slots for line in slot.resources.lines})

    def level(self, line: int) -> bool:
        """Return the level of a line: high (True) while at least one device drives it high."""
        found = self._lines.get(line)
        return found is not None and found.level

    # -- time ---------------------------------------------------------------------------------------

    def next_deadline(self) -> int | None:
        """When `poll` has something to do, in ns of the devices' clock; None for never."""
        deadlines = (
            self.ask(slot, slot.device.next_deadline, None) for slot in self.slots if slot.device is not None
        )
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll(self) -> None:
        """Poll every device: each does what is due by its clock."""
        for slot in self.slots:
            if slot.device is not None:
                self.ask(slot, slot.device.poll, None)


class Line:
    """An interrupt line, which any number of outputs may hold.

    Args:
        number: of the ISA interrupt.
        irq: gets that number, and the level.

    Attributes:
        holders: how many outputs hold the line.
    """

    __slots__ = ("_irq", "holders", "number")

    def __init__(self, number: int, irq: Callable[[int, bool], object]) -> None:
        self.number = number
        self.holders = 0
        self._irq = irq

    @property
    def level(self) -> bool:
        """Whether the line is high, which it is while any output drives it high."""
        return self.holders > 0

    def say(self) -> None:
        """Tell the level of the line, whether or not it has changed."""
        self._irq(self.number, self.level)


class Output:
    """An interrupt output of a device, soldered to its line. The device calls it with its level.

    Attributes:
        line: the interrupt line.
        level: what the device said last.
    """

    __slots__ = ("level", "line")

    def __init__(self, line: Line) -> None:
        self.line = line
        self.level = False

    def __call__(self, level: bool) -> None:
        """Hold the line, or let it go. Only the first that holds it and the last that lets it go change it."""
        if level is self.level:
            return
        self.level = level
        self.line.holders += 1 if level else -1
        if self.line.holders == (1 if level else 0):
            self.line.say()


class Slot:
    """A place on the bus for one device. `Bus.add` makes it.

    Attributes:
        resources: the ports and interrupt lines.
        first: the port of register 0.
        outputs: what the device calls with the level of each of its interrupt outputs.
        device: what is plugged in; None: nothing.
        failed: a method of the device has raised, and that was reported.
    """

    def __init__(self, bus: Bus, resources: Resources, outputs: tuple[Output, ...]) -> None:
        self.resources = resources
        self.first = resources.ranges[0].start
        self.outputs = outputs
        self.device: Device | None = None
        self.failed = False
        self._bus = bus

    @property
    def ports(self) -> list[int]:
        """The port of each register of the device."""
        return [port for ports in self.resources.ranges for port in ports]

    def plug(self, device: Device) -> None:
        """Put a device here, in place of the one before it. Raises `ValueError` if it does not fit."""
        here = tuple(len(ports) for ports in self.resources.ranges)
        if here != device.sizes or len(self.outputs) != device.outputs:
            raise ValueError(
                f"a device with ports {device.sizes} and {device.outputs} interrupts does not fit where there are "
                f"ports {here} and {len(self.outputs)} interrupts"
            )
        self.unplug()
        self.device = device
        self.failed = False
        for register, port in enumerate(self.ports):
            self._bus._registers[port] = (self, device, register)

    def unplug(self) -> None:
        """Take the device away: its ports are as if nothing were there, and its interrupt lines are let go."""
        self.device = None
        for port in self.ports:
            self._bus._registers.pop(port, None)
        for output in self.outputs:
            output(False)
