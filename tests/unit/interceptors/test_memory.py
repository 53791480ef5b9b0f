"""The guest in memory drives a UART as a kernel's driver does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from oobconsole.devices.uart16550 import Uart16550
from oobconsole.interceptors.base import Context, PortHandler, Publication
from oobconsole.interceptors.memory import MemoryGuest, MemoryInterceptor
from tests.support.aio import soon, stays, until

LINE: Final = MemoryGuest.LINE


class Device(PortHandler):
    """A UART on COM1, and the far side of its line."""

    def __init__(self, interceptor: MemoryInterceptor, context: Context) -> None:
        self.sent = bytearray()
        self.most_at_once = 0
        self._to_feed = bytearray()
        self.uart = Uart16550(
            transmit=self._transmit,
            irq=lambda level: interceptor.set_irq(context, LINE, level),
            clock=lambda: 0,
            drained=self._feed,
        )

    def _transmit(self, data: bytes) -> None:
        self.sent += data
        self.most_at_once = max(self.most_at_once, len(data))

    def type(self, data: bytes) -> None:
        self._to_feed += data
        self._feed()

    def _feed(self) -> None:
        if self._to_feed:
            del self._to_feed[: self.uart.feed(bytes(self._to_feed))]

    def read(self, port: int, size: int) -> int:
        return self.uart.read(port - MemoryGuest.BASE)

    def write(self, port: int, size: int, value: int) -> None:
        self.uart.write(port - MemoryGuest.BASE, value)

    def write_block(self, port: int, data: bytes) -> None:
        self.uart.write_block(port - MemoryGuest.BASE, data)

    def served(self, port: int, value: int, number: int) -> None:
        raise AssertionError("this guest always asks")

    def gap(self, port: int, lost: int) -> None:
        raise AssertionError("a guest in memory loses nothing")

    def received(self) -> tuple[tuple[int, int], ...]:
        return ()

    def publications(self) -> tuple[Publication, ...]:
        return ()


@dataclass
class Events:
    """A machine of one device."""

    interceptor: MemoryInterceptor
    device: Device | None = None

    def link_up(self, peer: str) -> None: ...

    def link_down(self, reason: str) -> None: ...

    def context_appeared(self, context: Context) -> PortHandler | None:
        self.device = Device(self.interceptor, context)
        return self.device

    def context_gone(self, context: Context, reason: str) -> None: ...


async def start() -> tuple[MemoryInterceptor, Device, MemoryGuest]:
    interceptor = MemoryInterceptor("mem", echo=1)
    events = Events(interceptor)
    await interceptor.start(events)
    assert events.device is not None
    return interceptor, events.device, interceptor.guests[0]


async def test_the_banner_comes_a_fifo_at_a_time() -> None:
    _, device, _ = await start()
    await until(lambda: device.sent == b"memory guest 1 ready\r\n", lambda: device.sent)
    assert device.most_at_once == MemoryGuest.FIFO


async def test_what_is_typed_comes_back() -> None:
    _, device, guest = await start()
    typed = bytes(range(256)) * 14
    device.type(typed)
    await until(lambda: len(guest.received) == len(typed), lambda: len(guest.received))
    assert guest.received == typed
    await until(lambda: bytes(device.sent).endswith(typed), lambda: device.sent[-300:])


async def test_it_prints_on_request() -> None:
    _, device, guest = await start()
    data = bytes(range(256)) * 256
    guest.print(data)
    await until(lambda: bytes(device.sent).endswith(data), lambda: len(device.sent))


async def test_what_it_received_is_bounded() -> None:
    _, device, guest = await start()
    guest.echo = False
    guest.received += b"x" * MemoryGuest.RECEIVED_MAX
    device.type(b"y" * 14)
    await until(lambda: guest.received.endswith(b"y" * 14), lambda: guest.received[-20:])
    assert len(guest.received) == MemoryGuest.RECEIVED_MAX


async def test_an_interrupt_can_be_waited_for() -> None:
    interceptor, device, guest = await start()
    await until(lambda: device.sent.endswith(b"\n"), lambda: device.sent)
    await soon(interceptor.wait_irq(1, LINE, False))
    guest._out(1, 0)  # interrupts off
    rising = await stays(interceptor.wait_irq(1, LINE))
    device.type(b"x" * 14)
    guest._out(1, 1)
    await soon(rising)
