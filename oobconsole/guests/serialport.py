"""One UART of a guest that runs, and the console that it is connected to.

The UART belongs to a context, the console to a guest of the configuration. Which guest a context is may be found out
late, or turn out to be another one: so a UART works without a console, too, and may get another.
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

#: What is kept of the output while there is no console for it, in bytes.
UNSEEN_MAX: Final = 65536


class SerialPort:
    """A UART in a slot of a context's bus.

    Args:
        changed: called when input has changed registers, without an access of the guest.
        timed: called when the next deadline of the UART may have come nearer.

    Attributes:
        slot: where it is.
        console: what is printed goes there, and what is typed comes from there; None: it is not known yet.
        received: bytes of the context's output so far, those that were lost on the way included.
        known: had we, or a server before us, the context before, with the console that it has now?
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
        self._in_use = False  # how the guest has set its receiver is known
        self._shown = 0  # so much of the output another console has, or had
        self._unseen = RingBuffer(UNSEEN_MAX)
        self.uart = Uart16550(
            transmit=self._print,
            irq=slot.outputs[0],
            clock=time.monotonic_ns,
            drained=self._drained,
            timed=timed,
            used=self._used,
            speed=LINE_SPEED,
            first=secrets.randbits(32),  # not what the server before us counted (docs/wire-protocol.md)
        )
        slot.plug(self.uart)

    @property
    def resources(self) -> Resources:
        """Where the guest finds it."""
        return self.slot.resources

    @property
    def port(self) -> int:
        """Its first I/O port."""
        return self.slot.first

    # -- its console --------------------------------------------------------------------------------

    def attach(self, console: Console, recorder: Recorder | None) -> None:
        """The console, and what records it, are this context's from now on. Nothing goes to or fro before `connect`,
        so that people are told first whose output it is."""
        self.console = console
        self._recorder = recorder
        recorded = recorder.bind(self._context.instance, self._context.number) if recorder is not None else None
        self.known = recorded is not None
        if recorder is not None and recorded is None and self._shown:
            recorder.adopt(self._context.instance, self._context.number, self._shown)
        self._shown = max(self._shown, recorded or 0)
        self.received = max(self.received, self._shown)

    def record(self, recorder: Recorder | None) -> None:
        """Say what records the console; a recorder that comes late is told how much it has missed."""
        before, self._recorder = self._recorder, recorder
        if before is None and recorder is not None:
            recorder.adopt(self._context.instance, self._context.number, self.received)

    def connect(self) -> None:
        """Show what was printed meanwhile, and let the guest have what is typed. A guest that ran before the server
        did tells how its FIFOs are set by writes that empty them: it gets nothing before these."""
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
        """The guest cannot be reached: what is typed waits."""
        if self.console is not None:
            self.console.bind(None)

    def detach(self) -> None:
        """The console is not this context's any more."""
        self.disconnect()
        if self._recorder is not None:
            self._recorder.unbind()
        self.console = self._recorder = None
        self.known = False
        self._shown = self.received
        self._unseen.restart(self.received, b"")

    def feed(self, data: bytes) -> int:
        """Input from the console; returns how many bytes the receiver took."""
        taken = self.uart.feed(data)
        if taken:
            self._changed()
        return taken

    def send_break(self) -> bool:
        """A break condition on the line; False while the receiver has no room for it."""
        taken = self.uart.receive_break()
        if taken:
            self._changed()
        return taken

    # -- its guest ----------------------------------------------------------------------------------

    def gap(self, lost: int) -> None:
        """So many bytes of output will never come."""
        self.received += lost
        if self.console is not None:
            self.console.gap(lost)
        else:
            self._unseen.restart(self.received, b"")  # what came before is as good as lost

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
