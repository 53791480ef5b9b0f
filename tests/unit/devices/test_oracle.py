"""Our 16550A against QEMU's: the same random programs through both, every value and the line compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.uart16550 import TRIGGER_LEVELS, Fcr, Lcr, Lsr, Mcr, Reg, Uart16550
from tests.support.qtest import QtestSerial

#: Every intended difference, with its reason. There is no other tolerance.
DEVIATIONS: Final = {
    "reset MCR": "QEMU resets MCR to OUT2, the datasheet (table 2) to 0: programs begin by writing it",
    "OUT2": "on a PC, OUT2 gates the interrupt line; QEMU's isa-serial leaves the gate out",
    "empty RBR": "what RBR holds while LSR.DR is clear is undefined; ours reads 0, QEMU's the last byte it held",
    "room": "QEMU takes input only up to the trigger level, ours up to 16: no more than QEMU takes is sent",
    "loopback input": "section 8.6 cuts the line off in loopback; QEMU still receives from it: nothing is sent then",
}

Step = tuple[str, int, int]
#: Four characters of every length at 9600 baud: what the character timeout waits.
TIMEOUTS: Final = [4 * bits * 10**9 * 12 // 115_200 for bits in range(7, 13)]


def steps(kind: str, offsets: st.SearchStrategy[int], values: st.SearchStrategy[int]) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(kind), offsets, values)


def only(*values: int) -> st.SearchStrategy[int]:
    return st.sampled_from(values)


#: Anything, and what drivers do, so that a random program gets far enough to matter.
PROGRAMS = st.lists(
    st.one_of(
        steps("write", st.integers(0, 7), st.integers(0, 255)),
        steps("read", st.integers(0, 7), only(0)),
        steps("read", only(Reg.IIR, Reg.LSR, Reg.RBR), only(0)),
        steps("input", st.integers(1, 20), only(0)),
        steps("wait", st.integers(1, 10**8), only(0)),
        steps("wait", only(*TIMEOUTS, *(t - 2 for t in TIMEOUTS)), only(0)),
        steps("write", only(Reg.FCR), only(0x01, 0x07, 0x81, 0xC1, 0xC7)),
        steps("write", only(Reg.LCR), only(0x00, 0x03, 0x13, 0x83)),
        steps("write", only(Reg.MCR), only(0x08, 0x0B, 0x18, 0x1B)),
        steps("write", only(Reg.IER), only(0, 1, 2, 3, 4, 5, 15)),
        steps("write", only(Reg.IER), only(0, 2)),
        steps("read", only(Reg.IIR), only(0)),
        steps("write", only(Reg.THR), st.integers(0, 255)),
    ),
    min_size=5,
    max_size=100,
)


@pytest.fixture(scope="module")
def oracle() -> Iterator[QtestSerial]:
    with QtestSerial() as running:
        yield running


class Both:
    """Our model and QEMU's, in step."""

    def __init__(self, oracle: QtestSerial) -> None:
        self.oracle = oracle
        self.now = 0
        self.sent = bytearray()
        self.waiting = bytearray()
        self.fcr = 0
        self.model = Uart16550(transmit=self.sent.extend, irq=lambda _: None, clock=lambda: self.now)
        self._same_start()

    def _same_start(self) -> None:
        """Bring QEMU's to our reset state through its registers."""
        o = self.oracle
        for offset, value in (
            (Reg.LCR, Lcr.DLAB),
            (Reg.DLL, 12),
            (Reg.DLM, 0),
            (Reg.LCR, 0),
            (Reg.IER, 0),
            (Reg.MCR, Mcr.OUT2),
            (Reg.SCR, 0),
            (Reg.FCR, Fcr.ENABLE | Fcr.RESET_RX | Fcr.RESET_TX),
            (Reg.FCR, 0),
        ):
            o.write(offset, value)
            if offset in (Reg.FCR, Reg.MCR, Reg.LCR):
                self.model.write(offset, value)
        while o.read(Reg.LSR) & Lsr.DR:  # what a failed program left on its way
            o.read(Reg.RBR)
        for offset in (Reg.RBR, Reg.LSR, Reg.MSR, Reg.IIR):
            o.read(offset)
            self.model.read(offset)

    def run(self, program: list[Step]) -> None:
        for number, (kind, a, b) in enumerate(program):
            if kind == "write":
                self.fcr = b if a == Reg.FCR else self.fcr
                self.model.write(a, b)
                self.oracle.write(a, b)
            elif kind == "read":
                self._read(program[: number + 1], a)
            elif kind == "input":
                self.waiting += bytes((number + i) & 0xFF for i in range(a))
            else:
                self.now += a
                self.model.poll()
                self.oracle.step(a)
            self._let_in()
            self._compare(program[: number + 1])

    def _read(self, program: list[Step], offset: int) -> None:
        undefined = offset == Reg.RBR and not self.model.unread and not self.model.read(Reg.LCR) & Lcr.DLAB
        ours, theirs = self.model.read(offset), self.oracle.read(offset)
        assert undefined or ours == theirs, (
            f"read of {Reg(offset).name}: ours {ours:#x}, QEMU's {theirs:#x}; {program}"
        )

    def _let_in(self) -> None:
        taken = self.model.feed(bytes(self.waiting[: self._qemus_room()]))
        if taken:
            self.oracle.receive(bytes(self.waiting[:taken]))
            del self.waiting[:taken]

    def _qemus_room(self) -> int:
        if not self.fcr & Fcr.ENABLE:
            return 1
        trigger, held = TRIGGER_LEVELS[self.fcr >> 6], self.model.unread
        return trigger - held if held <= trigger else 1

    def _compare(self, program: list[Step]) -> None:
        if self.model.read(Reg.MCR) & Mcr.OUT2:
            ours, theirs = self.model.irq_level, self.oracle.irq_level
            assert ours == theirs, f"line: ours {ours}, QEMU's {theirs}; {program}"
        else:
            assert not self.model.irq_level
        sent, self.sent[:] = bytes(self.sent), b""
        assert self.oracle.transmitted(len(sent)) == sent


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(program=PROGRAMS)
def test_our_uart_is_qemus(oracle: QtestSerial, program: list[Step]) -> None:
    Both(oracle).run(program)
