"""What the native half knows of a guest's UART (away.c), handed over to the server's own UART."""

from __future__ import annotations

import ctypes
import subprocess

import pytest

from devices.uart16550 import Iir, Reg, Uart16550
from tests.stack.nested import ROOT

THRI = 0x02
REPLAY_MAX = 10  # OOB_REPLAY_MAX of away.h


class Write(ctypes.Structure):
    """`struct oob_uart_write`."""

    _fields_ = (("reg", ctypes.c_uint8), ("value", ctypes.c_uint8))


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """away.c alone, as a library."""
    library = tmp_path_factory.mktemp("away") / "away.so"
    native = ROOT / "native"
    command = ["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", f"-I{native / 'include'}", "-o", str(library)]
    done = subprocess.run([*command, str(native / "tcg" / "away.c")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(library))


def replay(away: ctypes.CDLL, known: ctypes.Array[ctypes.c_char], uart: Uart16550) -> None:
    writes = (Write * REPLAY_MAX)()
    for write in writes[: away.oob_uart_replay(known, writes)]:
        uart.write(write.reg, write.value)


def test_an_interrupt_of_an_empty_thr_is_due_at_the_server_as_the_guest_was_promised(away: ctypes.CDLL) -> None:
    """The server has served the one before; the guest has asked for another while the server was late."""
    known = ctypes.create_string_buffer(4096)  # a `struct oob_uart`, and more
    away.oob_uart_reset(known)
    uart = Uart16550(transmit=lambda _: None, irq=lambda _: None, clock=lambda: 0)
    for value in (THRI, 0, THRI):
        away.oob_uart_observe(known, Reg.IER, value)
    replay(away, known, uart)
    assert uart.read(Reg.IIR) == Iir.THRI
    assert uart.read(Reg.IIR) == Iir.NONE
    replay(away, known, uart)
    assert uart.read(Reg.IIR) == Iir.THRI
    assert away.oob_uart_idle_read(known, Reg.IIR) == Iir.THRI
    replay(away, known, uart)
    assert uart.read(Reg.IIR) == Iir.NONE
