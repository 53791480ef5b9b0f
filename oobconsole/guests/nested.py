"""One machine (an L1) and its guests: each guest wired from interceptor to device to console."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import Callable
from typing import Final

import structlog

from devices.uart16550 import Uart16550
from oobconsole.config.guests import ConsoleConfig, GuestConfig, MachineConfig, UartConfig
from oobconsole.console.console import NEW_GUEST, Console, ConsoleState
from oobconsole.guests.absence import Absence
from oobconsole.guests.guest import Guest as ListedGuest
from oobconsole.guests.guest import Listing
from oobconsole.interceptors.base import Context, Input, Interceptor, PortHandler, Publication
from oobconsole.log.log import LogLimit
from oobconsole.power.power import CommandPower
from oobconsole.recording.recorder import Recorder

log = structlog.get_logger(__name__)

_ABSENT: Final = 0xFF
_DATA: Final = 0  # RBR and THR: only their accesses move the character timeout
#: THR and IER: a guest that writes these has set its FIFOs, if it is going to.
_USED: Final = (0, 1)
#: The line between a console and its UART is as fast as memory, whatever baud rate the guest programs: the UART's
#: time runs faster than ours, so that its character timeout (4.2 ms at 9600 baud) does not delay a key.
LINE_SPEED: Final = 64
_PUBLISHED: Final = (2, 5, 6)  # IIR, LSR, MSR: what a driver reads again and again


def _line_clock() -> int:
    return time.monotonic_ns() * LINE_SPEED


#: Guests that went within so many seconds went together, as when their machine was started again: they take their
#: names again in the order of the configuration.
TOGETHER_SECONDS: Final = 1.0
#: Lines a minute to the log about a machine's guests that come and go.
LOG_LINES: Final = 60


class _Port:
    """A UART of a guest, and its console."""

    def __init__(self, guest: Guest, config: UartConfig, console: Console) -> None:
        self.guest = guest
        self.base = config.port
        self.line = config.irq
        self.console = console
        self.recorder: Recorder | None = None
        self.received = 0  # bytes of its context's output, lost ones included
        self.known = False  # had we, or a server before us, the context before?
        self._closed = True  # to input: how the guest has programmed its receiver is not known yet
        self._timer: asyncio.TimerHandle | None = None
        self.uart = Uart16550(
            transmit=self._transmit,
            irq=self._irq,
            clock=_line_clock,
            drained=console.pump,
            first=secrets.randbits(32),  # not what the server before us counted (docs/wire-protocol.md)
        )

    def read(self, offset: int) -> int:
        """What the guest reads from a register."""
        if self._closed:
            self._open()
        value = self.uart.read(offset)
        if offset == _DATA:
            self.watch_timeout()
        return value

    def write(self, offset: int, data: bytes) -> None:
        """One write to a register for every byte."""
        self.uart.write_block(offset, data)
        if self._closed and offset in _USED and not self.uart.divisor_latch:
            self._open()
        if offset == _DATA:
            self.watch_timeout()

    def _open(self) -> None:
        self._closed = False
        self.connect()

    def connect(self) -> None:
        """Let the guest have what is typed. Whoever serves a guest that runs already learns how its FIFOs are set by
        writes that would empty them: not before these."""
        if not self._closed:
            self.console.bind(self.feed, self.send_break)

    def feed(self, data: bytes) -> int:
        """Input from the console."""
        taken = self.uart.feed(data)
        if taken:
            self.watch_timeout()
            self.guest.changed()
        return taken

    def send_break(self) -> bool:
        """A break condition on the line; False while the FIFO has no room for it."""
        taken = self.uart.receive_break()
        if taken:
            self.watch_timeout()
            self.guest.changed()
        return taken

    def reset(self, context: Context) -> None:
        """Another guest's from now on, or one's that had it when the server was here last."""
        known = self.recorder.bind(context.instance, context.number) if self.recorder else None
        self.known = known is not None
        self.received = known or 0
        self._closed = True
        self.uart.reset()

    def gap(self, lost: int) -> None:
        """So many bytes of output will never come."""
        self.received += lost
        self.console.gap(lost)

    def _transmit(self, data: bytes) -> None:
        self.received += len(data)
        self.console.output(data)

    def publication(self) -> Publication:
        """IIR, LSR and MSR, as far as reading them has no side effect."""
        uart = self.uart
        valid = after_thr = 0
        values = bytearray(8)
        for offset in _PUBLISHED:
            value = uart.peek(offset)
            if value is not None:
                valid |= 1 << offset
                values[offset] = value
                if uart.survives_write(offset):
                    after_thr |= 1 << offset
        return Publication(self.base, valid, after_thr, bytes(values))

    def _irq(self, level: bool) -> None:
        self.guest.drive(self.line, level)

    def watch_timeout(self) -> None:
        """Let the character timeout come. What puts it off sets no new timer: the one there looks again."""
        deadline = self.uart.next_deadline()
        if deadline is None or self._timer is not None:
            return
        delay = max(0, deadline - _line_clock()) / LINE_SPEED / 1e9
        self._timer = asyncio.get_running_loop().call_later(delay, self._timeout)

    def _timeout(self) -> None:
        self._timer = None
        self.uart.poll()
        self.watch_timeout()


class Guest(PortHandler):
    """One L2: serves the ports that its configuration names."""

    def __init__(
        self, config: GuestConfig, interceptor: Interceptor, *, scrollback: int, defaults: ConsoleConfig
    ) -> None:
        self.name = config.name
        settings = defaults.with_own(config.console)
        self.context: Context | None = None
        self.left = -math.inf  # when its last context went, by `time.monotonic`
        self._told = False  # whoever waits at its consoles was told where another guest has appeared
        self._absence = Absence(self._missed, lambda: interceptor.connecting)
        self._interceptor = interceptor
        self._ports = [
            _Port(self, uart, Console(name, scrollback=scrollback, settings=settings))
            for name, uart in zip(config.console_names, config.uarts, strict=True)
        ]
        self._by_port = {p.base + offset: (p, offset) for p in self._ports for offset in range(8)}
        for port in self._ports:
            port.console.on_attended(self._attended)

    @property
    def consoles(self) -> list[Console]:
        """One for each UART, in the order of the configuration."""
        return [port.console for port in self._ports]

    # -- PortHandler --------------------------------------------------------------------------------

    def read(self, port: int, size: int) -> int:
        if size > 1:  # the registers are bytes on an 8-bit bus: a wider access is several, lowest port first
            return sum(self.read(port + i, 1) << 8 * i for i in range(size))
        found = self._by_port.get(port)
        return found[0].read(found[1]) if found else _ABSENT

    def write(self, port: int, size: int, value: int) -> None:
        for i in range(size):
            self.write_block(port + i, bytes((value >> 8 * i & 0xFF,)))

    def write_block(self, port: int, data: bytes) -> None:
        found = self._by_port.get(port)
        if found:
            found[0].write(found[1], data)

    def thre_served(self, port: int) -> None:
        found = self._by_port.get(port)
        if found:
            found[0].uart.served(found[1])
            self.drive(found[0].line, found[0].uart.irq_level)

    def taken(self, port: int, number: int) -> None:
        found = self._by_port.get(port)
        if found:
            found[0].uart.taken(number)
            found[0].watch_timeout()

    def inputs(self) -> tuple[Input, ...]:
        held = ((port.base, *port.uart.held()) for port in self._ports)
        return tuple(Input(*one) for one in held if one[2])

    def gap(self, port: int, lost: int) -> None:
        for p in self._ports:
            if p.base == port:
                p.gap(lost)
        log.warning("output lost while the server was away", guest=self.name, port=hex(port), bytes=lost)

    def received(self) -> tuple[tuple[int, int], ...]:
        return tuple((port.base, port.received) for port in self._ports if port.known)

    def publications(self) -> tuple[Publication, ...]:
        return tuple(port.publication() for port in self._ports)

    # -- life ---------------------------------------------------------------------------------------

    def record(self, recorder_of: Callable[[str], Recorder | None]) -> None:
        """Say what records its consoles, by name."""
        for port in self._ports:
            before, port.recorder = port.recorder, recorder_of(port.console.name)
            if before is None and port.recorder is not None and self.context is not None:  # it begins late
                port.recorder.adopt(self.context.instance, self.context.number, port.received)

    def claim(self, context: Context) -> int:
        """By its recordings: 0: the context's; 1: nobody's; 2: that of another one of the same native half."""
        recorders = [port.recorder for port in self._ports if port.recorder is not None]
        if not context.instance or not any(r.remembers(context.instance) for r in recorders):
            return 1
        return 0 if any(r.remembers(context.instance, context.number) for r in recorders) else 2

    def bind(self, context: Context) -> None:
        """A context appeared, or came back, and is this guest."""
        self._told = False
        new = self.context is None
        self.context = context
        self._absence.end()
        for port in self._ports:
            if new:
                port.reset(context)
            else:
                port.known = True
            is_other = new and not port.known
            port.console.set_state(ConsoleState.LIVE, NEW_GUEST if is_other else "")
            port.connect()
            self.drive(port.line, port.uart.irq_level)
        self._attended(any(port.console.attached for port in self._ports))

    def away(self, reason: str) -> None:
        """The native half went away; the context may come back. What is typed waits for it."""
        for port in self._ports:
            port.console.bind(None)
        self._absence.begin(reason)

    def _missed(self, reason: str) -> None:
        for port in self._ports:
            if port.console.state is ConsoleState.LIVE:
                port.console.set_state(ConsoleState.AWAY, reason)

    def release(self, reason: str) -> None:
        """The context is gone."""
        self.context = None
        self.left = time.monotonic()
        self._absence.end()
        for port in self._ports:
            if port.recorder is not None:
                port.recorder.unbind()
            port.console.bind(None)
            port.console.set_state(ConsoleState.GONE, reason)

    def tell_elsewhere(self, name: str) -> None:
        """Another guest has appeared, at that console. Whoever waits here for one is told so, once."""
        waiting = [port.console for port in self._ports if port.console.state is ConsoleState.GONE]
        if self._told or not any(console.attached for console in waiting):
            return
        self._told = True
        for console in waiting:
            console.tell_elsewhere(name)

    def drive(self, line: int, level: bool) -> None:
        """A UART drives its interrupt line; COM1 and COM3, and COM2 and COM4, share one."""
        if self.context is not None:
            level = level or any(port.uart.irq_level for port in self._ports if port.line == line)
            self._interceptor.set_irq(self.context, line, level)

    def changed(self) -> None:
        """A register changed without an access of the guest."""
        if self.context is not None:
            self._interceptor.publish(self.context)

    def _attended(self, _: bool) -> None:
        if self.context is not None:
            attended = any(port.console.attached for port in self._ports)
            self._interceptor.set_attention(self.context, attended)


class Machine:
    """One L1: binds its contexts to the configured guests: a new one to that which went last, else in order."""

    def __init__(
        self,
        config: MachineConfig,
        interceptor: Interceptor,
        *,
        scrollback: int,
        defaults: ConsoleConfig | None = None,
    ) -> None:
        self.name = config.name
        self.connected = False
        defaults = defaults or ConsoleConfig()
        self.interceptor = interceptor
        self.guests = [Guest(guest, interceptor, scrollback=scrollback, defaults=defaults) for guest in config.guests]
        self._config = config
        self._defaults = defaults
        self._limit = LogLimit(LOG_LINES)

    @property
    def links(self) -> dict[str, bool]:
        """Its native half, which is there or not."""
        return {self.name: self.connected}

    def introduce(self, directory: Listing) -> None:
        """Tell the directory of every guest that the configuration names; which context is which, is found out when
        the contexts appear."""
        for config, guest in zip(self._config.guests, self.guests, strict=True):
            power = CommandPower(config.name, config.power) if config.power is not None else None
            settings = self._defaults.with_own(config.console)
            directory.appeared(
                ListedGuest(config.name, self, settings=settings, power=power, consoles=guest.consoles)
            )

    def record(self, recorder_of: Callable[[str], Recorder | None]) -> None:
        """Say what records the consoles, by name; before `start`."""
        for guest in self.guests:
            guest.record(recorder_of)

    async def start(self) -> None:
        """Begin to listen for the native half. Raises `EnvironmentFault`."""
        await self.interceptor.start(self)

    async def stop(self, reason: str) -> None:
        """Tell whoever is attached, and let the guests go on without us."""
        for guest in self.guests:
            for console in guest.consoles:
                console.close(reason)
        await self.interceptor.stop()

    @property
    def consoles(self) -> list[Console]:
        """Of all guests."""
        return [console for guest in self.guests for console in guest.consoles]

    # -- InterceptorEvents --------------------------------------------------------------------------

    def link_up(self, peer: str) -> None:
        self.connected = True
        log.info("machine connected", machine=self.name, peer=peer)

    def link_down(self, reason: str) -> None:
        self.connected = False
        for guest in self.guests:
            if guest.context is not None:
                guest.away(f"machine {self.name} is not connected: {reason}")

    def context_appeared(self, context: Context) -> PortHandler | None:
        guest = self._guest_of(context) or self._free_for(context)
        if guest is None:
            self._log(log.warning, "another L2 gets no console: no guest is configured for it", context)
            return None
        is_new = guest.context is None
        guest.bind(context)
        for other in self.guests if is_new else ():
            other.tell_elsewhere(guest.name)
        self._log(log.info, "guest bound", context, guest=guest.name)
        return guest

    def context_gone(self, context: Context, reason: str) -> None:
        guest = self._guest_of(context)
        if guest is not None:
            guest.release(f"the guest is gone: {reason}")
            self._log(log.info, "guest gone", context, guest=guest.name, reason=reason)

    def _log(self, write: Callable[..., object], event: str, context: Context, **about: object) -> None:
        if self._limit.allows(machine=self.name):
            write(event, **about, machine=self.name, context=context.number, origin=context.origin)

    def _free_for(self, context: Context) -> Guest | None:
        """The one that it was when the server was here last; else one that no other such context may yet claim: the
        one whose context went last, as it is most probably the same that has been started again."""
        free = [guest for guest in self.guests if guest.context is None]
        last = max((guest.left for guest in free), default=0.0)
        return min(free, key=lambda guest: (guest.claim(context), guest.left < last - TOGETHER_SECONDS), default=None)

    def _guest_of(self, context: Context) -> Guest | None:
        return next((g for g in self.guests if g.context == context), None)
