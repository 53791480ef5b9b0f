"""The native half's shadow of a 16550 (`native/core/uart.c`, `uart_shadow.c`, `uart_ahead.c`), under a test's hands
(`shadow.c`)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Final, Self

from oobconsole.interceptors import wire

REPLAY_MAX: Final = 10  # OOB_REPLAY_MAX of device.h


class Told(IntEnum):
    """`enum oob_told` of device.h: what the shadow knows of a register that the guest reads."""

    UNKNOWN = 0
    PLAIN = 1
    EFFECT = 2
    LATER = 3


class Look(IntEnum):
    """`enum oob_look` of device.h: what a read tells of the interrupt's handler."""

    NONE = 0
    MORE = 1
    DONE = 2


class _Write(ctypes.Structure):
    """`struct oob_write` of device.h."""

    _fields_ = (("reg", ctypes.c_uint8), ("value", ctypes.c_uint8))


class Shadow:
    """One shadow, as after power-on, with what the server has published of its registers.

    Args:
        library: all of native/core, as `tests.native.half.build` makes it.

    Attributes:
        accesses: how many accesses the guest's context has sent.
    """

    def __init__(self, library: Path) -> None:
        self._lib = ctypes.CDLL(str(library))
        for name in ("size", "replay", "around_output", "reads"):
            getattr(self._lib, f"shadow_{name}").restype = ctypes.c_size_t
        for name in ("write", "awaits", "publish"):
            getattr(self._lib, f"shadow_{name}").restype = ctypes.c_bool
        self._lib.shadow_idle_read.restype = ctypes.c_uint8
        self._lib.shadow_number.restype = ctypes.c_uint32
        self._state = ctypes.create_string_buffer(self._lib.shadow_size())
        self._lib.shadow_begin(self._state)
        self.accesses = 0

    def restart(self) -> None:
        """The guest was reset."""
        self._lib.shadow_restart(self._state)

    def recall(self, remembered: Self) -> None:
        """Its registers are those of another."""
        self._lib.shadow_recall(self._state, remembered._state)

    def write(self, register: int, value: int) -> bool:
        """The guest writes, and the server is told. True: that is a byte of output."""
        awaited = ctypes.c_bool(self._lib.shadow_awaits(self._state, register))
        output = bool(self._lib.shadow_write(self._state, register, value))
        self.accesses += 1
        self._lib.shadow_written(self._state, register, awaited, ctypes.c_bool(True), ctypes.c_uint32(self.accesses))
        return output

    def read(self, register: int) -> tuple[Told, int]:
        """The guest reads."""
        answer = int(self._lib.shadow_read(self._state, register))
        return Told(answer & 0xFF), answer >> 8

    def idle_read(self, register: int) -> int:
        """The guest reads what the shadow does not know, and there is no server."""
        return int(self._lib.shadow_idle_read(self._state, register))

    def saw(self, register: int, value: int, *, asked: bool = False) -> Look:
        """The guest reads `value`, which the server gave, if it was asked."""
        return Look(int(self._lib.shadow_saw(self._state, register, value, ctypes.c_bool(asked))))

    def was_told(self, register: int) -> None:
        """The server was told of a read."""
        self.accesses += 1
        self._lib.shadow_was_told(self._state, register, ctypes.c_uint32(self.accesses))

    @property
    def owes(self) -> int | None:
        """The register of whose reading the server is still to be told; it is told then."""
        register = int(self._lib.shadow_owes(self._state))
        return None if register < 0 else register

    @property
    def number(self) -> int:
        """The number of the image that the guest reads from next."""
        return int(self._lib.shadow_number(self._state))

    def level(self, *, alone: bool = False) -> int:
        """The level of its interrupt line; -1: only the server knows."""
        return int(self._lib.shadow_level(self._state, ctypes.c_bool(alone)))

    def publish(self, number: int, images: Sequence[tuple[int, int, bytes]], *, accesses: int | None = None) -> bool:
        """The server publishes. True: it says that there is input."""
        served = self.accesses if accesses is None else accesses
        frame = wire.encode_publish(1, served & 0xFFFFFFFF, 0x3F8, number & 0xFFFFFFFF, list(images))
        return bool(self._lib.shadow_publish(self._state, frame + bytes(256)))

    def outdate(self) -> None:
        """Whatever was published so far is out of date."""
        self._lib.shadow_outdate(self._state, ctypes.c_uint32(self.accesses))

    def replay(self) -> list[tuple[int, int]]:
        """The writes that bring a new UART to the guest's registers."""
        return self._list(self._lib.shadow_replay)

    def around_output(self, *, behind: bool) -> list[tuple[int, int]]:
        """The writes before output that is sent late, or behind it."""
        writes = (_Write * REPLAY_MAX)()
        count = self._lib.shadow_around_output(self._state, ctypes.c_bool(behind), writes)
        return [(w.reg, w.value) for w in writes[:count]]

    def reads(self) -> list[tuple[int, int]]:
        """What the guest has read, which a server that was away is told."""
        return self._list(self._lib.shadow_reads)

    def _list(self, function: Callable[..., int]) -> list[tuple[int, int]]:
        found = (_Write * REPLAY_MAX)()
        return [(w.reg, w.value) for w in found[: function(self._state, found)]]
