"""An interceptor without a machine: guests in this process, for tests, demonstrations and development.

A `MemoryGuest` drives its UART as a kernel's 8250 driver does, through port accesses alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from oobconsole.interceptors.base import Context, Interceptor, InterceptorEvents, PortHandler


class MemoryInterceptor(Interceptor):
    """An interceptor whose contexts are made by calling `appear`. `echo` guests appear by themselves at the start,
    and send back what they receive.

    Attributes:
        levels: the level of each interrupt line, by the numbers of context and line.
        attended: whether anybody is attached, by the number of the context.
        published: how often registers have changed without an access.
    """

    def __init__(self, machine: str, *, echo: int = 0) -> None:
        self.machine = machine
        self.attended: dict[int, bool] = {}
        self.levels: dict[tuple[int, int], bool] = {}
        self.guests: list[MemoryGuest] = []
        self.published = 0
        self._echo = echo
        self._contexts: dict[int, Context] = {}
        self._irq_watchers: dict[int, Callable[[int, bool], object]] = {}
        self._irq_changed = asyncio.Event()

    async def start(self, events: InterceptorEvents) -> None:
        self._events = events
        events.link_up("memory")
        for number in range(1, self._echo + 1):
            handler = self.appear(number)
            if handler is not None:
                guest = MemoryGuest(self, number, handler)
                guest.boot(f"memory guest {number} ready\r\n".encode())
                self.guests.append(guest)

    async def stop(self) -> None:
        self.guests.clear()
        self._irq_watchers.clear()

    def set_irq(self, context: Context, line: int, level: bool) -> None:
        self.levels[context.number, line] = level
        self._irq_changed.set()
        watcher = self._irq_watchers.get(context.number)
        if watcher is not None:
            watcher(line, level)

    def publish(self, context: Context) -> None:
        """Count the call. There is nothing to send, because this guest asks for every register that it reads."""
        self.published += 1

    def set_attention(self, context: Context, attended: bool) -> None:
        self.attended[context.number] = attended

    def watch_irq(self, number: int, watcher: Callable[[int, bool], object]) -> None:
        """Call `watcher(line, level)` when an interrupt line of that context changes."""
        self._irq_watchers[number] = watcher

    async def wait_irq(self, number: int, line: int, level: bool = True) -> None:
        """Wait until an interrupt line of that context has that level."""
        while self.levels.get((number, line), False) is not level:
            self._irq_changed.clear()
            await self._irq_changed.wait()

    def appear(self, number: int) -> PortHandler | None:
        """An L2 begins to use our ports, or comes back after `lose_link`. Returns what serves its accesses, or None
        when the context is refused."""
        context = self._contexts.setdefault(number, Context(self.machine, number, "memory"))
        return self.events.context_appeared(context)

    def vanish(self, number: int, reason: str = "destroyed") -> None:
        """An L2 is gone."""
        self.events.context_gone(self._contexts.pop(number), reason)
        self._irq_watchers.pop(number, None)

    def lose_link(self, reason: str) -> None:
        """Behave as if the connection to a native half were lost."""
        self.events.link_down(reason)


class MemoryGuest:
    """A guest with an interrupt-driven serial driver that echoes what it receives.

    Attributes:
        received: the last `RECEIVED_MAX` bytes that the guest has received.
        echo: whether the guest sends back what it receives.
    """

    BASE: Final = 0x3F8
    LINE: Final = 4
    FIFO: Final = 16
    RECEIVED_MAX: Final = 1 << 20
    #: How often the interrupt handler loops before other tasks get their turn. Linux's driver has such a limit, too.
    PASSES: Final = 64

    def __init__(self, interceptor: MemoryInterceptor, number: int, handler: PortHandler) -> None:
        self.received = bytearray()
        self.echo = True
        self._handler = handler
        self._to_send = bytearray()
        self._scheduled = False
        self._level = False
        interceptor.watch_irq(number, self._irq)

    def boot(self, banner: bytes) -> None:
        """Program the UART as Linux does (115200 8N1, FIFOs with trigger level 14, OUT2), and print."""
        for offset, value in ((3, 0x80), (0, 1), (1, 0), (3, 0x03), (2, 0xC7), (4, 0x0B), (1, 0x01)):
            self._out(offset, value)
        self.print(banner)

    def print(self, data: bytes) -> None:
        """Queue output. The interrupt handler sends as much of it at a time as the FIFO holds."""
        self._to_send += data
        self._out(1, 0x03)

    def _in(self, offset: int) -> int:
        return self._handler.read(self.BASE + offset, 1)

    def _out(self, offset: int, value: int) -> None:
        self._handler.write(self.BASE + offset, 1, value)

    def _irq(self, line: int, level: bool) -> None:
        """Note the level of an interrupt line. The handler runs in the next turn of the event loop, because a CPU
        takes an interrupt between two instructions, and never in the middle of an access."""
        self._level = level if line == self.LINE else self._level
        if self._level and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._interrupt)

    def _interrupt(self) -> None:
        self._scheduled = False
        for _ in range(self.PASSES):
            if self._in(2) & 0x01:  # IIR: nothing pending
                return
            self._receive()
            self._transmit()
        self._irq(self.LINE, self._level)

    def _receive(self) -> None:
        got = bytearray()
        while self._in(5) & 0x01 and len(got) < 256:  # LSR: data ready
            got.append(self._in(0))
        self.received += got
        del self.received[: -self.RECEIVED_MAX]
        if self.echo:
            self._to_send += got

    def _transmit(self) -> None:
        if self._to_send and self._in(5) & 0x20:  # LSR: THR empty
            self._handler.write_block(self.BASE, bytes(self._to_send[: self.FIFO]))
            del self._to_send[: self.FIFO]
        self._out(1, 0x03 if self._to_send else 0x01)
