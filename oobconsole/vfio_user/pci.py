"""The PCI side of the device: which card it pretends to be, and its configuration space (PCI 3.0, chapter 6).

Linux's 8250_pci claims these cards without a word on its command line:

| BAR | ports | card | why |
| --- | --- | --- | --- |
| I/O | 1, 2, 4 | QEMU's own 1b36:0002, 0003, 0004 | class 16550 with one I/O BAR, 8 bytes for each port |
| memory | 1 | NetMos 9901 (9710:9901, subsystem a000:1000) | takes BAR 0 whatever its type is |
| memory | 2, 4 | Oxford OX16PCI952 as SIIG has it (1415:950a, 131f:2030), OX16PCI954 (1415:9501) | the same |
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import Final, NamedTuple

CONFIG_SIZE: Final = 256
PORT_SIZE: Final = 8
#: The smallest memory BAR that is a page of its own, and that QEMU posts writes to.
MEMORY_BAR_SIZE: Final = 4096

_COMMAND: Final = 0x04
_BAR0: Final = 0x10
_INTERRUPT_LINE: Final = 0x3C
#: Command register (6.2.2): I/O and memory space, bus master, parity, SERR; interrupt disable.
_COMMAND_WRITABLE: Final = 0x0547
_INTX_DISABLE: Final = 0x0400
_IO_BAR: Final = 0x01
#: Serial controller, 16550-compatible (appendix D).
_CLASS: Final = bytes((0x02, 0x00, 0x07))
_HEADER: Final = Struct("<HHHHB3s4xI20xIHH12xBB2x")


class Ids(NamedTuple):
    """The PCI ids by which a driver recognises a card."""

    vendor: int
    device: int
    subsystem_vendor: int
    subsystem: int


class Card(NamedTuple):
    """A serial card that really exists, and that ours pretends to be.

    Attributes:
        ids: its PCI ids.
        ports: how many UARTs it has. They lie at multiples of 8 in BAR 0.
        memory: whether BAR 0 is memory; otherwise it is I/O.
    """

    ids: Ids
    ports: int
    memory: bool

    @property
    def bar_size(self) -> int:
        """The size of BAR 0, in bytes."""
        return MEMORY_BAR_SIZE if self.memory else PORT_SIZE * self.ports


_REDHAT: Final = 0x1B36
_QEMU: Final = (0x1AF4, 0x1100)
CARDS: Final[Mapping[tuple[str, int], Card]] = {
    ("io", 1): Card(Ids(_REDHAT, 0x0002, *_QEMU), 1, memory=False),
    ("io", 2): Card(Ids(_REDHAT, 0x0003, *_QEMU), 2, memory=False),
    ("io", 4): Card(Ids(_REDHAT, 0x0004, *_QEMU), 4, memory=False),
    ("memory", 1): Card(Ids(0x9710, 0x9901, 0xA000, 0x1000), 1, memory=True),
    ("memory", 2): Card(Ids(0x1415, 0x950A, 0x131F, 0x2030), 2, memory=True),
    ("memory", 4): Card(Ids(0x1415, 0x9501, 0, 0), 4, memory=True),
}


class ConfigSpace:
    """The 256 bytes of the configuration space. A guest can change the command, BAR 0 and the interrupt line."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self._writable = bytearray(CONFIG_SIZE)
        self._writable[_COMMAND : _COMMAND + 2] = _COMMAND_WRITABLE.to_bytes(2, "little")
        self._writable[_BAR0 : _BAR0 + 4] = (0x1_0000_0000 - card.bar_size).to_bytes(4, "little")
        self._writable[_INTERRUPT_LINE] = 0xFF
        self.reset()

    def reset(self) -> None:
        """Set all bytes to their values after power-on."""
        vendor, device, subsystem_vendor, subsystem = self._card.ids
        bar = 0 if self._card.memory else _IO_BAR
        header = _HEADER.pack(vendor, device, 0, 0, 1, _CLASS, bar, 0, subsystem_vendor, subsystem, 0, 1)
        self._bytes = bytearray(header.ljust(CONFIG_SIZE, b"\0"))

    def read(self, offset: int, count: int) -> bytes:
        """Return `count` bytes from `offset` on."""
        return bytes(self._bytes[offset : offset + count])

    def write(self, offset: int, data: bytes) -> None:
        """Write bytes. Bits that cannot be changed stay as they are; a driver learns the size of a BAR from these
        bits (6.2.5.1)."""
        for at, value in enumerate(data, offset):
            mask = self._writable[at]
            self._bytes[at] = self._bytes[at] & ~mask | value & mask

    @property
    def intx_disabled(self) -> bool:
        """Whether the guest has switched the interrupt pin off."""
        return bool(int.from_bytes(self._bytes[_COMMAND : _COMMAND + 2], "little") & _INTX_DISABLE)
