"""The 16550A by its datasheet: what QEMU's model lacks, or does not show."""

from __future__ import annotations

import pytest

from oobconsole.devices.uart16550 import Fcr, Ier, Iir, Lcr, Lsr, Mcr, Reg
from tests.unit.devices.bench import Bench


def test_reset_values(bench: Bench) -> None:
    assert [bench.uart.read(r) for r in range(8)] == [0, 0, Iir.NONE, 0, 0, Lsr.THRE | Lsr.TEMT, 0xB0, 0]


def test_dlab_lays_the_divisor_over_the_first_two_registers(bench: Bench) -> None:
    bench.program((Reg.IER, 0x05), (Reg.LCR, Lcr.DLAB | 3), (Reg.DLL, 0x34), (Reg.DLM, 0x12))
    assert (bench.uart.read(Reg.DLL), bench.uart.read(Reg.DLM)) == (0x34, 0x12)
    bench.program((Reg.LCR, 3))
    assert bench.uart.read(Reg.IER) == 0x05
    assert bench.uart.baud == 115200 / 0x1234
    assert not bench.sent


@pytest.mark.parametrize("value", [0, 0x5A, 0xFF])
def test_scratch_keeps_a_byte(bench: Bench, value: int) -> None:
    bench.program((Reg.SCR, value))
    assert bench.uart.read(Reg.SCR) == value


def test_bytes_leave_at_once_and_thre_stays(live: Bench) -> None:
    live.program((Reg.THR, 0x41))
    assert live.sent == b"A"
    assert live.uart.read(Reg.LSR) & (Lsr.THRE | Lsr.TEMT) == Lsr.THRE | Lsr.TEMT
    assert live.levels[-1] is True
    assert live.iir() == Iir.THRI
    assert live.levels[-1] is False


@pytest.mark.parametrize("block", [False, True])
def test_loading_thr_ends_its_interrupt_before_it_comes_back(live: Bench, block: bool) -> None:
    """Writing THR is the other way to serve the interrupt (table 4); an 8259 in edge mode needs the edge."""
    live.program((Reg.THR, 0x41))
    live.levels.clear()
    if block:
        live.uart.write_block(Reg.THR, b"BC")
    else:
        live.program((Reg.THR, 0x42))
    assert live.levels == [False, True]


def test_enabling_thri_asks_at_once_and_disabling_forgets(bench: Bench) -> None:
    bench.program((Reg.MCR, Mcr.OUT2), (Reg.IER, Ier.THRI))
    assert bench.levels == [True]
    bench.program((Reg.IER, 0))
    assert bench.levels == [True, False]
    bench.program((Reg.IER, Ier.THRI))
    assert bench.iir() == Iir.THRI
    assert bench.iir() == Iir.NONE


def test_masking_around_a_printk_loses_no_input_interrupt(live: Bench) -> None:
    """Linux saves IER, writes 0, prints, restores: input that came meanwhile must still interrupt."""
    live.program((Reg.IER, 0))
    live.uart.feed(b"x")
    live.now += 10**9
    live.uart.poll()
    assert live.levels[-1] is False
    live.program((Reg.IER, Ier.RDI))
    assert live.levels[-1] is True


def test_thre_that_was_served_elsewhere_ends_and_nothing_else_does(live: Bench) -> None:
    live.program((Reg.IER, Ier.RDI | Ier.THRI), (Reg.THR, ord("a")))
    live.uart.served(Reg.IIR, Iir.THRI, 0)
    assert live.levels[-1] is False
    assert live.iir() == Iir.NONE
    live.program((Reg.THR, ord("b")))
    live.uart.feed(b"x")
    live.uart.served(Reg.IIR, Iir.THRI, 0)
    assert live.levels[-1] is True
    assert live.iir() == Iir.RDI


def test_out2_gates_the_line_but_not_iir(bench: Bench) -> None:
    bench.program((Reg.IER, Ier.RDI))
    bench.uart.feed(b"x")
    assert bench.levels == []
    assert bench.iir() == Iir.RDI
    bench.program((Reg.MCR, Mcr.OUT2))
    assert bench.levels == [True]


def test_priorities(live: Bench) -> None:
    live.program((Reg.THR, 0))
    live.uart.set_modem_lines(cts=False, dsr=True, ri=False, dcd=True)
    live.uart.receive_break()
    live.uart.feed(b"x")
    assert live.iir() == Iir.RLSI
    live.uart.read(Reg.LSR)
    assert live.iir() == Iir.RDI
    live.uart.read(Reg.RBR)
    live.uart.read(Reg.RBR)
    assert live.iir() == Iir.THRI
    assert live.iir() == Iir.MSI
    live.uart.read(Reg.MSR)
    assert live.iir() == Iir.NONE


def test_reserved_bits_read_as_zero(bench: Bench) -> None:
    bench.program((Reg.IER, 0xFF), (Reg.MCR, 0xFF))
    assert (bench.uart.read(Reg.IER), bench.uart.read(Reg.MCR)) == (0x0F, 0x1F)


def test_iir_says_that_fifos_are_on(bench: Bench) -> None:
    bench.program((Reg.FCR, Fcr.ENABLE))
    assert bench.uart.read(Reg.IIR) == 0xC0 | Iir.NONE


def test_only_enabling_thri_asks_again(bench: Bench) -> None:
    bench.program((Reg.IER, Ier.THRI))
    assert bench.iir() == Iir.THRI
    bench.program((Reg.IER, Ier.THRI | Ier.RDI))
    assert bench.iir() == Iir.NONE


def test_an_emptied_transmit_fifo_asks(live: Bench) -> None:
    live.program((Reg.FCR, Fcr.ENABLE | Fcr.RESET_TX))
    assert live.iir() == Iir.THRI


def test_interrupts_work_in_loopback(live: Bench) -> None:
    live.program((Reg.MCR, Mcr.OUT2 | Mcr.LOOP), (Reg.IER, Ier.RDI), (Reg.THR, 0x41))
    assert live.iir() == Iir.RDI
    assert live.levels[-1] is True


def test_reset_empties_everything(live: Bench) -> None:
    live.uart.feed(b"x")
    live.uart.reset()
    assert live.levels[-1] is False
    assert [live.uart.read(r) for r in range(8)] == [0, 0, Iir.NONE, 0, 0, Lsr.THRE | Lsr.TEMT, 0xB0, 0]
