"""A UART with its surroundings."""

from __future__ import annotations

from oobconsole.devices.uart16550 import Fcr, Iir, LineEvent, Mcr, Reg, Uart16550


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


def in_use() -> Bench:
    """As a driver leaves it: FIFOs on, all interrupts enabled, OUT2 set, THRE seen."""
    bench = Bench()
    bench.program((Reg.FCR, Fcr.ENABLE), (Reg.MCR, Mcr.OUT2), (Reg.IER, 0x0F))
    assert bench.iir() == Iir.THRI
    return bench
