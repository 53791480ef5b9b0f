"""The numbers of `native/include/oob_wire.h`: limits, frame types, capabilities, modes, reasons and counters."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

from oobconsole.config.places import RANGES_MAX as RANGES_MAX

MAGIC: Final = 0x31424F4F
VERSION: Final = 2
FRAME_MAX: Final = 4096
POSTED_MAX: Final = 2048
CONTEXTS_MAX: Final = 256
STATS_MAX: Final = 80
#: How many registers one image has.
REGISTERS: Final = 8
IMAGES_MAX: Final = 17


class FrameType(IntEnum):
    """What a frame is: `enum oob_type`. A native half sends 0x01 to 0x7f, and the server 0x81 to 0xff."""

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
    """What a native half can do, and what both sides have agreed on: `enum oob_capability`."""

    IRQ_LEVEL = 1
    IRQ_PULSE = 2
    ATTENTION = 4
    PUBLISH = 8


class IrqMode(IntEnum):
    """What an IRQ frame does to the interrupt line: `enum oob_irq_mode`."""

    LOW = 0
    HIGH = 1
    PULSE = 2


class GoneReason(IntEnum):
    """Why a context is gone: `enum oob_gone_reason`."""

    REPLACED = 1
    RESET = 2
    EVICTED = 3
    DESTROYED = 5

    @property
    def words(self) -> str:
        """The reason in words, for the people who are attached ("the guest is gone: ...") and for the log."""
        return _GONE_WORDS[self]


_GONE_WORDS: Final = {
    GoneReason.REPLACED: "replaced",
    GoneReason.RESET: "reset",
    GoneReason.EVICTED: "evicted",
    GoneReason.DESTROYED: "destroyed",
}

#: The names of the counters of `enum oob_stat`, in its order.
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
#: Behind these counters stand others: how many accesses were answered within which time, in quarters of an octave
#: from 1 us on.
LATENCY_BUCKETS: Final = 64
#: The greatest value of an access, by its size in bytes.
VALUE_MAX: Final = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFFFFFF}
