"""The modem interface of a 16550A: four inputs, which MSR shows, and the outputs that MCR drives.

In loopback the four outputs stand in for the four inputs, and the far side is cut off (section 8.6 of the PC16550D
datasheet, June 1995).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from oobconsole.devices.uart16550_registers import Mcr, Msr

#: A terminal that is there: CTS, DSR and DCD.
CONNECTED: Final = int(Msr.CTS | Msr.DSR | Msr.DCD)
_LOOP: Final = int(Mcr.LOOP)


@dataclass(slots=True)
class Modem:
    """The modem interface of one UART.

    Attributes:
        lines: the inputs as the far side drives them, in bits 7-4 as in MSR.
        mcr: the modem control register.
        deltas: bits 3-0 of MSR, which say what has changed since the guest has read MSR.
    """

    lines: int = CONNECTED
    mcr: int = 0
    deltas: int = 0

    def reset(self) -> None:
        """Be as after power-on. What the far side drives stays as it is."""
        self.mcr = self.deltas = 0

    def inputs(self) -> int:
        """Bits 7-4 of MSR."""
        mcr = self.mcr
        if mcr & _LOOP:
            return (mcr & 0x0C) << 4 | (mcr & 0x01) << 5 | (mcr & 0x02) << 3
        return self.lines

    def change(self, *, mcr: int, lines: int) -> None:
        """The guest has written MCR, or the far side drives its lines otherwise."""
        before = self.inputs()
        self.mcr, self.lines = mcr, lines
        after = self.inputs()
        changed = (before ^ after) >> 4
        if after & Msr.RI:
            changed &= ~Msr.TERI  # only the end of RI counts
        self.deltas |= int(changed)
