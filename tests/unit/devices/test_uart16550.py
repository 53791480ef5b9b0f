"""The 16550A by its datasheet: what QEMU's model lacks, or does not show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.devices.uart16550 import FIFO_SIZE, Fcr, Ier, Iir, Lcr, LineEvent, Lsr, Mcr, Msr, Reg, Uart16550


class Bench:
    """A UART with its surroundings."""

    def __init__(self) -> None:
        self.now = 0
        self.sent = bytearray()
        self.levels: list[bool] = []
        self.events: list[LineEvent] = []
        self.drains = 0
        self.uart = Uart16550(
            transmit=self.sent.extend,
            irq=self.levels.append,
            clock=lambda: self.now,
            drained=self._drained,
            line_event=self.events.append,
        )

    def _drained(self) -> None:
        self.drains += 1

    def program(self, *writes: tuple[int, int]) -> None:
        for offset, value in writes:
            self.uart.write(offset, value)

    def iir(self) -> int:
        return self.uart.read(Reg.IIR) & 0x0F


@pytest.fixture
def bench() -> Bench:
    return Bench()


def in_use() -> Bench:
    """As a driver leaves it: FIFOs on, all interrupts enabled, OUT2 set, THRE seen."""
    bench = Bench()
    bench.program((Reg.FCR, Fcr.ENABLE), (Reg.MCR, Mcr.OUT2), (Reg.IER, 0x0F))
    assert bench.iir() == Iir.THRI
    return bench


@pytest.fixture
def live() -> Bench:
    return in_use()


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


def test_interrupts_work_in_loopback(live: Bench) -> None:
    live.program((Reg.MCR, Mcr.OUT2 | Mcr.LOOP), (Reg.IER, Ier.RDI), (Reg.THR, 0x41))
    assert live.iir() == Iir.RDI
    assert live.levels[-1] is True


def test_the_line_is_idle_in_loopback(bench: Bench) -> None:
    bench.program((Reg.MCR, Mcr.DTR | Mcr.RTS), (Reg.LCR, Lcr.BREAK))
    assert bench.uart.modem_control == Mcr.DTR | Mcr.RTS
    bench.program((Reg.MCR, Mcr.DTR | Mcr.RTS | Mcr.LOOP))
    assert bench.uart.modem_control == 0
    bench.program((Reg.LCR, 0), (Reg.MCR, Mcr.LOOP), (Reg.MCR, 0))
    modem, on, off = LineEvent.MODEM, LineEvent.BREAK_ON, LineEvent.BREAK_OFF
    assert bench.events == [modem, on, off, modem]


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


def test_modem_deltas(live: Bench) -> None:
    live.uart.set_modem_lines(cts=False, dsr=False, ri=True, dcd=False)
    assert live.uart.read(Reg.MSR) == Msr.RI | Msr.DCTS | Msr.DDSR | Msr.DDCD, "RI counts when it ends"
    live.uart.set_modem_lines(cts=False, dsr=False, ri=False, dcd=False)
    assert live.iir() == Iir.MSI
    assert live.uart.read(Reg.MSR) == Msr.TERI
    assert live.uart.read(Reg.MSR) == 0


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


def test_the_guest_sends_a_break(bench: Bench) -> None:
    bench.program((Reg.LCR, Lcr.BREAK), (Reg.LCR, Lcr.BREAK), (Reg.LCR, 0))
    assert bench.events == [LineEvent.BREAK_ON, LineEvent.BREAK_OFF]


def test_a_changed_format_is_told_once(bench: Bench) -> None:
    bench.program((Reg.LCR, Lcr.DLAB), (Reg.DLL, 1), (Reg.DLL, 1), (Reg.LCR, 3), (Reg.LCR, 3))
    assert bench.events == [LineEvent.FORMAT, LineEvent.FORMAT]
    assert bench.uart.baud == 115_200


def test_reset_empties_everything(live: Bench) -> None:
    live.uart.feed(b"x")
    live.uart.reset()
    assert live.levels[-1] is False
    assert [live.uart.read(r) for r in range(8)] == [0, 0, Iir.NONE, 0, 0, Lsr.THRE | Lsr.TEMT, 0xB0, 0]


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 7), st.integers(0, 255)),
        st.tuples(st.just("read"), st.integers(0, 7), st.just(0)),
        st.tuples(st.just("feed"), st.integers(0, 20), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 10**9), st.just(0)),
        st.tuples(st.just("break"), st.just(0), st.just(0)),
        st.tuples(st.just("lines"), st.integers(0, 15), st.just(0)),
    ),
    max_size=60,
)


def drive(bench: Bench, operations: list[tuple[str, int, int]]) -> None:
    """Run them; the line is always what the registers say."""
    for kind, a, b in operations:
        if kind == "write":
            bench.uart.write(a, b)
        elif kind == "read":
            bench.uart.read(a)
        elif kind == "feed":
            bench.uart.feed(bytes(range(a)))
        elif kind == "wait":
            bench.now += a
            bench.uart.poll()
        elif kind == "break":
            bench.uart.receive_break()
        else:
            bench.uart.set_modem_lines(cts=bool(a & 1), dsr=bool(a & 2), ri=bool(a & 4), dcd=bool(a & 8))
        assert bench.levels[-1] == bench.uart.irq_level, (kind, a, b)


def snapshot(uart: Uart16550) -> dict[str, object]:
    return {name: repr(value) for name, value in vars(uart).items() if not callable(value)}


@given(OPERATIONS)
def test_only_changes_of_the_line_are_told(operations: list[tuple[str, int, int]]) -> None:
    bench = in_use()
    drive(bench, operations)
    assert all(a != b for a, b in zip(bench.levels, bench.levels[1:], strict=False))


@given(OPERATIONS, st.integers(0, 7))
def test_a_peek_is_a_read_if_that_has_no_effect(operations: list[tuple[str, int, int]], offset: int) -> None:
    bench = in_use()
    drive(bench, operations)
    before = snapshot(bench.uart)
    value = bench.uart.peek(offset)
    assert snapshot(bench.uart) == before
    read = bench.uart.read(offset)
    assert value in (None, read)
    assert (value is None) == (snapshot(bench.uart) != before)


@given(OPERATIONS, st.lists(st.integers(0, 7), max_size=40))
def test_what_is_told_ahead_is_what_the_guest_reads(
    operations: list[tuple[str, int, int]], offsets: list[int]
) -> None:
    """As long as each reading without an effect, or of RBR, is answered from the images."""
    bench = in_use()
    drive(bench, operations)
    images = list(bench.uart.ahead().images)
    for offset in offsets:
        image = images[0]
        if not image.valid >> offset & 1:
            continue
        assert bench.uart.read(offset) == image.values[offset]
        if image.effects >> offset & 1 and offset:
            break  # what it changes is in no image
        if image.effects & 1 and offset == 0:
            del images[0]
        assert bench.uart.ahead().images == tuple(images)


@given(OPERATIONS, st.integers(0, 7))
def test_a_reading_served_elsewhere_does_what_a_reading_does(
    operations: list[tuple[str, int, int]], offset: int
) -> None:
    one, other = in_use(), in_use()
    drive(one, operations)
    drive(other, operations)
    number, images = one.uart.ahead()
    if images[0].valid >> offset & 1:
        value = one.uart.read(offset)
        other.uart.served(offset, value, number + (offset == 0 and images[0].effects & 1))
        assert snapshot(one.uart) == snapshot(other.uart)


@given(OPERATIONS, st.integers(0, 7), st.binary(max_size=40))
def test_a_block_is_its_bytes(operations: list[tuple[str, int, int]], offset: int, data: bytes) -> None:
    one, many = in_use(), in_use()
    drive(one, operations)
    drive(many, operations)
    one.uart.write_block(offset, data)
    for value in data:
        many.uart.write(offset, value)
    assert snapshot(one.uart) == snapshot(many.uart)
    assert one.sent == many.sent
    assert one.levels[-1:] == many.levels[-1:]
