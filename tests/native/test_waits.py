"""How often a guest waits for the server: with the register sequences of real drivers, written down from memory.

Linux: `autoconfig`, `serial8250_do_startup`, `serial8250_handle_irq` and `serial8250_console_write` of
drivers/tty/serial/8250/8250_port.c. GRUB: term/ns8250.c. OVMF: BaseSerialPortLib16550. What is counted are ACCESS
frames: for each of them a vCPU waits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from tests.native.half import FCR, IER, IIR, LCR, LSR, MCR, MSR, RBR, THR, Half
from tests.native.served import Server

DR, THRE = 0x01, 0x20
RDI_RLSI, THRI = 0x05, 0x02
KIB = 1024
FIFO = 16


class Rig:
    """A guest whose driver has the console, and the server that it never waits for.

    Attributes:
        got: what the guest has read.
    """

    def __init__(self, half: Half) -> None:
        self.half = half
        self.server = Server(half)
        self.server.connect()
        self.turn()
        self.got = bytearray()
        self.ier = 0
        self.to_print = bytearray()

    @property
    def waits(self) -> int:
        """How often a vCPU has waited so far."""
        return self.server.counters.accesses

    def turn(self) -> None:
        """A millisecond passes: the server and the connecting thread get their turn."""
        self.half.let_pass(1_000_000)
        self.half.service()
        self.server.turn()
        self.half.poll()

    def read(self, register: int) -> int:
        return self.half.read(register)

    def write(self, register: int, value: int) -> None:
        self.half.write(register, value)

    # -- Linux --------------------------------------------------------------------------------------

    def linux_autoconfig(self) -> None:
        """Is there a UART, and which one?"""
        ier = self.read(IER)
        for value in (0, 0x0F):
            self.write(IER, value)
            assert self.read(IER) & 0x0F == value
        self.write(IER, ier)
        mcr, lcr = self.read(MCR), self.read(LCR)
        self.write(MCR, 0x1A)
        assert self.read(MSR) & 0xF0 == 0x90
        self.write(MCR, mcr)
        self.write(LCR, 0xBF)
        self.write(FCR, 0)
        self.write(LCR, 0)
        self.write(FCR, 1)
        assert self.read(IIR) >> 6 == 3
        self.write(LCR, lcr)
        self.write(FCR, 7)
        self.write(FCR, 0)
        self.read(RBR)
        self.write(IER, 0)

    def linux_startup(self) -> None:
        """The port is opened."""
        for value in (1, 7, 0):
            self.write(FCR, value)
        for register in (LSR, RBR, IIR, MSR):
            self.read(register)
        self.write(LCR, 0x03)
        self.write(MCR, 0x08)
        self.write(IER, THRI)  # does an interrupt come when it is enabled?
        assert self.read(LSR) & THRE
        assert self.read(IIR) & 1 == 0
        self.write(IER, 0)
        for register in (LSR, RBR, IIR, MSR):
            self.read(register)
        self.ier = RDI_RLSI
        self.write(IER, self.ier)
        for register, value in ((LCR, 0x83), (THR, 1), (IER, 0), (LCR, 0x03), (FCR, 0x01), (FCR, 0x81), (MCR, 0x0B)):
            self.write(register, value)

    def linux_interrupt(self) -> None:
        """As long as the line is high, and once more."""
        while not self.read(IIR) & 1:
            lsr = self.read(LSR)
            for _ in range(256):
                if not lsr & (DR | 0x10):
                    break
                self.got.append(self.read(RBR))
                lsr = self.read(LSR)
            self.read(MSR)
            if lsr & THRE and self.ier & THRI:
                self.linux_transmit()

    def linux_transmit(self) -> None:
        for byte in self.to_print[:FIFO]:
            self.write(THR, byte)
        del self.to_print[:FIFO]
        if not self.to_print:
            self.ier &= ~THRI
            self.write(IER, self.ier)

    def linux_print(self, text: bytes) -> None:
        """A process writes to the terminal."""
        self.to_print += text
        self.ier |= THRI
        self.write(IER, self.ier)
        if self.half.level():
            self.linux_interrupt()

    def linux_console_write(self, text: bytes) -> None:
        """The kernel's own messages, by polling."""
        ier = self.read(IER)
        self.write(IER, 0)
        for byte in text:
            assert self.read(LSR) & THRE
            self.write(THR, byte)
        assert self.read(LSR) & 0x60 == 0x60
        self.write(IER, ier)

    # -- firmware and boot loader -------------------------------------------------------------------

    def grub_init(self) -> None:
        for register, value in ((IER, 0), (LCR, 0x80), (THR, 1), (IER, 0), (LCR, 3), (FCR, 0xC7), (MCR, 0x0B)):
            self.write(register, value)

    def ovmf_init(self) -> None:
        self.read(LCR)
        for register, value in ((LCR, 0x80), (THR, 1), (IER, 0), (LCR, 3), (FCR, 0), (FCR, 7), (MCR, 0x03)):
            self.write(register, value)

    def poll_input(self) -> None:
        """Both look at LSR before each character."""
        while self.read(LSR) & DR:
            self.got.append(self.read(RBR))

    def poll_output(self, text: bytes) -> None:
        for byte in text:
            assert self.read(LSR) & THRE
            self.write(THR, byte)

    # -- somebody at the console --------------------------------------------------------------------

    def type(self, text: bytes, driver: Callable[[], None]) -> None:
        """All of it is typed, and the guest reads it as its driver does."""
        self.server.model.typed.extend(text)
        for _ in range(4 * len(text)):
            if len(self.got) >= len(text):
                break
            self.turn()
            self.server.model.pass_time(10_000_000)
            self.server.publish()
            self.half.poll()
            driver()
        assert bytes(self.got) == text

    def on_interrupt(self) -> None:
        if self.half.level():
            self.linux_interrupt()

    def printed(self) -> bytes:
        for _ in range(4):
            self.turn()
        return bytes(self.server.model.printed)


@pytest.fixture
async def rig(half: Half) -> AsyncIterator[Rig]:
    made = Rig(half)
    yield made
    made.server.drop()


@pytest.fixture
async def linux(rig: Rig) -> Rig:
    """Booted."""
    rig.linux_autoconfig()
    rig.linux_startup()
    rig.turn()
    return rig


async def test_setting_up_a_port_waits_once_at_most(rig: Rig) -> None:
    rig.linux_autoconfig()
    assert rig.waits <= 1
    rig.linux_startup()
    assert rig.waits <= 1


TEXT = bytes(32 + i % 90 for i in range(4 * KIB))


async def test_linux_reads_what_is_typed(linux: Rig) -> None:
    before = linux.waits
    linux.type(TEXT, linux.on_interrupt)
    assert linux.waits == before


async def test_linux_reads_single_keys(linux: Rig) -> None:
    before = linux.waits
    for key in b"ls -l\r":
        linux.got.clear()
        linux.type(bytes((key,)), linux.on_interrupt)
    assert linux.waits == before


@pytest.mark.parametrize("size", [1, 15, 16, 17, 4 * KIB])
async def test_linux_prints(linux: Rig, size: int) -> None:
    before = linux.waits
    linux.linux_print(TEXT[:size])
    assert linux.printed() == TEXT[:size]
    assert linux.waits == before


async def test_linux_echoes(linux: Rig) -> None:
    """Input and output by turns: what comes is printed."""
    before = linux.waits

    def echo() -> None:
        was = len(linux.got)
        linux.on_interrupt()
        if len(linux.got) > was:
            linux.linux_print(bytes(linux.got[was:]))

    linux.type(TEXT, echo)
    assert linux.printed() == TEXT
    assert linux.waits == before


async def test_linux_logs(linux: Rig) -> None:
    before = linux.waits
    for at in range(0, len(TEXT), 64):
        linux.linux_console_write(TEXT[at : at + 64])
        linux.on_interrupt()
    assert linux.printed() == TEXT
    assert linux.waits == before


async def test_linux_logs_while_somebody_types(linux: Rig) -> None:
    """The interrupt of the receiver is off for a moment. What it is about is asked for then, sometimes: at most once
    for 64 printed bytes."""
    before = linux.waits

    def log() -> None:
        linux.linux_console_write(TEXT[:64])
        linux.on_interrupt()

    linux.type(TEXT[:KIB], log)
    assert linux.waits - before <= len(linux.printed()) // 64


@pytest.mark.parametrize("firmware", ["grub", "ovmf"])
async def test_firmware_polls(rig: Rig, firmware: str) -> None:
    getattr(rig, f"{firmware}_init")()
    rig.turn()
    rig.type(TEXT, rig.poll_input)
    rig.poll_output(TEXT)
    assert rig.printed() == TEXT
    assert rig.waits <= 1


async def test_a_guest_that_looks_for_a_key_and_there_is_none(rig: Rig) -> None:
    rig.grub_init()
    rig.turn()
    for _ in range(1000):
        rig.poll_input()
        rig.turn()
    assert rig.waits <= 1
