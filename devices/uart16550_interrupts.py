"""The interrupts of a 16550A: which of them are enabled, and which one IIR shows.

The table that is named is that of the PC16550D datasheet (June 1995).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from oobconsole.devices.uart16550_modem import Modem
from oobconsole.devices.uart16550_receiver import Receiver
from oobconsole.devices.uart16550_registers import Ier

#: Bits 3-0 of IIR: the kinds of interrupts, from the highest priority to the lowest (table 4).
LINE_STATUS: Final = 0x06
TIMEOUT: Final = 0x0C
RECEIVED: Final = 0x04
THR_EMPTY: Final = 0x02
MODEM_STATUS: Final = 0x00
NONE: Final = 0x01

# IntFlag arithmetic costs more than a register access may: plain integers where it counts.
_RDI, _THRI, _RLSI, _MSI = int(Ier.RDI), int(Ier.THRI), int(Ier.RLSI), int(Ier.MSI)


@dataclass(slots=True)
class Interrupts:
    """The interrupts of one UART. Most of them are not stored: they follow from the receiver and the modem's lines.

    Attributes:
        receiver, modem: the parts of the UART whose state is asked for.
        ier: the interrupt enable register, bits 3-0.
        thr_empty: the interrupt of an empty THR is pending. It does not follow from anything else, because THR is
            always empty here, and the interrupt ends when the guest has read IIR.
    """

    receiver: Receiver
    modem: Modem
    ier: int = 0
    thr_empty: bool = False

    def reset(self) -> None:
        """Be as after power-on."""
        self.ier = 0
        self.thr_empty = False

    def enable(self, ier: int) -> None:
        """The guest has written IER. THR is always empty, so enabling its interrupt asks for it at once."""
        if (ier ^ self.ier) & _THRI:
            self.thr_empty = bool(ier & _THRI)
        self.ier = ier & 0x0F

    def pending(self) -> int:
        """Return bits 3-0 of IIR: the highest interrupt that is pending and enabled."""
        receiver = self.receiver
        held = len(receiver.characters)
        errors = receiver.errors() if held else receiver.overrun
        return self.highest(held, errors, receiver.timed_out)

    def highest(self, held: int, errors: int, timeout: bool) -> int:
        """Return bits 3-0 of IIR for another state of the receiver (table 4).

        Args:
            held: how many characters are in the receiver.
            errors: the errors of the character that is read next.
            timeout: whether the character timeout has come.
        """
        ier = self.ier
        if ier & _RLSI and errors:
            return LINE_STATUS
        if ier & _RDI:
            if timeout:
                return TIMEOUT
            if held and held >= self.receiver.threshold:
                return RECEIVED
        if ier & _THRI and self.thr_empty:
            return THR_EMPTY
        if ier & _MSI and self.modem.deltas:
            return MODEM_STATUS
        return NONE
