"""What a 16550 tells: that a deadline came nearer, and that its guest begins to use it. And how fast its line is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.devices.uart16550 import Fcr, Ier, Lcr, Mcr, Reg, Uart16550


class Bench:
    """A UART, and what it has told.

    Attributes:
        timed, used: how often.
    """

    def __init__(self, speed: int = 1) -> None:
        self.now = 0
        self.timed = self.used = 0
        self.sent = bytearray()
        self.uart = Uart16550(
            transmit=self.sent.extend,
            irq=lambda level: None,
            clock=lambda: self.now,
            timed=self._timed,
            used=self._used,
            speed=speed,
        )

    def _timed(self) -> None:
        self.timed += 1

    def _used(self) -> None:
        self.used += 1

    def timeout(self, divisor: int) -> int:
        """How long the character timeout is, at that divisor, with 8N1."""
        for register, value in ((Reg.LCR, Lcr.DLAB | 3), (Reg.DLL, divisor), (Reg.DLM, 0), (Reg.LCR, 3)):
            self.uart.write(register, value)
        self.uart.write(Reg.FCR, Fcr.ENABLE | Fcr.TRIGGER)
        self.uart.feed(b"a")
        deadline = self.uart.next_deadline()
        assert deadline is not None
        return deadline - self.now


@pytest.mark.parametrize("divisor", [1, 12, 96])
def test_a_faster_line_has_a_shorter_timeout(divisor: int) -> None:
    wire, memory = Bench(), Bench(speed=64)
    assert wire.timeout(divisor) == 4 * 10 * 1_000_000_000 * divisor // 115_200
    assert memory.timeout(divisor) == wire.timeout(divisor) // 64
    assert memory.uart.baud == wire.uart.baud, "the rate is as its guest has programmed it"


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 7), st.integers(0, 255)),
        st.tuples(st.just("read"), st.integers(0, 7), st.just(0)),
        st.tuples(st.just("feed"), st.integers(0, 20), st.just(0)),
        st.tuples(st.just("break"), st.just(0), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 10**8), st.just(0)),
        st.tuples(st.just("reset"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@given(OPERATIONS)
def test_no_deadline_comes_nearer_untold(operations: list[tuple[str, int, int]]) -> None:
    """Whoever sets a timer looks at the deadline when it is told to, and when the timer has ended: never too late."""
    bench = Bench()
    bench.uart.write(Reg.FCR, Fcr.ENABLE | Fcr.TRIGGER)
    for kind, a, b in operations:
        before, told = bench.uart.next_deadline(), bench.timed
        match kind:
            case "write":
                bench.uart.write(a, b)
            case "read":
                bench.uart.read(a)
            case "feed":
                bench.uart.feed(bytes(a))
            case "break":
                bench.uart.receive_break()
            case "wait":
                bench.now += a
                bench.uart.poll()
            case _:
                bench.uart.reset()
        after = bench.uart.next_deadline()
        if after is not None and (before is None or after < before):
            assert bench.timed > told, (kind, a, b)


class TestItsGuestBeginsToUseIt:
    def test_by_reading_any_register(self) -> None:
        for register in range(8):
            bench = Bench()
            bench.uart.read(register)
            bench.uart.read(register)
            assert bench.used == 1

    def test_not_by_being_looked_at(self) -> None:
        """Registers that are published are not read."""
        bench = Bench()
        assert [bench.uart.peek(register) for register in (Reg.IIR, Reg.LSR, Reg.MSR)] == [0x01, 0x60, 0xB0]
        assert bench.used == 0

    @pytest.mark.parametrize("block", [False, True])
    def test_by_writing_what_comes_behind_its_set_up(self, block: bool) -> None:
        bench = Bench()
        write = bench.uart.write_block if block else lambda register, data: bench.uart.write(register, data[0])
        for register, value in (
            *((Reg.LCR, Lcr.DLAB | 3), (Reg.DLL, 1), (Reg.DLM, 0), (Reg.LCR, 3)),
            *((Reg.FCR, Fcr.ENABLE), (Reg.MCR, Mcr.OUT2), (Reg.SCR, 0x5A)),
        ):
            write(register, bytes((value,)))
        assert bench.used == 0, "a native half replays these, and FCR empties the receiver"
        write(Reg.IER, bytes((Ier.RDI,)))
        assert bench.used == 1

    def test_by_printing(self) -> None:
        bench = Bench()
        bench.uart.write_block(Reg.THR, b"GRUB")
        bench.uart.write_block(Reg.THR, b"Linux")
        assert (bench.used, bytes(bench.sent)) == (1, b"GRUBLinux")

    def test_again_after_a_reset(self) -> None:
        bench = Bench()
        bench.uart.read(Reg.LSR)
        bench.uart.reset()
        assert bench.used == 1
        bench.uart.read(Reg.LSR)
        assert bench.used == 2
