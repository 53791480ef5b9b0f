"""One port of the device, in the keeper: a UART, what it has printed last, and what is typed for it."""

from __future__ import annotations

import time
from collections import deque
from typing import Final

from oobconsole.devices.bus import Slot
from oobconsole.devices.uart16550 import LINE_SPEED, Uart16550
from oobconsole.vfio_user.backlog import Backlog

#: How many bytes of the output are kept.
BACKLOG_MAX: Final = 65536
#: How many bytes of input may wait for the guest: so many may a server send without being told that some were taken.
#: As many of an earlier server may wait besides.
INPUT_MAX: Final = 4096
#: How many breaks may wait for the guest.
BREAKS_MAX: Final = 16


class Port:
    """A port.

    Args:
        slot: where the guest finds the UART, which is plugged in there.

    Attributes:
        backlog: the newest output.
        taken, breaks_taken: how many bytes of input, and how many breaks, the UART has taken since a server was told
            last.
    """

    def __init__(self, slot: Slot) -> None:
        self.backlog = Backlog(BACKLOG_MAX)
        self.taken = self.breaks_taken = 0
        self._input: deque[bytes | None] = deque()  # None: a break
        self.uart = Uart16550(
            transmit=self.backlog.append,
            irq=slot.outputs[0],
            clock=time.monotonic_ns,
            drained=self._drained,
            speed=LINE_SPEED,
        )
        slot.plug(self.uart)

    @property
    def waiting(self) -> int:
        """How many bytes of input the UART has not taken."""
        return sum(len(data) for data in self._input if data is not None)

    def type(self, data: bytes) -> None:
        """Add input behind what waits already."""
        self._input.append(data)
        self._drained()

    def forget_input(self) -> None:
        """Drop the input that waits: it was typed for the guest before, and not for the next one."""
        self.taken += self.waiting
        self.breaks_taken += self.breaks
        self._input.clear()

    @property
    def breaks(self) -> int:
        """How many breaks the UART has not taken."""
        return self._input.count(None)

    def send_break(self) -> bool:
        """Add a break behind what waits already. Returns False if `BREAKS_MAX` wait; then no break is sent."""
        if self.breaks >= BREAKS_MAX:
            return False
        self._input.append(None)
        self._drained()
        return True

    def reset(self) -> None:
        """Reset the UART. What waits to be typed goes on waiting."""
        self.uart.reset()

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
