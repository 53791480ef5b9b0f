"""One UART of a running guest, and the console to which it is connected.

The UART belongs to a context, and the console belongs to a guest of the configuration. It may be found out late which
guest a context is, and the answer may change. So a UART also works without a console, and may get another console.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Final

from oobconsole.console.console import Console
from oobconsole.console.ringbuffer import RingBuffer
from oobconsole.devices.bus import Slot
from oobconsole.devices.device import Resources
from oobconsole.devices.uart16550 import LINE_SPEED, Uart16550
from oobconsole.interceptors.base import Context
from oobconsole.recording.recorder import Recorder

#: How much output is kept while there is no console for it, in bytes.
UNSEEN_MAX: Final = 65536


class SerialPort:
    """A UART in a slot of a context's bus.

    Args:
        changed: called when input has changed registers, without an access of the guest.
        timed: called when the next deadline of the UART may have come nearer.

    Attributes:
        slot: the slot of the bus in which the UART is.
        console: gets what the guest prints, and gives what people type; None: it is not known yet.
        received: how many bytes the context has printed so far, with those that were lost on the way.
        known: whether this server, or one before it, has seen the context before, with the console that it has now.
    """

    def __init__(
        self, slot: Slot, context: Context, *, changed: Callable[[], object], timed: Callable[[], object]
    ) -> None:
        self.console: Console | None = None
        self.received = 0
        self.known = False
        self.slot = slot
        self._context = context
        self._changed = changed
        self._recorder: Recorder | None = None
        self._in_use = False  # it is known how the guest has set its receiver
        self._shown = 0  # the output before this offset has been given to a console, or was recorded
        self._unseen = RingBuffer(UNSEEN_MAX)
        self.uart = Uart16550(
            transmit=self._print,
            irq=slot.outputs[0],
            clock=time.monotonic_ns,
            drained=self._drained,
            timed=timed,
            used=self._used,
            speed=LINE_SPEED,
            first=secrets.randbits(32),  # differs from the numbers of an earlier server (docs/wire-protocol.md)
        )
        slot.plug(self.uart)

    @property
    def resources(self) -> Resources:
        """The ports and interrupt lines at which the guest finds the UART."""
        return self.slot.resources

    @property
    def port(self) -> int:
        """The UART's first I/O port."""
        return self.slot.first

    # -- its console --------------------------------------------------------------------------------

    def attach(self, console: Console, recorder: Recorder | None) -> None:
        """Connect this context with a console, and with what records the console. No byte passes before `connect`, so
        that people are told first whose output comes."""
        self.console = console
        self._recorder = recorder
        recorded = recorder.bind(self._context.instance, self._context.number) if recorder is not None else None
        self.known = recorded is not None
        if recorder is not None and recorded is None and self._shown:
            recorder.adopt(self._context.instance, self._context.number, self._shown)
        self._shown = max(self._shown, recorded or 0)
        self.received = max(self.received, self._shown)

    def record(self, recorder: Recorder | None) -> None:
        """Say what records the console. If the recorder comes late, it is told how much it has missed."""
        before, self._recorder = self._recorder, recorder
        if before is None and recorder is not None:
            recorder.adopt(self._context.instance, self._context.number, self.received)

    def connect(self) -> None:
        """Give the console what was printed meanwhile, and the guest what is typed.

        A guest that ran before the server did gets nothing yet. Why? The server learns how the guest's FIFOs are set
        only when the guest writes to the FIFO control register, and such a write also empties the FIFOs.
        """
        if self.console is None:
            return
        unseen = self._unseen
        if unseen.end > self._shown:
            lost = max(0, unseen.start - self._shown)
            if lost:
                self.console.gap(lost)
            self.console.output(unseen.read(self._shown + lost, UNSEEN_MAX).data)
        self._unseen.restart(self.received, b"")
        self._shown = self.received
        if self._in_use:
            self.console.bind(self.feed, self.send_break)

    def disconnect(self) -> None:
        """The guest cannot be reached now, so typed text waits."""
        if self.console is not None:
            self.console.bind(None)

    def detach(self) -> None:
        """Separate this context from its console, and from what records it."""
        self.disconnect()
        if self._recorder is not None:
            self._recorder.unbind()
        self.console = self._recorder = None
        self.known = False
        self._shown = self.received
        self._unseen.restart(self.received, b"")

    def feed(self, data: bytes) -> int:
        """Give input to the UART. Returns how many bytes the receiver has taken."""
        taken = self.uart.feed(data)
        if taken:
            self._changed()
        return taken

    def send_break(self) -> bool:
        """Give a break condition to the UART. Returns False if the receiver has no room for it now."""
        taken = self.uart.receive_break()
        if taken:
            self._changed()
        return taken

    # -- its guest ----------------------------------------------------------------------------------

    def gap(self, lost: int) -> None:
        """`lost` bytes of output will never arrive."""
        self.received += lost
        if self.console is not None:
            self.console.gap(lost)
        else:
            self._unseen.restart(self.received, b"")  # the output before the gap is dropped as well

    def _print(self, data: bytes) -> None:
        self.received += len(data)
        if self.console is not None:
            self.console.output(data)
        else:
            self._unseen.append(data)

    def _drained(self) -> None:
        if self.console is not None:
            self.console.pump()

    def _used(self) -> None:
        self._in_use = True
        self.connect()
