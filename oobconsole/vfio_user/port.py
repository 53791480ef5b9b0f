"""One port of the device, in the keeper: a UART, what it printed last, and what is typed for it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from oobconsole.devices.uart16550 import LINE_SPEED, Uart16550
from oobconsole.vfio_user.backlog import Backlog

#: What is kept of the output, in bytes.
BACKLOG_MAX: Final = 65536
#: Input that waits for the guest, in bytes: what a server may send without being told that some was taken. What one
#: before it has sent may wait as well.
INPUT_MAX: Final = 4096
#: The same of breaks.
BREAKS_MAX: Final = 16


class Port:
    """A port.

    Args:
        irq: gets the level of its interrupt.

    Attributes:
        backlog: its newest output.
        taken, breaks_taken: bytes of input, and breaks, that the UART has accepted and nobody has been told of.
    """

    def __init__(self, irq: Callable[[bool], object]) -> None:
        self.backlog = Backlog(BACKLOG_MAX)
        self.taken = self.breaks_taken = 0
        self._input: deque[bytes | None] = deque()  # None: a break
        self.uart = Uart16550(
            transmit=self.backlog.append,
            irq=irq,
            clock=time.monotonic_ns,
            drained=self._drained,
            speed=LINE_SPEED,
        )

    def read(self, offset: int) -> int:
        """What the guest reads from a register."""
        return self.uart.read(offset)

    def write(self, offset: int, data: bytes) -> None:
        """One write to a register for every byte."""
        self.uart.write_block(offset, data)

    @property
    def waiting(self) -> int:
        """Bytes of input that the UART has not accepted."""
        return sum(len(data) for data in self._input if data is not None)

    def type(self, data: bytes) -> None:
        """Input, behind what waits already."""
        self._input.append(data)
        self._drained()

    def forget_input(self) -> None:
        """What was typed for the guest before is not for the next."""
        self.taken += self.waiting
        self.breaks_taken += self.breaks
        self._input.clear()

    @property
    def breaks(self) -> int:
        """Break conditions that the UART has not accepted."""
        return self._input.count(None)

    def send_break(self) -> bool:
        """A break condition, behind what waits already. False, and it is none, where `BREAKS_MAX` wait."""
        if self.breaks >= BREAKS_MAX:
            return False
        self._input.append(None)
        self._drained()
        return True

    def reset(self) -> None:
        """Master reset; what waits to be typed goes on waiting."""
        self.uart.reset()

    @property
    def deadline(self) -> int | None:
        """When `poll` has something to do, in ns of `time.monotonic_ns`; None: never."""
        return self.uart.next_deadline()

    def poll(self) -> None:
        """Let the character timeout come."""
        self.uart.poll()

    def _drained(self) -> None:
        while self._input and (first := self._input[0]) is not None:
            count = self.uart.feed(first)
            self.taken += count
            if count < len(first):
                self._input[0] = first[count:]
                break
            self._input.popleft()
        else:
            if self._input and self.uart.receive_break():
                self._input.popleft()
                self.breaks_taken += 1
                self._drained()
