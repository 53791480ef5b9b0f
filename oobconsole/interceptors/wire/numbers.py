"""What `native/include/oob_wire.h` numbers: limits, frame types, capabilities, modes, reasons and counters."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

MAGIC: Final = 0x31424F4F
VERSION: Final = 2
FRAME_MAX: Final = 4096
POSTED_MAX: Final = 2048
CONTEXTS_MAX: Final = 256
STATS_MAX: Final = 80
RANGES_MAX: Final = 8
#: Registers in one image.
REGISTERS: Final = 8
IMAGES_MAX: Final = 17


class FrameType(IntEnum):
    """`enum oob_type`."""

    HELLO = 0x01
    ACCESS = 0x02
    POSTED = 0x03
    CONTEXT_APPEARED = 0x04
    CONTEXT_GONE = 0x05
    GAP = 0x06
    STATS = 0x07
    ANNOUNCED = 0x08
    READ_SERVED = 0x09
    WELCOME = 0x81
    ANSWER = 0x82
    IRQ = 0x83
    ATTENTION = 0x84
    PUBLISH = 0x85
    RESUME = 0x86
    READY = 0x87


class Capability(IntFlag):
    """`enum oob_capability`."""

    IRQ_LEVEL = 1
    IRQ_PULSE = 2
    ATTENTION = 4
    PUBLISH = 8


class IrqMode(IntEnum):
    """`enum oob_irq_mode`."""

    LOW = 0
    HIGH = 1
    PULSE = 2


class GoneReason(IntEnum):
    """Why a context is no more: `enum oob_gone_reason`."""

    REPLACED = 1
    RESET = 2
    EVICTED = 3
    SHUTDOWN = 4
    DESTROYED = 5

    @property
    def words(self) -> str:
        """The reason as it is read: by whoever is attached to the guest's console ("the guest is gone: ..."), and in
        the log."""
        return _GONE_WORDS[self]


_GONE_WORDS: Final = {
    GoneReason.REPLACED: "replaced",
    GoneReason.RESET: "reset",
    GoneReason.EVICTED: "evicted",
    GoneReason.SHUTDOWN: "shutdown",
    GoneReason.DESTROYED: "destroyed",
}

#: `enum oob_stat`, in its order.
STATS: Final = (
    "reads",
    "writes",
    "published",
    "injected",
    "forced",
    "clamped",
    "refused",
    "away",
    "dropped",
    "reconnects",
    "read_ns",
)
#: Counters behind those: accesses by how long their answer took, in quarter octaves from 1 us.
LATENCY_BUCKETS: Final = 64
#: The greatest value of an access, by its size in bytes.
VALUE_MAX: Final = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFFFFFF}
