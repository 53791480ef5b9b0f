"""Devices for tests of what devices are plugged into."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import ClassVar, Final

from oobconsole.devices.device import Ahead, Device, Image, Resources

#: Where a PC has its keyboard controller.
KEYBOARD: Final = Resources((range(0x60, 0x61), range(0x64, 0x65)), (1, 12))


class Keyboard(Device):
    """A keyboard controller, as far as a bus can tell it from an i8042: two ranges of one port, two interrupts.

    Register 0 yields what was typed and what the mouse sent, in order; register 1 says in bit 0 whether there is any,
    and in bit 5 whether it is the mouse's. Output 0 is the keyboard's interrupt, output 1 the mouse's.

    Args:
        keys, mouse: the interrupt outputs.

    Attributes:
        written: what the guest wrote, by register.
    """

    sizes: ClassVar = (1, 1)
    outputs: ClassVar = 2

    def __init__(self, keys: Callable[[bool], object], mouse: Callable[[bool], object]) -> None:
        self._irq = (keys, mouse)
        self._waiting: deque[tuple[int, int]] = deque()  # output and byte
        self._taken = 0  # bytes that were read
        self.written: list[tuple[int, int]] = []

    def read(self, register: int) -> int:
        if register == 1:
            return (0x01 | self._waiting[0][0] << 5) if self._waiting else 0
        if not self._waiting:
            return 0
        self._taken += 1
        _, value = self._waiting.popleft()
        self._drive()
        return value

    def write(self, register: int, value: int) -> None:
        self.written.append((register, value))

    def reset(self) -> None:
        self._waiting.clear()
        self._drive()

    def ahead(self) -> Ahead:
        return Ahead(self._taken, tuple(self._image(index) for index in range(len(self._waiting) + 1)))

    def _image(self, index: int) -> Image:
        """The registers when so many bytes of those that wait have been read."""
        if index == len(self._waiting):
            return Image(0b11, 0, bytes(8))
        output, byte = self._waiting[index]
        return Image(0b11, 0b01, bytes((byte, 0x01 | output << 5, *[0] * 6)))

    def served(self, register: int, value: int, number: int) -> None:
        for _ in range(min(number - self._taken, len(self._waiting))):
            self.read(0)

    def press(self, byte: int) -> None:
        """A key."""
        self._waiting.append((0, byte))
        self._drive()

    def move(self, byte: int) -> None:
        """The mouse."""
        self._waiting.append((1, byte))
        self._drive()

    def _drive(self) -> None:
        first = self._waiting[0][0] if self._waiting else None
        for output, irq in enumerate(self._irq):
            irq(first == output)


class Broken(Device):
    """A device with a bug: whatever it is asked raises `ZeroDivisionError`, as long as it is `broken`."""

    sizes: ClassVar = (8,)
    outputs: ClassVar = 1

    def __init__(self) -> None:
        self.broken = True

    def read(self, register: int) -> int:
        return self._fail()

    def write(self, register: int, value: int) -> None:
        self._fail()

    def reset(self) -> None:
        self._fail()

    def ahead(self) -> Ahead | None:
        return Ahead(self._fail(), ())

    def served(self, register: int, value: int, number: int) -> None:
        self._fail()

    def next_deadline(self) -> int | None:
        return self._fail()

    def poll(self) -> None:
        self._fail()

    def _fail(self) -> int:
        if self.broken:
            raise ZeroDivisionError("a bug of the device")
        return 0x42
