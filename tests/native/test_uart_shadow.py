"""What the native half knows of a guest's UART (uart_shadow.c), handed over to the server's own UART."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from devices.uart16550 import Iir, Reg, Uart16550

THRI = 0x02
REPLAY_MAX = 10  # OOB_REPLAY_MAX of uart_shadow.h


class Write(ctypes.Structure):
    """`struct oob_uart_write`."""

    _fields_ = (("reg", ctypes.c_uint8), ("value", ctypes.c_uint8))


@pytest.fixture(scope="module")
def shadow(library: Path) -> ctypes.CDLL:
    """uart_shadow.c, in the library of all of native/core."""
    return ctypes.CDLL(str(library))


def replay(shadow: ctypes.CDLL, known: ctypes.Array[ctypes.c_char], uart: Uart16550) -> None:
    writes = (Write * REPLAY_MAX)()
    for write in writes[: shadow.oob_uart_replay(known, writes)]:
        uart.write(write.reg, write.value)


def test_an_interrupt_of_an_empty_thr_is_due_at_the_server_as_the_guest_was_promised(shadow: ctypes.CDLL) -> None:
    """The server has served the one before; the guest has asked for another while the server was late."""
    known = ctypes.create_string_buffer(4096)  # a `struct oob_uart`, and more
    shadow.oob_uart_init(known)
    uart = Uart16550(transmit=lambda _: None, irq=lambda _: None, clock=lambda: 0)
    for value in (THRI, 0, THRI):
        shadow.oob_uart_observe(known, Reg.IER, value)
    replay(shadow, known, uart)
    assert uart.read(Reg.IIR) == Iir.THRI
    assert uart.read(Reg.IIR) == Iir.NONE
    replay(shadow, known, uart)
    assert uart.read(Reg.IIR) == Iir.THRI
    assert shadow.oob_uart_idle_read(known, Reg.IIR) == Iir.THRI
    replay(shadow, known, uart)
    assert uart.read(Reg.IIR) == Iir.NONE
