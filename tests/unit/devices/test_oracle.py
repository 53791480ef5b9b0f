"""Our 16550A against QEMU's: the same random programs through both, every value and the line compared."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oobconsole.devices.uart16550 import FIFO_SIZE, TRIGGER_LEVELS, Fcr, Lcr, Lsr, Mcr, Reg, Uart16550
from tests.support.qtest import QtestSerial

# -- every intended difference, with its reason: there is no other tolerance ------------------------


#: QEMU resets MCR to OUT2, the datasheet (table 2) to 0. And though it resets LCR to 5N1, its character timeout is
#: that of 8N1 until LCR is written.
RESET_MCR: Final = Mcr.OUT2

#: QEMU calculates a character's time in single precision. This, in ns, is what four of the longest (27 s) differ by:
#: no wait ends closer to the character timeout.
ROUNDING_NS: Final = 30_000


def gated(uart: Uart16550) -> bool:
    """On a PC, OUT2 gates the interrupt line; QEMU's isa-serial leaves the gate out."""
    return not uart.read(Reg.MCR) & Mcr.OUT2


def undefined(uart: Uart16550, offset: int) -> bool:
    """What RBR holds while LSR.DR is clear is undefined: ours reads 0, QEMU's the last byte it held."""
    return offset == Reg.RBR and not uart.read(Reg.LCR) & Lcr.DLAB and uart.peek(Reg.RBR) is not None


def qemus_room(uart: Uart16550, fcr: int) -> int:
    """QEMU takes input up to the trigger level and then byte by byte, ours all that fits: both get the lesser.
    Section 8.6 cuts the line off in loopback, where QEMU still receives: both get nothing."""
    if not fcr & Fcr.ENABLE or not uart.room:
        return uart.room
    held = FIFO_SIZE - uart.room
    return max(TRIGGER_LEVELS[fcr >> 6] - held, int(held != TRIGGER_LEVELS[fcr >> 6]))


def forget_deltas(uart: Uart16550, oracle: QtestSerial) -> None:
    """Section 8.6: in loopback the modem outputs become inputs, whose changes show in MSR as deltas. QEMU has
    none (nor has its socket modem lines): ours are read away after every write to MCR."""
    assert uart.read(Reg.MSR) & 0xF0 == oracle.read(Reg.MSR)


# A break is not sent: QEMU shows BI at once and not when its character is next, and starts no timeout for it.

# -- programs ---------------------------------------------------------------------------------------

Step = tuple[str, int, int]
Phrase = st.SearchStrategy[list[Step]]


def only(*values: int) -> st.SearchStrategy[int]:
    return st.sampled_from(values)


def step(kind: str, a: st.SearchStrategy[int], b: st.SearchStrategy[int] | None = None) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(kind), a, st.just(0) if b is None else b)


def write(offset: int, *values: int) -> st.SearchStrategy[Step]:
    return step("write", st.just(offset), only(*values) if values else st.integers(0, 255))


def phrase(*of: st.SearchStrategy[Step]) -> Phrase:
    return st.tuples(*of).map(list)


INPUT: Final = step("input", st.integers(1, 20))
LATE: Final = step("timeout", only(-ROUNDING_NS, ROUNDING_NS))
ENABLE: Final = write(Reg.IER, 0, 1, 2, 3, 4, 5, 7, 15)
FIFOS: Final = write(Reg.FCR, *(Fcr.ENABLE | level << 6 for level in range(4)))
FORMAT: Final = write(Reg.LCR, *range(0x20))
#: Anything, and what drivers do: so that a random program gets far enough to matter.
PHRASES: Final = (
    phrase(step("write", st.integers(0, 7), st.integers(0, 255))),
    phrase(step("read", st.integers(0, 7))),
    phrase(step("wait", st.integers(1, 10**8))),
    st.lists(step("read", only(Reg.IIR, Reg.LSR, Reg.RBR)), min_size=1, max_size=8),
    phrase(*[step("read", only(Reg.RBR))] * FIFO_SIZE),
    phrase(ENABLE),
    phrase(write(Reg.IER, 0), INPUT, ENABLE),
    phrase(write(Reg.THR), ENABLE, step("read", only(Reg.IIR))),
    phrase(FIFOS, ENABLE, INPUT),
    phrase(INPUT, LATE, step("read", only(Reg.RBR, Reg.IIR)), LATE),
    phrase(INPUT, LATE, write(Reg.FCR), ENABLE),
    phrase(write(Reg.LCR, Lcr.DLAB), write(Reg.DLL, 0, 1, 12), write(Reg.DLM, 0, 0, 2), FORMAT),
    phrase(write(Reg.MCR, Mcr.OUT2, Mcr.OUT2 | Mcr.DTR | Mcr.RTS)),
    phrase(write(Reg.MCR, Mcr.OUT2 | Mcr.LOOP), *[write(Reg.THR)] * (FIFO_SIZE + 1)),
)
PROGRAMS: Final = st.lists(st.one_of(PHRASES), min_size=3, max_size=30).map(lambda p: list(chain.from_iterable(p)))


class Both:
    """Our model and QEMU's, in step."""

    def __init__(self, oracle: QtestSerial) -> None:
        self.oracle = oracle
        self.now = 0
        self.sent = bytearray()
        self.waiting = bytearray()
        self.fcr = 0
        self.level = False
        self.rises = 0
        self.model = Uart16550(transmit=self.sent.extend, irq=self._irq, clock=lambda: self.now)
        self._same_start()

    def _irq(self, level: bool) -> None:
        self.level = level
        self.rises += level

    def _same_start(self) -> None:
        """Bring QEMU's to our reset state through its registers, whatever a failed program left."""
        o = self.oracle
        for offset, value in (
            (Reg.LCR, Lcr.DLAB),
            (Reg.DLL, 12),
            (Reg.DLM, 0),
            (Reg.LCR, 0),
            (Reg.IER, 0),
            (Reg.MCR, 0),
            (Reg.SCR, 0),
            (Reg.FCR, Fcr.ENABLE),
            (Reg.FCR, 0),
        ):
            o.write(offset, value)
        while o.read(Reg.LSR) & Lsr.DR:  # it was on its way
            o.read(Reg.RBR)
        o.transmitted()
        for offset in (Reg.IIR, Reg.LSR, Reg.MSR):
            assert o.read(offset) == self.model.read(offset)

    def run(self, program: list[Step]) -> None:
        for number, (kind, a, b) in enumerate(program):
            before = self.rises, self.oracle.rises
            try:
                getattr(self, f"_{kind}")(a, b)
                self._let_in()
                self._compare()
                if (kind, a) != ("write", Reg.MCR) and not gated(self.model):
                    self._compare_rises(*before)
            except AssertionError as error:
                raise AssertionError(f"{error}\nafter {program[: number + 1]}") from None

    def _write(self, offset: int, value: int) -> None:
        self.model.write(offset, value)
        self.oracle.write(offset, value)
        if offset == Reg.FCR:
            self.fcr = value
        if offset == Reg.MCR:
            forget_deltas(self.model, self.oracle)

    def _read(self, offset: int, _: int) -> None:
        excused = undefined(self.model, offset)
        ours, theirs = self.model.read(offset), self.oracle.read(offset)
        assert excused or ours == theirs, f"read of {Reg(offset).name}: ours {ours:#x}, QEMU's {theirs:#x}"

    def _input(self, count: int, _: int) -> None:
        self.waiting += bytes((len(self.waiting) + i) & 0xFF for i in range(count))

    def _wait(self, ns: int, _: int) -> None:
        deadline = self.model.next_deadline()
        if deadline is not None and abs(self.now + ns - deadline) < ROUNDING_NS:
            ns = deadline + ROUNDING_NS - self.now
        self.now += ns
        self.model.poll()
        self.oracle.step(ns)

    def _timeout(self, late_ns: int, _: int) -> None:
        """Wait until just before or just after the character timeout."""
        deadline = self.model.next_deadline()
        if deadline is not None and deadline + late_ns > self.now:
            self._wait(deadline + late_ns - self.now, 0)

    def _let_in(self) -> None:
        taken = self.model.feed(bytes(self.waiting[: qemus_room(self.model, self.fcr)]))
        if taken:
            self.oracle.receive(bytes(self.waiting[:taken]))
            del self.waiting[:taken]

    def _compare(self) -> None:
        """Every register that may be read without consequences, the line, and what was sent."""
        values = {r.name: self.model.peek(r) for r in Reg if not undefined(self.model, r)}
        ours = {name: value for name, value in values.items() if value is not None}
        theirs = dict(zip(ours, self.oracle.read_all([Reg[name] for name in ours]), strict=True))
        assert ours == theirs, f"registers: ours {ours}, QEMU's {theirs}"
        level = self.oracle.irq_level and not gated(self.model)
        assert self.level == level, f"line: ours {self.level}, QEMU's {level}"
        sent, self.sent[:] = bytes(self.sent), b""
        transmitted = self.oracle.transmitted()
        assert sent == transmitted, f"transmitted: ours {sent!r}, QEMU's {transmitted!r}"

    def _compare_rises(self, before: int, qemus_before: int) -> None:
        ours, theirs = self.rises - before, self.oracle.rises - qemus_before
        assert ours == theirs, f"line: ours rose {ours} times, QEMU's {theirs}"


# -- tests ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def oracle() -> Iterator[QtestSerial]:
    with QtestSerial() as running:
        yield running


@pytest.mark.needs("qemu")
def test_registers_come_out_of_reset_as_qemus() -> None:
    uart = Uart16550(transmit=lambda _: None, irq=lambda _: None, clock=lambda: 0)
    with QtestSerial() as fresh:
        theirs = [fresh.read(offset) for offset in Reg]
    theirs[Reg.MCR] ^= RESET_MCR
    assert [uart.read(offset) for offset in Reg] == theirs


@pytest.mark.needs("qemu")
@settings(max_examples=10 * settings().max_examples, deadline=None)
@given(program=PROGRAMS)
def test_our_uart_is_qemus(oracle: QtestSerial, program: list[Step]) -> None:
    Both(oracle).run(program)
