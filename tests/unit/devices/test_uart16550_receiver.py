"""The receiver of a 16550A by its datasheet: FIFO, errors and character timeout."""

from __future__ import annotations

import pytest

from oobconsole.devices.uart16550 import FIFO_SIZE, Fcr, Ier, Iir, Lcr, Lsr, Mcr, Reg
from tests.unit.devices.bench import Bench


@pytest.mark.parametrize(("code", "level"), [(0, 1), (1, 4), (2, 8), (3, 14)])
def test_trigger_levels(bench: Bench, code: int, level: int) -> None:
    bench.program((Reg.FCR, Fcr.ENABLE | code << 6), (Reg.IER, Ier.RDI))
    bench.uart.feed(b"x" * (level - 1))
    assert bench.iir() == Iir.NONE
    bench.uart.feed(b"x")
    assert bench.iir() == Iir.RDI
    bench.uart.read(Reg.RBR)
    assert bench.iir() == Iir.NONE


def test_input_restarts_the_character_timeout(bench: Bench) -> None:
    bench.program((Reg.FCR, Fcr.ENABLE | 0xC0))
    bench.uart.feed(b"a")
    first = bench.uart.next_deadline()
    bench.now = 1000
    bench.uart.feed(b"b")
    assert first is not None
    assert bench.uart.next_deadline() == first + 1000


def test_without_fifos_there_is_no_character_timeout(bench: Bench) -> None:
    bench.uart.feed(b"a")
    assert bench.uart.next_deadline() is None


@pytest.mark.parametrize(
    ("lcr", "bits"),
    [(0x00, 7), (0x03, 10), (0x07, 11), (0x0B, 11), (0x1F, 12)],
    ids=["5N1", "8N1", "8N2", "8O1", "8E2"],
)
def test_the_format_makes_the_length_of_a_character(bench: Bench, lcr: int, bits: int) -> None:
    bench.program((Reg.LCR, Lcr.DLAB), (Reg.DLL, 1), (Reg.DLM, 0), (Reg.LCR, lcr), (Reg.FCR, Fcr.ENABLE | 0xC0))
    bench.uart.feed(b"a")
    assert bench.uart.next_deadline() == 4 * bits * 10**9 // 115_200


def test_a_divisor_of_0_makes_3500_baud(bench: Bench) -> None:
    bench.program((Reg.LCR, Lcr.DLAB | 3), (Reg.DLL, 0), (Reg.LCR, 3), (Reg.FCR, Fcr.ENABLE))
    bench.uart.feed(b"a")
    assert bench.uart.next_deadline() == 4 * 10 * 10**9 // 3500


def test_character_timeout_after_four_characters(bench: Bench) -> None:
    bench.program((Reg.LCR, Lcr.DLAB | 3), (Reg.DLL, 12), (Reg.DLM, 0), (Reg.LCR, 3))
    bench.program((Reg.FCR, Fcr.ENABLE | 0xC0), (Reg.IER, Ier.RDI), (Reg.MCR, Mcr.OUT2))
    bench.uart.feed(b"ab")
    four_characters = 4 * 10 * 10**9 // 9600
    assert bench.uart.next_deadline() == four_characters
    bench.now = four_characters - 1
    bench.uart.poll()
    assert bench.iir() == Iir.NONE
    bench.now += 1
    bench.uart.poll()
    assert bench.iir() == Iir.TIMEOUT
    assert bench.levels == [True]
    bench.uart.read(Reg.RBR)
    assert bench.levels == [True, False]
    assert bench.iir() == Iir.NONE, "reading a character restarts the timer"
    assert bench.uart.next_deadline() == bench.now + four_characters
    bench.uart.read(Reg.RBR)
    assert bench.uart.next_deadline() is None


def test_reading_lsr_ends_its_interrupt(live: Bench) -> None:
    live.uart.receive_break()
    live.program((Reg.IER, Ier.RLSI))
    assert live.levels[-1] is True
    live.uart.read(Reg.LSR)
    assert live.levels[-1] is False


def test_input_never_overruns(live: Bench) -> None:
    assert live.uart.feed(bytes(100)) == FIFO_SIZE
    assert live.uart.room == 0
    assert live.uart.feed(b"more") == 0
    drains = live.drains
    live.uart.read(Reg.RBR)
    assert live.drains == drains + 1
    assert live.uart.room == 1
    assert not live.uart.read(Reg.LSR) & Lsr.OE


def test_without_fifos_there_is_room_for_one(bench: Bench) -> None:
    assert bench.uart.feed(b"ab") == 1
    assert bench.uart.read(Reg.RBR) == ord("a")
    assert bench.uart.feed(b"b") == 1


def test_a_receiver_reset_ends_the_timeout_and_keeps_the_overrun(live: Bench) -> None:
    live.program((Reg.FCR, Fcr.ENABLE | 0xC0), (Reg.MCR, Mcr.OUT2 | Mcr.LOOP), *[(Reg.THR, 0)] * (FIFO_SIZE + 1))
    live.now = 10**9
    live.uart.poll()
    live.program((Reg.FCR, Fcr.ENABLE | Fcr.RESET_RX | 0xC0))
    assert live.uart.next_deadline() is None
    assert live.iir() == Iir.RLSI
    assert live.uart.read(Reg.LSR) == Lsr.OE | Lsr.THRE | Lsr.TEMT
    assert live.iir() not in (Iir.TIMEOUT, Iir.RLSI)
    assert live.iir() == Iir.MSI


def test_fifo_resets(live: Bench) -> None:
    live.uart.feed(b"abc")
    live.program((Reg.FCR, Fcr.ENABLE | Fcr.RESET_RX))
    assert not live.uart.read(Reg.LSR) & Lsr.DR
    assert live.uart.room == FIFO_SIZE
    live.uart.feed(b"abc")
    live.program((Reg.FCR, 0))
    assert not live.uart.read(Reg.LSR) & Lsr.DR, "switching FIFOs off empties them"
    assert live.uart.read(Reg.IIR) & 0xC0 == 0


def test_loopback_of_data_and_overrun(live: Bench) -> None:
    live.program((Reg.MCR, Mcr.OUT2 | Mcr.LOOP))
    for value in range(FIFO_SIZE + 1):
        live.program((Reg.THR, value))
    assert not live.sent
    assert live.uart.feed(b"x") == 0, "the line is cut off"
    assert live.uart.read(Reg.LSR) & Lsr.OE
    assert [live.uart.read(Reg.RBR) for _ in range(FIFO_SIZE)] == list(range(FIFO_SIZE))


def test_leaving_loopback_lets_input_in(live: Bench) -> None:
    live.program((Reg.MCR, Mcr.OUT2 | Mcr.LOOP))
    drains = live.drains
    live.program((Reg.MCR, Mcr.OUT2))
    assert live.drains == drains + 1
    assert live.uart.room == FIFO_SIZE


def test_overrun_without_fifos_keeps_the_newer_character(bench: Bench) -> None:
    bench.program((Reg.MCR, Mcr.LOOP), (Reg.THR, 1), (Reg.THR, 2))
    assert bench.uart.read(Reg.LSR) & Lsr.OE
    assert not bench.uart.read(Reg.LSR) & Lsr.OE, "reading clears it"
    assert bench.uart.read(Reg.RBR) == 2


def test_a_break_is_shown_with_its_character(live: Bench) -> None:
    """Section 8.3: the FIFO keeps errors with the characters; bit 7 says that there are some."""
    live.uart.feed(b"a")
    assert live.uart.receive_break()
    live.uart.feed(b"b")
    assert live.uart.read(Reg.LSR) == Lsr.DR | Lsr.THRE | Lsr.TEMT | Lsr.FIFOE
    assert live.iir() == Iir.RDI
    assert live.uart.read(Reg.RBR) == ord("a")
    assert live.iir() == Iir.RLSI
    assert live.uart.read(Reg.LSR) == Lsr.DR | Lsr.BI | Lsr.THRE | Lsr.TEMT | Lsr.FIFOE
    assert live.uart.read(Reg.LSR) == Lsr.DR | Lsr.THRE | Lsr.TEMT, "reading clears it"
    assert [live.uart.read(Reg.RBR) for _ in "xb"] == [0, ord("b")]


def test_a_break_that_is_read_unseen_is_forgotten(live: Bench) -> None:
    live.uart.receive_break()
    live.uart.read(Reg.RBR)
    assert live.uart.read(Reg.LSR) == Lsr.THRE | Lsr.TEMT


def test_a_break_waits_for_room(bench: Bench) -> None:
    bench.uart.feed(b"a")
    assert not bench.uart.receive_break()
    assert bench.uart.read(Reg.LSR) == Lsr.DR | Lsr.THRE | Lsr.TEMT
    assert bench.uart.read(Reg.RBR) == ord("a")
    assert bench.uart.receive_break()
    assert bench.uart.read(Reg.LSR) == Lsr.DR | Lsr.BI | Lsr.THRE | Lsr.TEMT, "bit 7 is 0 without FIFOs"
