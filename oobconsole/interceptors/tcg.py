"""The Python half for stock QEMU with TCG: `native/tcg` connects to a UNIX socket of ours."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from oobconsole.devices.device import Resources
from oobconsole.interceptors import wire
from oobconsole.interceptors.base import Context, Interceptor, InterceptorEvents, PortHandler
from oobconsole.interceptors.connection import Binding, Connection, Counters
from oobconsole.interceptors.ranges import Served
from oobconsole.log.log import LogLimit
from oobconsole.net.listener import Listener

log = structlog.get_logger(__name__)

#: How many connections may be open that have not sent HELLO yet.
PENDING_MAX: Final = 4
#: How many lines a minute a peer that fails again and again may cause in the log.
LOG_LINES: Final = 10


class TcgInterceptor(Interceptor):
    """Listens for one machine's native half.

    Args:
        machine: the configured name; the native half must give the same name.
        path: the path of the UNIX socket, at most 107 bytes; the socket is made with mode 0600.
        ranges: the ranges of ports that the guests have; a native half that does not intercept all of them is
            refused.
        spin_us: how long to look for a vCPU's next access before sleeping, in microseconds; 0: not at all.

    Attributes:
        stats: what the native half has counted, as it reported last.
        counters: what the server has counted.
    """

    def __init__(self, machine: str, path: Path, *, spin_us: int, ranges: tuple[Served, ...] = ()) -> None:
        self.machine = machine
        self.path = path
        self.ranges = ranges
        self.spin_ns = spin_us * 1000
        self.stats = wire.Stats({}, ())
        self.counters = Counters()
        self._listener: Listener | None = None
        self._current: Connection | None = None
        self._pending: set[Connection] = set()
        self._instance: int | None = None
        self._contexts: dict[int, Context] = {}
        self._limit = LogLimit(LOG_LINES)

    @property
    def connecting(self) -> bool:
        return self._current is not None or bool(self._pending)

    async def start(self, events: InterceptorEvents) -> None:
        self._events = events
        self._listener = Listener(self.path, self._accepted, self._not_accepted)

    async def stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in (*self._pending, *filter(None, [self._current])):
            connection.close("the server stops")

    def set_irq(self, context: Context, line: int, level: bool) -> None:
        if found := self._find(context):
            found[0].set_irq(found[1], line, level)

    def set_attention(self, context: Context, attended: bool) -> None:
        if found := self._find(context):
            found[0].set_attention(found[1], attended)

    def publish(self, context: Context) -> None:
        if found := self._find(context):
            found[0].publish(found[1])

    def _find(self, context: Context) -> tuple[Connection, Binding] | None:
        if self._current is None:
            return None
        bound = self._current.bound.get(context.number)
        return None if bound is None else (self._current, bound)

    # -- connections --------------------------------------------------------------------------------

    def _accepted(self, sock: socket.socket) -> None:
        if len(self._pending) < PENDING_MAX:
            self._pending.add(Connection(sock, self))
            return
        sock.close()
        self._refused("too many connect and say nothing")

    def _not_accepted(self, reason: str) -> None:
        self._refused(f"no connection can be accepted: {reason}")

    def welcome(self, connection: Connection, hello: wire.Hello) -> str | None:
        """Accept a native half, or return why it is refused. If it runs in another QEMU process than before, all
        guests of the former process are gone."""
        if hello.machine != self.machine:
            return f"it says that it is machine {hello.machine!r}, but this socket is machine {self.machine!r}'s"
        if self._current is not None:
            self._current.serve()  # the former connection may have ended, and nobody has read that yet
        if self._current is not None:
            return "this machine's native half is connected already"
        self._pending.discard(connection)
        self._current = connection
        if hello.instance != self._instance:
            for context in list(self._contexts.values()):
                self.context_gone(context, "the machine was restarted")
            self._instance = hello.instance
        connection.missing = dict(self._contexts)
        self.events.link_up(f"{connection.peer}, instance {hello.instance:#x}")
        return None

    def lost(self, connection: Connection, reason: str) -> None:
        """A connection has ended; `reason` says why. If it was the native half's, the machine is told."""
        self._pending.discard(connection)
        if self._current is connection:
            self._current = None
            self._log_away(reason)
            self.events.link_down(reason)
        else:
            self._refused(reason)

    def context_appeared(self, context: Context) -> PortHandler | None:
        """Bind a context, or bind it again after a lost connection."""
        self._contexts[context.number] = context
        return self.events.context_appeared(context)

    def context_gone(self, context: Context, reason: str) -> None:
        """A guest is gone: the machine is told, with the reason."""
        del self._contexts[context.number]
        self.events.context_gone(context, reason)

    # -- log ----------------------------------------------------------------------------------------

    def _refused(self, reason: str) -> None:
        if self._may_log():
            log.warning("native half refused", machine=self.machine, socket=str(self.path), reason=reason)

    def _log_away(self, reason: str) -> None:
        if self._may_log():
            median, p99 = (round(self.stats.latency_us(q), 1) for q in (0.5, 0.99))
            counters = self.stats.counters
            log.info(
                "native half away", machine=self.machine, reason=reason, median_us=median, p99_us=p99, **counters
            )

    def _may_log(self) -> bool:
        return self._limit.allows(machine=self.machine, socket=str(self.path))


def qemu_options(
    machine: str,
    path: Path,
    plugin: Path,
    devices: Sequence[Resources],
    *,
    hide_registers: bool = True,
) -> list[str]:
    """Return the words to add to the command line of `machine`'s QEMU.

    The plugin must know where the guests have devices. `ports=` lists the devices, each with its ranges of ports.
    `irq=` lists the interrupts of each device, in the same order. A colon separates two devices. A plus separates two
    ranges, or two interrupts, of one device: `ports=0x60+0x64:0x3f8-0x3ff,irq=1+12:4`. A minus sign in
    `irq=` stands for a device that has no interrupt.

    QEMU's option syntax (qemu(1)) wants a comma in a path doubled, and wants the option's name, `file=`, before a
    plugin's path that has an equals sign.

    Args:
        devices: where the machine's guests have devices; each place is listed once.
        hide_registers: whether L1 must not see L2's registers while a console is in use.
    """
    ranges = ":".join("+".join(map(_words, one.ranges)) for one in devices)
    irqs = ":".join("+".join(map(str, one.lines)) or "-" for one in devices)
    file, sock = (str(name).replace(",", ",,") for name in (plugin, path))
    head = f"file={file}" if "=" in file else file
    shown = "" if hide_registers else ",registers=shown"
    return ["-plugin", f"{head},socket={sock},machine={machine},ports={ranges},irq={irqs}{shown}"]


def _words(ports: range) -> str:
    return f"{ports.start:#x}" if len(ports) == 1 else f"{ports.start:#x}-{ports.stop - 1:#x}"
