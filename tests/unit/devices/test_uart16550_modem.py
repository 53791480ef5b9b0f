"""What a 16550A drives and sees besides bytes, by its datasheet: modem lines, breaks and the line's format."""

from __future__ import annotations

import pytest

from oobconsole.devices.uart16550 import Iir, Lcr, LineEvent, Mcr, Msr, Reg
from tests.unit.devices.bench import Bench


@pytest.mark.parametrize(
    ("mcr", "msr"), [(Mcr.RTS, Msr.CTS), (Mcr.DTR, Msr.DSR), (Mcr.OUT1, Msr.RI), (Mcr.OUT2, Msr.DCD)]
)
def test_loopback_of_modem_lines(bench: Bench, mcr: Mcr, msr: Msr) -> None:
    bench.uart.set_modem_lines(cts=False, dsr=False, ri=False, dcd=False)
    bench.program((Reg.MCR, Mcr.LOOP))
    bench.uart.read(Reg.MSR)
    bench.program((Reg.MCR, Mcr.LOOP | mcr))
    rising = 0 if msr == Msr.RI else msr >> 4
    assert bench.uart.read(Reg.MSR) == msr | rising
    bench.program((Reg.MCR, Mcr.LOOP))
    assert bench.uart.read(Reg.MSR) == msr >> 4


def test_modem_interrupts_work_in_loopback(live: Bench) -> None:
    """Section 8.6: their sources are then the four bits of MCR, and no longer the pins."""
    live.program((Reg.MCR, Mcr.OUT2 | Mcr.LOOP))
    live.uart.read(Reg.MSR)
    live.uart.set_modem_lines(cts=False, dsr=False, ri=True, dcd=False)
    assert live.iir() == Iir.NONE
    live.program((Reg.MCR, Mcr.OUT2 | Mcr.LOOP | Mcr.RTS))
    assert live.iir() == Iir.MSI
    assert live.uart.read(Reg.MSR) == Msr.CTS | Msr.DCD | Msr.DCTS
    assert live.levels[-1] is False


def test_the_line_is_idle_in_loopback(bench: Bench) -> None:
    bench.program((Reg.MCR, Mcr.DTR | Mcr.RTS), (Reg.LCR, Lcr.BREAK))
    assert bench.uart.modem_control == Mcr.DTR | Mcr.RTS
    bench.program((Reg.MCR, Mcr.DTR | Mcr.RTS | Mcr.LOOP))
    assert bench.uart.modem_control == 0
    bench.program((Reg.LCR, 0), (Reg.MCR, Mcr.LOOP), (Reg.MCR, 0))
    modem, on, off = LineEvent.MODEM, LineEvent.BREAK_ON, LineEvent.BREAK_OFF
    assert bench.events == [modem, on, off, modem]


def test_modem_deltas(live: Bench) -> None:
    live.uart.set_modem_lines(cts=False, dsr=False, ri=True, dcd=False)
    assert live.uart.read(Reg.MSR) == Msr.RI | Msr.DCTS | Msr.DDSR | Msr.DDCD, "RI counts when it ends"
    live.uart.set_modem_lines(cts=False, dsr=False, ri=False, dcd=False)
    assert live.iir() == Iir.MSI
    assert live.uart.read(Reg.MSR) == Msr.TERI
    assert live.uart.read(Reg.MSR) == 0


def test_the_guest_sends_a_break(bench: Bench) -> None:
    bench.program((Reg.LCR, Lcr.BREAK), (Reg.LCR, Lcr.BREAK), (Reg.LCR, 0))
    assert bench.events == [LineEvent.BREAK_ON, LineEvent.BREAK_OFF]


def test_a_changed_format_is_told_once(bench: Bench) -> None:
    bench.program((Reg.LCR, Lcr.DLAB), (Reg.DLL, 1), (Reg.DLL, 1), (Reg.LCR, 3), (Reg.LCR, 3))
    assert bench.events == [LineEvent.FORMAT, LineEvent.FORMAT]
    assert bench.uart.baud == 115_200
