"""A native half (the C library of `half.py`) and the server's own Python half behind it, over a socket.

The connection is the real one (`oobconsole.interceptors.connection`), and so is the 16550 behind it. Nothing happens
by itself: the test decides when the server gets its turn.
"""

from __future__ import annotations

import socket
from collections import deque
from typing import Final

from oobconsole.devices.device import Ahead
from oobconsole.devices.uart16550 import Uart16550
from oobconsole.interceptors import wire
from oobconsole.interceptors.base import Context, PortHandler, Publication
from oobconsole.interceptors.connection import Connection, Counters
from oobconsole.interceptors.ranges import Served
from tests.native.half import COM1, Half

REGISTERS: Final = 8
LINE: Final = 4


class Model(PortHandler):
    """A guest's 16550 at COM1, with a console that takes what is printed and types.

    Attributes:
        printed: what came out of it, with the gaps left out.
        typed: what is still to be received.
        clock: time in ns.
    """

    def __init__(self, server: Server, first: int) -> None:
        self.printed = bytearray()
        self.typed: deque[int] = deque()
        self.clock = 0
        self.known = 0
        self._server = server
        self.uart = Uart16550(
            transmit=self.printed.extend,
            irq=self._irq,
            clock=lambda: self.clock,
            drained=self.pump,
            first=first,
        )

    def _irq(self, level: bool) -> None:
        self._server.drive(level)

    def pump(self) -> None:
        """Receive what fits in."""
        while self.typed and self.uart.feed(bytes((self.typed[0],))):
            self.typed.popleft()

    def pass_time(self, ns: int) -> None:
        """Let the character timeout come."""
        self.clock += ns
        self.uart.poll()

    def read(self, port: int, size: int) -> int:
        return self.uart.read(port - COM1) if port >= COM1 else 0xFF

    def write(self, port: int, size: int, value: int) -> None:
        self.write_block(port, bytes((value,)))

    def write_block(self, port: int, data: bytes) -> None:
        if port >= COM1:
            self.uart.write_block(port - COM1, data)

    def served(self, port: int, value: int, number: int) -> None:
        if port >= COM1:
            self.uart.served(port - COM1, value, number)

    def gap(self, port: int, lost: int) -> None:
        raise AssertionError(f"{lost} bytes of output are lost")

    def received(self) -> tuple[tuple[int, int], ...]:
        return ((COM1, len(self.printed)),) if self.known else ()

    def publications(self) -> tuple[Publication, ...]:
        ahead: Ahead = self.uart.ahead()
        return (Publication(COM1, *ahead),)


class Server:
    """The server's side of the link; `restart` makes another one of it.

    Attributes:
        silent: it does nothing.
        model: the device of guest 1.
    """

    machine = "l1"
    ranges: tuple[Served, ...] = ()
    spin_ns = 0

    def __init__(self, half: Half) -> None:
        self.stats = wire.Stats({}, ())
        self.counters = Counters()
        self.silent = False
        self.half = half
        self.connection: Connection | None = None
        self._contexts: dict[int, Context] = {}
        self._first = 7
        self.model = Model(self, self._first)
        half.turn = self.turn

    # -- Owner --------------------------------------------------------------------------------------

    def welcome(self, connection: Connection, hello: wire.Hello) -> str | None:
        connection.missing = dict(self._contexts)
        return None

    def lost(self, connection: Connection, reason: str) -> None:
        assert "error" not in reason, reason
        if self.connection is connection:
            self.connection = None

    def context_appeared(self, context: Context) -> PortHandler | None:
        if context.number != 1:
            return None
        self.model.known = context.number in self._contexts
        self._contexts[context.number] = context
        return self.model

    def context_gone(self, context: Context, reason: str) -> None:
        raise AssertionError(f"{context} is gone: {reason}")

    # -- what happens -------------------------------------------------------------------------------

    def connect(self) -> None:
        """A new connection; the native half is late until the server gets its turn."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.connection = Connection(ours, self, "a test")
        theirs.send(wire.encode_hello("l1", 7, int(wire.Capability(0xF))))
        self.connection.serve()
        theirs.recv(wire.WELCOME.size, socket.MSG_WAITALL)
        self.half.adopt(theirs)

    def forget(self) -> None:
        """The native half has given the connection up: the server sees that when it has taken in what was sent."""
        connection, self.connection = self.connection, None
        while connection is not None and not connection.closed:
            connection.serve()

    def drop(self) -> None:
        """The connection breaks, and both sides see it."""
        if self.connection is not None:
            connection, self.connection = self.connection, None
            connection.serve()  # what was sent arrives
            connection.close("the test drops it")
        self.half.closed()

    def restart(self) -> None:
        """The server is killed, and started again: it knows nothing."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close("the test kills it")
        self.half.closed()
        self._contexts.clear()
        self._first += 0x12345
        typed = self.model.typed
        self.model = Model(self, self._first)
        self.model.typed = typed
        self.connect()

    def turn(self) -> bool:
        """The server runs, unless it is stopped. Returns whether it has said anything, as far as is known."""
        if self.silent or self.connection is None:
            return False
        self.model.pump()
        self.publish()
        if self.connection is not None:
            self.connection.serve()
        return True

    def publish(self) -> None:
        """Registers may have changed without an access."""
        if self.connection is not None and (bound := self.connection.bound.get(1)) and bound.handler:
            self.connection.publish(bound)

    def drive(self, level: bool) -> None:
        """The device drives its line."""
        if self.connection is not None and (bound := self.connection.bound.get(1)):
            self.connection.set_irq(bound, LINE, level)
