"""The protocol of a device, and of what a bus gives it: ranges of I/O ports and interrupt lines.

A device is a pure, synchronous model of what its guest sees. It knows neither at which ports its guest finds it nor
which interrupts it has: its registers are numbered from 0, and so are its interrupt outputs. A bus (`devices/bus.py`)
knows both. Whatever else a device needs, its constructor takes: a function for each interrupt output, one for what it
sends, a clock. So a device runs in a test, in the server and in a process of its own without a change.

A device inherits from `Device`, says how many ports and interrupt outputs it has, and implements `read`, `write` and
`reset`. The other methods have an answer that is right for a device without time and without anything that can be
told ahead; whoever has either implements them. Methods that save a device's state and restore it will be added here
when something needs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Final, NamedTuple, Protocol

#: A PC has so many I/O ports, and so many ISA interrupts.
PORTS: Final = 0x10000
LINES: Final = 16


class Image(NamedTuple):
    """What the guest will read from the first eight registers of a device.

    Attributes:
        valid: bit n: reading register n yields `values[n]`.
        effects: bit n: ... and reading it has an effect, so that the device is to be told (`Device.served`). Bit 0:
            the guest reads from the next image then.
        values: of the eight registers.
    """

    valid: int
    effects: int
    values: bytes


class Ahead(NamedTuple):
    """What the guest will read, in the order in which it reads register 0.

    Attributes:
        number: of the first image. Each image that there ever was has one more than the image before it.
        images: at least one; the guest reads from the first one now.
    """

    number: int
    images: tuple[Image, ...]


class Device(Protocol):
    """One device, as its guest and its bus see it.

    A method that raises is a bug of the device, whatever the guest did. The bus then gives the guest all ones, as if
    nothing were there, and goes on.

    Attributes:
        sizes: how many consecutive ports each of its ranges has. Its registers are numbered through all ranges, in
            this order: a device with the sizes (1, 1) has register 0 in its first range and 1 in its second.
        outputs: how many interrupt outputs it has.
        posted: registers to which a guest may write without waiting until the device has the byte, because nothing
            that the guest does next can tell.
        widths: how many bytes (1, 2, 4) an access to its registers may have. 1 is always among them: an access of
            another width is taken apart, into bytes in the end. An access of 2 or 4 bytes lies within one range.
        shadow: by which shadow a native half answers most accesses to such a device itself (`kinds` in
            `native/tcg/options.c`). "generic": it has none, and asks.
    """

    sizes: ClassVar[tuple[int, ...]]
    outputs: ClassVar[int]
    posted: ClassVar[tuple[int, ...]] = ()
    widths: ClassVar[tuple[int, ...]] = (1,)
    shadow: ClassVar[str] = "generic"

    # -- what the guest does ------------------------------------------------------------------------

    def read(self, register: int) -> int:
        """Return the byte that the guest reads from a register, with all that reading it does."""

    def write(self, register: int, value: int) -> None:
        """Serve the guest's write of a byte (0-255) to a register."""

    def read_wide(self, register: int, size: int) -> int:
        """Return what the guest reads in an access of 2 or 4 bytes, if that is one of `widths`."""
        return sum(self.read(register + n) << 8 * n for n in range(size))

    def write_wide(self, register: int, size: int, value: int) -> None:
        """Serve the guest's write of 2 or 4 bytes, if that is one of `widths`."""
        for n in range(size):
            self.write(register + n, value >> 8 * n & 0xFF)

    def write_block(self, register: int, data: bytes) -> None:
        """Serve one `write` for every byte of `data`, in order. A device that can do it in one go says so here."""
        for value in data:
            self.write(register, value)

    def reset(self) -> None:
        """Be as after power-on; what is connected to the device stays connected."""

    # -- what may be answered ahead, by a native half that does not ask ------------------------------

    def ahead(self) -> Ahead | None:
        """Return what the guest will read from the first eight registers, as long as nothing but its own reading
        happens; None when a native half is to ask for every reading. It is called often.

        The registers are those of all ranges. A native half answers register 0 and its effects from the images; of
        the ranges behind the first it answers only what may be read without an effect, from the first image."""
        return None

    def served(self, register: int, value: int, number: int) -> None:
        """The guest has read `value` from the register, elsewhere, as an image of `ahead` had it: apply what reading
        it does. It reads from the image of that number next (modulo 2**32), so it has read register 0 of all images
        before. It may be told more than once, and of numbers that the device never gave."""
        return

    # -- time ---------------------------------------------------------------------------------------

    def next_deadline(self) -> int | None:
        """Return when `poll` has something to do, in ns of the device's clock; None for never."""
        return None

    def poll(self) -> None:
        """Do what is due by the device's clock, such as raising a timeout. To be called at `next_deadline`."""
        return


@dataclass(frozen=True, slots=True)
class Resources:
    """Where a guest finds a device.

    Attributes:
        ranges: I/O ports, one range for each of the device's `sizes`.
        lines: ISA interrupts (0-15), one for each of its `outputs`.

    Raises:
        ValueError: a port or an interrupt that no PC has, or two ranges that share a port; with a sentence.
    """

    ranges: tuple[range, ...]
    lines: tuple[int, ...]

    def __post_init__(self) -> None:
        for ports in self.ranges:
            if not ports or ports.step != 1 or ports.start < 0 or ports.stop > PORTS:
                raise ValueError(f"{_words(ports)} are no I/O ports: there are 0x0 to {PORTS - 1:#x}")
        for line in self.lines:
            if not 0 <= line < LINES:
                raise ValueError(f"{line} is no ISA interrupt: there are 0 to {LINES - 1}")
        for one, other in combinations(self.ranges, 2):
            if shared(one, other):
                raise ValueError(f"{_words(one)} and {_words(other)} have ports in common")

    @classmethod
    def of(cls, device: type[Device], ports: Sequence[int], lines: Sequence[int]) -> Resources:
        """Where a device of that kind is, by the first port of each of its ranges and by its interrupts. Raises
        `ValueError`, also when the device has more or fewer of either."""
        if len(ports) != len(device.sizes) or len(lines) != device.outputs:
            raise ValueError(
                f"a {device.__name__} has {len(device.sizes)} ranges of ports and {device.outputs} interrupts, "
                f"not {len(ports)} and {len(lines)}"
            )
        ranges = (range(first, first + size) for first, size in zip(ports, device.sizes, strict=True))
        return cls(tuple(ranges), tuple(lines))


def shared(one: range, other: range) -> range:
    """The ports that two ranges have in common."""
    return range(max(one.start, other.start), min(one.stop, other.stop))


def _words(ports: range) -> str:
    return f"{ports.start:#x}-{ports.stop - 1:#x}"
