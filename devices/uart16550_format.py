"""The line format of a 16550A: what LCR and the divisor say, and how long a character takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from oobconsole.devices.uart16550_registers import Lcr

#: Reset: 9600 baud of the 1.8432 MHz crystal, as QEMU has it; the datasheet leaves the divisor open.
RESET_DIVISOR: Final = 12
#: In bit/s, as QEMU has it; the datasheet begins with a divisor of 1.
BAUD_OF_DIVISOR_0: Final = 3500
_PARITY, _STOP = int(Lcr.PARITY), int(Lcr.STOP)


@dataclass(slots=True)
class Format:
    """The line format of one UART.

    Attributes:
        lcr: the line control register.
        divisor: of 115,200 bit/s.
    """

    lcr: int = 0
    divisor: int = RESET_DIVISOR

    @property
    def baud(self) -> float:
        """The programmed rate in bit/s, of a 1.8432 MHz clock (PC16550D datasheet, table 3)."""
        return 115_200 / self.divisor if self.divisor else BAUD_OF_DIVISOR_0

    @property
    def bits(self) -> int:
        """The bits of one character on the line, with start bit, parity and stop bits."""
        return 1 + 5 + (self.lcr & 3) + bool(self.lcr & _PARITY) + (2 if self.lcr & _STOP else 1)
