"""How many exits a guest costs that prints short lines, and one that halts while an interrupt of ours is due
(`native/core/lines.c`, `uart.c`, `halt.c`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.native.core import (
    CS_BASE,
    EXITCODE,
    EXITINFO1,
    EXITINFO2,
    INT_CTL,
    INT_STATE,
    INTERCEPTS_3,
    SAVED_EFER,
    SAVED_RFLAGS,
    SAVED_RIP,
    Core,
)
from tests.native.test_core_interrupts import COM1, COM2, ROOT, A, program_8259s
from tests.native.test_core_memory import PAGE, identity

IER, IIR, MCR, LSR = 1, 2, 4, 5
THRI, RDI, MSI, OUT2, FIFO = 2, 1, 8, 8, 7
THRE, NONE = 0xC2, 0xC1
LINES, LINE_NS, TICK_NS, WAIT_NS = 4000, 30_000, 4_000_000, 1_000_000


class Driver:
    """A guest's serial driver, as Linux's 8250: it enables the interrupt of an empty THR when there is something to
    print, prints from the handler of that interrupt, and disables it when nothing is left.

    Attributes:
        forced: exits that an access was made to.
        handled: interrupts.
        printed: what went to THR.
    """

    def __init__(self, core: Core, l2: int, port: int = COM1) -> None:
        self.core, self.l2, self.port = core, l2, port
        self.forced = self.handled = 0
        self.buffer = self.printed = b""
        self._enabled = False
        core.write(l2, port + IIR, FIFO)
        core.write(l2, port + MCR, OUT2)

    def say(self, data: bytes) -> None:
        """A process prints: what it says goes to the driver's buffer."""
        self.buffer += data
        if self._enabled:
            return
        self._enabled = True
        self.core.write(self.l2, self.port + IER, THRI)
        if self.core.urgent(self.l2):
            self.forced += 1
            self.exit()

    def exit(self) -> None:
        """The guest makes an exit: VMRUN delivers what is due, and its handler prints all that waits."""
        if (due := self.core.due(self.l2)) is None:
            return
        self.core.arm(self.l2, due[0])
        self.handled += 1
        while self.core.read(self.l2, self.port + IIR) == THRE:
            for byte in self.buffer[:16]:
                self.core.write(self.l2, self.port, byte)
            self.printed, self.buffer = self.printed + self.buffer[:16], self.buffer[16:]
            if not self.buffer:
                self._enabled = False
                self.core.write(self.l2, self.port + IER, 0)
        self.core.delivered(self.l2)


@pytest.fixture
def core(library: Path, tmp_path: Path) -> Core:
    """COM1 on line 4, COM2 on line 3."""
    return Core(library, tmp_path)


@pytest.fixture
def l2(core: Core) -> int:
    """A vCPU of a guest whose interrupts come from 8259s."""
    core.put(ROOT, 1)
    l2 = core.enter(core.vmcb(A, ROOT))
    program_8259s(core, l2)
    return l2


def test_seq_1_4000(core: Core, l2: int) -> None:
    """real-guests.md F4: 4,000 lines 30 us apart, each two bursts, as a terminal's line discipline makes them.

    The guest's timer makes an exit every 4 ms. The driver gathers lines meanwhile. Before it did, each burst was an
    interrupt with a forced exit.
    """
    driver = Driver(core, l2)
    expected = b""
    for number in range(1, LINES + 1):
        for burst in (b"%d" % number, b"\r\n"):
            driver.say(burst)
            expected += burst
        core.let_pass(LINE_NS)
        if number * LINE_NS % TICK_NS < LINE_NS:
            driver.exit()
    driver.exit()
    assert driver.printed == expected
    assert driver.forced <= LINES * LINE_NS / WAIT_NS
    assert driver.handled <= 2 * LINES * LINE_NS / WAIT_NS < 2 * LINES / 30


def test_without_any_other_exit_one_is_forced_each_millisecond(core: Core, l2: int) -> None:
    """The next access of the guest's to the port makes it, so that no output waits for ever."""
    driver = Driver(core, l2)
    for _ in range(100):
        driver.say(b"line\r\n")
        core.let_pass(WAIT_NS)
    assert driver.forced == 100


def printing(core: Core, l2: int, length: int) -> Driver:
    """A driver that has printed something, and just now so much, each from a handler."""
    driver = Driver(core, l2)
    driver.say(b"x")
    driver.say(b"x" * length)
    assert (driver.forced, driver.buffer) == (2, b"")
    return driver


def test_the_first_lines_and_a_later_one_come_at_once(core: Core, l2: int) -> None:
    driver = printing(core, l2, 2)
    driver.say(b"one")
    assert (driver.forced, driver.buffer) == (2, b"one")
    driver.exit()
    assert driver.buffer == b"", "an exit of the guest's own brings it before the millisecond is over"
    core.let_pass(WAIT_NS)
    driver.say(b"two")
    assert (driver.forced, driver.printed) == (3, b"xxxonetwo")


@pytest.mark.parametrize(("length", "waits"), [(1, True), (15, True), (16, False), (32, False), (33, True)])
def test_a_driver_that_has_filled_the_fifo_has_more_to_print(core: Core, l2: int, length: int, waits: bool) -> None:
    printing(core, l2, length)
    core.write(l2, COM1 + IER, THRI)
    assert core.due(l2) is not None
    assert core.urgent(l2) is not waits


def test_a_uart_without_fifo_prints_one_byte_for_each_interrupt(core: Core, l2: int) -> None:
    printing(core, l2, 1)
    core.write(l2, COM1 + IIR, 0)
    core.write(l2, COM1 + IER, THRI)
    assert core.urgent(l2)


def test_what_else_is_pending_does_not_wait(core: Core, l2: int) -> None:
    """In loopback the modem's outputs are its inputs: the driver has changed one of them."""
    printing(core, l2, 3)
    core.write(l2, COM1 + IER, THRI | MSI)
    assert not core.urgent(l2)
    core.write(l2, COM1 + MCR, OUT2 | 0x10)
    assert core.urgent(l2)


def test_another_uarts_interrupt_does_not_wait_for_this_one(core: Core, l2: int) -> None:
    printing(core, l2, 3)
    core.write(l2, COM1 + IER, THRI)
    assert not core.urgent(l2)
    core.write(l2, COM2 + IIR, FIFO)
    core.write(l2, COM2 + MCR, OUT2)
    core.write(l2, COM2 + IER, THRI)
    assert core.urgent(l2)


# -- an L2 that halts -----------------------------------------------------------------------------------

IF, TF, RF = 1 << 9, 1 << 8, 1 << 16
INTR, VINTR, V_IRQ = 1 << 0, 1 << 4, 1 << 8
LMA = 1 << 10
HLT_CODE, INTR_CODE = 0x78, 0x60


@pytest.fixture
def halted(core: Core) -> int:
    """A vCPU that has just executed HLT behind STI, without paging."""
    l2, _ = identity(core, 4)
    core.put(PAGE, 0xF4, 1)
    for field, value in ((SAVED_RIP, PAGE), (SAVED_RFLAGS, IF | RF | 2), (INT_STATE, 1), (EXITCODE, HLT_CODE)):
        core.put(A + field, value)
    for field in (EXITINFO1, EXITINFO2):
        core.put(A + field, 0x1234)
    core.put(A + INTERCEPTS_3, INTR, 4)
    return l2


def test_an_l2_that_has_halted_goes_on_behind_it(core: Core, halted: int) -> None:
    assert core.end_halt(halted)
    assert core.get(A + EXITCODE) == INTR_CODE
    assert core.get(A + SAVED_RIP) == PAGE + 1
    assert core.get(A + SAVED_RFLAGS) == IF | 2
    assert core.get(A + INT_STATE) == core.get(A + EXITINFO1) == core.get(A + EXITINFO2) == 0


@pytest.mark.parametrize(("efer", "ends"), [(0, True), (LMA, False)])
def test_where_its_code_lies(core: Core, halted: int, efer: int, ends: bool) -> None:
    """Long mode has no base of CS, and paging, which this L2 has not."""
    core.put(A + CS_BASE, 0x1000)
    core.put(A + SAVED_EFER, efer)
    core.put(A + SAVED_RIP, PAGE - 0x1000)
    assert core.end_halt(halted) is ends


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (SAVED_RFLAGS, 2),  # it takes no interrupts
        (SAVED_RFLAGS, IF | TF | 2),  # it is single-stepped
        (INTERCEPTS_3, 0),  # L1 would be surprised by a physical interrupt
        (INTERCEPTS_3, INTR | VINTR),  # L1 waits for the moment at which L2 takes an interrupt
        (INT_CTL, V_IRQ),  # L1 has one for L2
        (SAVED_RIP, PAGE + 1),  # another instruction, whatever L1 says
        (SAVED_RIP, 0x7000000),  # nothing is there
    ],
)
def test_one_that_is_left_as_it_is(core: Core, halted: int, field: int, value: int) -> None:
    core.put(A + field, value)
    before = bytes(core.memory[A : A + 0x1000])
    assert not core.end_halt(halted)
    assert bytes(core.memory[A : A + 0x1000]) == before


def test_a_masked_interrupt_is_not_urgent(core: Core, l2: int) -> None:
    driver = Driver(core, l2)
    core.out(l2, 0x21, 1 << 4)
    driver.say(b"x")
    assert driver.forced == 0
