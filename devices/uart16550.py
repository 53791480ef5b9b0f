"""A 16550A UART as its guest sees it: pure and synchronous.

Sources: National Semiconductor PC16550D datasheet (June 1995), table and section names as there;
where it leaves a choice, what QEMU's `isa-serial` does. docs/devices/uart16550.md lists the registers
and every deviation. The transmitter is infinitely fast: a byte leaves as it is written to THR.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from oobconsole.devices.device import Ahead, Device
from oobconsole.devices.uart16550_ahead import FIFOS_ON, IDLE, LINE_ERRORS, ahead
from oobconsole.devices.uart16550_format import Format
from oobconsole.devices.uart16550_interrupts import NONE, THR_EMPTY, Interrupts
from oobconsole.devices.uart16550_modem import Modem
from oobconsole.devices.uart16550_receiver import BREAK, Receiver
from oobconsole.devices.uart16550_receiver import FIFO_SIZE as FIFO_SIZE
from oobconsole.devices.uart16550_receiver import TRIGGER_LEVELS as TRIGGER_LEVELS
from oobconsole.devices.uart16550_registers import Fcr as Fcr
from oobconsole.devices.uart16550_registers import Ier as Ier
from oobconsole.devices.uart16550_registers import Iir as Iir
from oobconsole.devices.uart16550_registers import Lcr as Lcr
from oobconsole.devices.uart16550_registers import LineEvent as LineEvent
from oobconsole.devices.uart16550_registers import Lsr as Lsr
from oobconsole.devices.uart16550_registers import Mcr as Mcr
from oobconsole.devices.uart16550_registers import Msr as Msr
from oobconsole.devices.uart16550_registers import Reg as Reg

#: The `speed` of a line that is no wire: what a guest sends is there at once, and so is what it receives. A character
#: timeout of 4.2 ms, at 9600 baud, would then do nothing but delay each key.
LINE_SPEED: Final = 64

# IntFlag arithmetic costs more than a register access may: plain integers where it counts.
_DLAB, _LOOP, _OUT2 = int(Lcr.DLAB), int(Mcr.LOOP), int(Mcr.OUT2)


def _nothing(*_: object) -> None:
    """An event that nobody wants to hear of."""


class Uart16550(Device):
    """One 16550A.

    Args:
        transmit: gets the bytes that the guest puts on the line.
        irq: gets the level of the interrupt line whenever it changes.
        clock: a monotonic time in ns, for the character timeout.
        drained: called when `room` has grown.
        line_event: called when break, modem outputs or format of the line have changed.
        timed: called when `next_deadline` may have come nearer.
        used: called once after each reset, when the guest first reads a register, or writes THR or IER: by then it
            has set its FIFOs, if it is going to.
        speed: so many times faster than the guest has programmed is the line.
        first: number of the first character that will be received (`held`).
    """

    sizes: ClassVar = (8,)
    outputs: ClassVar = 1
    posted: ClassVar = tuple(range(8))  # what a write does, a native half knows as well (uart.c)
    shadow: ClassVar = "uart"

    def __init__(
        self,
        *,
        transmit: Callable[[bytes], object],
        irq: Callable[[bool], object],
        clock: Callable[[], int],
        drained: Callable[[], object] = _nothing,
        line_event: Callable[[LineEvent], object] = _nothing,
        timed: Callable[[], object] = _nothing,
        used: Callable[[], object] = _nothing,
        speed: int = 1,
        first: int = 0,
    ) -> None:
        self._transmit = transmit
        self._irq = irq
        self._drained = drained
        self._line_event = line_event
        self._timed = timed
        self._used = used
        self._speed = speed
        self._receiver = Receiver(clock, first)
        self._modem = Modem()
        self._interrupts = Interrupts(self._receiver, self._modem)
        self._level = False
        self._outputs = 0
        self._power_on()

    def _power_on(self) -> None:
        self._in_use = False
        self._scr = 0
        self._interrupts.reset()
        self._receiver.empty()
        self._receiver.fcr = self._receiver.overrun = 0
        self._modem.reset()
        self._format = Format()
        self._time_format()

    def reset(self) -> None:
        """Master reset (MR pin): registers and FIFOs; the far side's modem lines stay."""
        self._power_on()
        self._update()
        self._drive()
        self._drained()

    # -- what the guest does ------------------------------------------------------------------------

    def read(self, register: int) -> int:
        """Return what the guest reads from a register (0-7)."""
        if not self._in_use:
            self._use()
        return _READERS[register](self)

    def write(self, register: int, value: int) -> None:
        """Serve the guest's write of `value` (0-255) to a register (0-7)."""
        _WRITERS[register](self, value)
        if not self._in_use and register < 2 and not self.divisor_latch:
            self._use()

    def _use(self) -> None:
        self._in_use = True
        self._used()

    def write_block(self, register: int, data: bytes) -> None:
        """Serve one `write` for every byte of `data`, in order; a block to THR is one `transmit`, one edge."""
        if data and register == 0 and not self._format.lcr & _DLAB and not self._modem.mcr & _LOOP:
            self._load_thr()
            self._update()
            self._transmit(data)
            if not self._in_use:
                self._use()
            return
        for value in data:
            self.write(register, value)

    def peek(self, register: int) -> int | None:
        """Return what `read` would, if and only if reading has no side effect now; else None.

        Only tests peek: they compare all registers with those of another UART after each step.
        """
        if register == 0 and not self.divisor_latch and self._receiver.characters:
            return None
        if register == 2 and self._interrupts.pending() == THR_EMPTY:
            return None
        if (register == 5 and self._receiver.errors()) or (register == 6 and self._modem.deltas):
            return None
        return _READERS[register](self)

    def ahead(self) -> Ahead:
        """Return one image for each received character, and one for the empty receiver behind them."""
        return ahead(self._interrupts, self._format.lcr, self._scr)

    def served(self, register: int, value: int, number: int) -> None:
        """Reading IIR has ended THRE; reading LSR, the errors that it showed; reading MSR, its deltas."""
        if not self._in_use:
            self._use()
        count = (number - self._receiver.number) & 0xFFFFFFFF
        if 0 < count <= len(self._receiver.characters):  # else it is no news
            self._take(count)
        if register == 2 and value & 0x0F == THR_EMPTY:
            self._interrupts.thr_empty = False
        elif register == 5:
            self._receiver.end_errors(value)
        elif register == 6:
            self._modem.deltas &= ~value
        self._update()

    @property
    def divisor_latch(self) -> bool:
        """Are the first two registers the divisor now (DLAB)?"""
        return bool(self._format.lcr & _DLAB)

    def _read_rbr(self) -> int:
        if self._format.lcr & _DLAB:
            return self._format.divisor & 0xFF
        if not self._receiver.characters:
            return 0
        value = self._receiver.characters[0] & 0xFF
        self._take(1)
        return value

    def _take(self, count: int) -> None:
        self._receiver.take(count)
        self._timed()
        self._update()
        if not self._modem.mcr & _LOOP:
            self._drained()

    def _write_thr(self, value: int) -> None:
        if self._format.lcr & _DLAB:
            self._set_divisor((self._format.divisor & 0xFF00) | value)
            return
        self._load_thr()
        if self._modem.mcr & _LOOP:
            self._receiver.receive(value)
            self._timed()
            self._update()
        else:
            self._update()
            self._transmit(bytes((value,)))

    def _load_thr(self) -> None:
        """Loading THR ends its interrupt, which comes back as the byte leaves: the line falls and rises,
        and an edge-triggered interrupt controller sees it."""
        if self._level and self._interrupts.thr_empty:
            self._interrupts.thr_empty = False
            self._update()
        self._interrupts.thr_empty = True

    def _read_ier(self) -> int:
        return self._format.divisor >> 8 if self._format.lcr & _DLAB else self._interrupts.ier

    def _write_ier(self, value: int) -> None:
        if self._format.lcr & _DLAB:
            self._set_divisor((self._format.divisor & 0xFF) | value << 8)
            return
        self._interrupts.enable(value)
        self._update()

    def _read_iir(self) -> int:
        pending = self._interrupts.pending()
        if pending == THR_EMPTY:
            self._interrupts.thr_empty = False
            self._update()
        return pending | (FIFOS_ON if self._receiver.fcr & 1 else 0)

    def _write_fcr(self, value: int) -> None:
        if (value ^ self._receiver.fcr) & Fcr.ENABLE:
            value |= Fcr.RESET_RX | Fcr.RESET_TX
        self._receiver.fcr = int(value & (Fcr.ENABLE | Fcr.DMA | Fcr.TRIGGER))
        if value & Fcr.RESET_TX:
            self._interrupts.thr_empty = True
        if value & Fcr.RESET_RX:
            self._receiver.empty()
        self._update()
        if value & Fcr.RESET_RX:
            self._drained()

    def _read_lcr(self) -> int:
        return self._format.lcr

    def _write_lcr(self, value: int) -> None:
        changed = value ^ self._format.lcr
        self._format.lcr = value
        self._drive()
        if changed & Lcr.FORMAT:
            self._format_changed()

    def _set_divisor(self, divisor: int) -> None:
        if divisor != self._format.divisor:
            self._format.divisor = divisor
            self._format_changed()

    def _format_changed(self) -> None:
        self._time_format()
        self._line_event(LineEvent.FORMAT)

    def _time_format(self) -> None:
        """Four character times at the programmed rate and format (section 8.4.3)."""
        line = self._format
        self._receiver.timeout_ns = int(4 * line.bits * 1_000_000_000 / (line.baud * self._speed))

    def _read_mcr(self) -> int:
        return self._modem.mcr

    def _write_mcr(self, value: int) -> None:
        was_cut_off = self._modem.mcr & _LOOP
        self._modem.change(mcr=value & 0x1F, lines=self._modem.lines)
        self._update()
        self._drive()
        if was_cut_off and not value & _LOOP:
            self._drained()

    def _read_lsr(self) -> int:
        status = self._receiver.status()
        if status & LINE_ERRORS:
            self._receiver.end_errors(status)
            self._update()
        return IDLE | status

    def _read_msr(self) -> int:
        value = self._modem.inputs() | self._modem.deltas
        if self._modem.deltas:
            self._modem.deltas = 0
            self._update()
        return value

    def _read_scr(self) -> int:
        return self._scr

    def _write_scr(self, value: int) -> None:
        self._scr = value

    def _ignore(self, value: int) -> None:
        """LSR and MSR are read-only (the datasheet: writing LSR is for factory testing)."""

    # -- what the far side does ---------------------------------------------------------------------

    @property
    def room(self) -> int:
        """How many bytes `feed` would accept now. In loopback the line is cut off (section 8.6)."""
        return 0 if self._modem.mcr & _LOOP else self._receiver.room

    def feed(self, data: bytes) -> int:
        """Receive from the line; returns how many bytes were accepted, the rest must wait."""
        accepted = data[: self.room]
        if accepted:
            self._receiver.receive_block(accepted)
            self._timed()
            self._update()
        return len(accepted)

    def receive_break(self) -> bool:
        """Receive a break: a zero character with BI (section 8.3, bit 4). False: no room, try when drained."""
        if not self.room:
            return False
        self._receiver.receive(BREAK)
        self._timed()
        self._update()
        return True

    def set_modem_lines(self, *, cts: bool, dsr: bool, ri: bool, dcd: bool) -> None:
        """Drive the four inputs from the far side.

        A console has no far side that drives them, so CTS, DSR and DCD are always on. Only tests drive them, to show
        that the registers are those of a 16550.
        """
        lines = (Msr.CTS if cts else 0) | (Msr.DSR if dsr else 0) | (Msr.RI if ri else 0) | (Msr.DCD if dcd else 0)
        self._modem.change(mcr=self._modem.mcr, lines=int(lines))
        self._update()

    def next_deadline(self) -> int | None:
        """When, in ns of the clock, `poll` has something to do; None for never."""
        return self._receiver.deadline

    def poll(self) -> None:
        """Let time pass: raise the character timeout when it is due (section 8.4.3)."""
        if self._receiver.expire():
            self._update()

    # -- what follows from it -----------------------------------------------------------------------

    @property
    def irq_level(self) -> bool:
        """Level of the interrupt line, as OUT2 lets it pass."""
        return bool(self._modem.mcr & _OUT2) and self._interrupts.pending() != NONE

    def _update(self) -> None:
        level = self.irq_level
        if level != self._level:
            self._level = level
            self._irq(level)

    def _drive(self) -> None:
        """Break, DTR and RTS as the line has them: in loopback it is idle (section 8.6)."""
        lcr, mcr = self._format.lcr, self._modem.mcr
        outputs = 0 if mcr & _LOOP else int(lcr & Lcr.BREAK | mcr & (Mcr.DTR | Mcr.RTS))
        changed = outputs ^ self._outputs
        self._outputs = outputs
        if changed & Lcr.BREAK:
            self._line_event(LineEvent.BREAK_ON if outputs & Lcr.BREAK else LineEvent.BREAK_OFF)
        if changed & (Mcr.DTR | Mcr.RTS):
            self._line_event(LineEvent.MODEM)

    @property
    def baud(self) -> float:
        """Programmed rate in bit/s, of a 1.8432 MHz clock (table 3)."""
        return self._format.baud

    @property
    def modem_control(self) -> Mcr:
        """DTR and RTS as the far side sees them. Only tests look at them: a console does nothing about them."""
        return Mcr(self._outputs & (Mcr.DTR | Mcr.RTS))


_READERS: Final = (
    Uart16550._read_rbr,
    Uart16550._read_ier,
    Uart16550._read_iir,
    Uart16550._read_lcr,
    Uart16550._read_mcr,
    Uart16550._read_lsr,
    Uart16550._read_msr,
    Uart16550._read_scr,
)
_WRITERS: Final = (
    Uart16550._write_thr,
    Uart16550._write_ier,
    Uart16550._write_fcr,
    Uart16550._write_lcr,
    Uart16550._write_mcr,
    Uart16550._ignore,
    Uart16550._ignore,
    Uart16550._write_scr,
)
