"""A board is what one context has: a bus, and the devices on it. The devices stay with the context, whichever guest
the context turns out to be.

An interceptor brings the context's accesses (`PortHandler`). In the other direction the board tells the interceptor
the levels of interrupt lines, and that registers have changed without an access. The devices' timers run in the event
loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import structlog

from oobconsole.devices.bus import Bus, Slot
from oobconsole.devices.device import Ahead, Image, Resources
from oobconsole.guests.serialport import SerialPort
from oobconsole.interceptors.base import Context, Interceptor, PortHandler, Publication
from oobconsole.interceptors.wire import IMAGES_MAX, REGISTERS
from oobconsole.words import brief

log = structlog.get_logger(__name__)


def published(ranges: tuple[range, ...], ahead: Ahead) -> list[Publication]:
    """Return what a device says ahead, as one publication for each of its ranges of ports.

    Reading register 0 leads from image to image, and only the first range has that register. For a further range one
    image is published, without the registers whose reading has an effect: for these the native half asks. Whatever
    the guest reads from the first range with an effect puts that image out of date, as every access does.

    A frame has room for `IMAGES_MAX` images. What a device says beyond that is published later, when the guest has
    read the images before.
    """
    number, images = ahead.number, ahead.images[:IMAGES_MAX]
    first = ranges[0]
    if len(ranges) == 1:
        return [Publication(first.start, number, images)]
    told = [Publication(first.start, number, tuple(_part(image, 0, len(first)) for image in images))]
    now = images[0]
    now = now._replace(valid=now.valid & ~now.effects, effects=0)
    register = len(first)
    for ports in ranges[1:]:
        part = _part(now, register, len(ports))
        if part.valid:
            told.append(Publication(ports.start, number, (part,)))
        register += len(ports)
    return told


def _part(image: Image, register: int, count: int) -> Image:
    """Return an image of `count` registers of another image, from `register` on."""
    mask = (1 << count) - 1
    values = image.values[register : register + count].ljust(REGISTERS, b"\0")
    return Image(image.valid >> register & mask, image.effects >> register & mask, values)


class Board(PortHandler):
    """One context's devices.

    Args:
        interceptor: brings the accesses of this context.

    Attributes:
        guest: the name of the guest to which the board is bound, for the log; empty: it is bound to none.
        bus: where the devices are; further devices may be added.
        ports: the UARTs of the board.
    """

    def __init__(self, context: Context, interceptor: Interceptor) -> None:
        self.context = context
        self.guest = ""
        self.bus = Bus(self._irq, self._failed)
        self.ports: list[SerialPort] = []
        self._interceptor = interceptor
        self._timer: asyncio.TimerHandle | None = None
        self._due_at = 0  # when the timer ends, by the devices' clock

    # -- its UARTs ----------------------------------------------------------------------------------

    def fit(self, wanted: Iterable[Resources]) -> None:
        """Make the board have a UART at each of these places, and at no others. UARTs that are there already stay as
        they are."""
        places = list(dict.fromkeys(wanted))
        for port in [port for port in self.ports if port.resources not in places]:
            self._remove(port)
        there = {port.resources for port in self.ports}
        for place in places:
            if place not in there:
                slot = self.bus.add(place)
                self.ports.append(SerialPort(slot, self.context, changed=self.changed, timed=self.timed))

    def _remove(self, port: SerialPort) -> None:
        port.detach()
        self.ports.remove(port)
        self.bus.remove(port.slot)

    def port_at(self, place: Resources) -> SerialPort:
        """Return the UART at that place. Raises `KeyError` if there is none."""
        for port in self.ports:
            if port.resources == place:
                return port
        raise KeyError(place)

    # -- PortHandler --------------------------------------------------------------------------------

    def read(self, port: int, size: int) -> int:
        return self.bus.read(port, size)

    def write(self, port: int, size: int, value: int) -> None:
        self.bus.write(port, size, value)

    def write_block(self, port: int, data: bytes) -> None:
        self.bus.write_block(port, data)

    def served(self, port: int, value: int, number: int) -> None:
        self.bus.served(port, value, number)

    def gap(self, port: int, lost: int) -> None:
        for each in self.ports:
            if each.port == port:
                each.gap(lost)
        log.warning("output lost while the server was away", guest=self.guest, port=hex(port), bytes=lost)

    def received(self) -> tuple[tuple[int, int], ...]:
        return tuple((port.port, port.received) for port in self.ports if port.known)

    def publications(self) -> tuple[Publication, ...]:
        told = []
        for slot in self.bus.slots:
            if slot.device is not None:
                try:
                    ahead = slot.device.ahead()
                except Exception as error:
                    self.bus.report(slot, error)
                else:
                    if ahead is not None:
                        told += published(slot.resources.ranges, ahead)
        return tuple(told)

    # -- what the devices have to say ---------------------------------------------------------------

    def changed(self) -> None:
        """A device's registers have changed without an access of the guest: publishes them."""
        self._interceptor.publish(self.context)

    def happened(self, what: str) -> None:
        """A device has something to say that is no output of a serial port: tells the people at the consoles of the
        context. The words may be the guest's own. A console bounds how many of them are told, and how often.
        """
        for port in self.ports:
            if port.console is not None:
                port.console.happened(brief(what))

    def returned(self) -> None:
        """The context was away and is back. It is known how much of its output has come. Its native half is told the
        levels of the interrupt lines."""
        for port in self.ports:
            port.known = True
        self.say_lines()

    def attend(self, attended: bool) -> None:
        """Tell the native half whether anybody is attached to a console of the context."""
        self._interceptor.set_attention(self.context, attended)

    def say_lines(self) -> None:
        """Tell the native half the levels of all interrupt lines, whether or not they have changed."""
        for line in self.bus.lines:
            self._irq(line, self.bus.level(line))

    def _irq(self, line: int, level: bool) -> None:
        self._interceptor.set_irq(self.context, line, level)

    def _failed(self, slot: Slot, error: Exception) -> None:
        """A device has raised an exception, which is a bug of ours. The guest reads all ones, as if there were no
        device, and goes on."""
        log.error(
            "a device failed: a bug in oobconsole",
            machine=self.context.machine,
            context=self.context.number,
            port=hex(slot.first),
            device=type(slot.device).__name__,
            exc_info=error,
        )

    # -- time ---------------------------------------------------------------------------------------

    def timed(self) -> None:
        """A device's next deadline has changed. Sets another timer only if the deadline has come nearer: if it was
        put off, the old timer expires early and then looks again."""
        due = self.bus.next_deadline()
        if due is None or (self._timer is not None and self._due_at <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due_at = due
        delay = max(0, due - time.monotonic_ns()) / 1e9
        self._timer = asyncio.get_running_loop().call_later(delay, self._due)

    def _due(self) -> None:
        self._timer = None
        self.bus.poll()
        self.changed()  # a timer may also change registers without moving an interrupt line
        self.timed()

    def close(self) -> None:
        """The context is gone: stops the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
