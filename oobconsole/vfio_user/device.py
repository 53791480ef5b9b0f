"""The card that a client of vfio-user sees: regions, interrupt, and reset of one or more 16550s. No socket, no
clock.

The card has a bus, as a guest of a nested machine has (`devices/bus.py`). A port of this bus is an offset in BAR 0.
All UARTs of the card drive the bus's only interrupt line, which is the pin INTA.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Final

from oobconsole.devices.bus import Bus, Slot
from oobconsole.devices.device import Resources
from oobconsole.devices.uart16550 import Uart16550
from oobconsole.vfio_user import messages as m
from oobconsole.vfio_user.intx import Intx, is_eventfd
from oobconsole.vfio_user.pci import CONFIG_SIZE, PORT_SIZE, Card, ConfigSpace

#: Flags of <linux/vfio.h>. The device can be reset, and is PCI. A region can be read and written. An interrupt is
#: signalled by an eventfd, can be masked, and masks itself.
_DEVICE_FLAGS: Final = 0x3
_REGION_FLAGS: Final = 0x3
_INTX_FLAGS: Final = 0x7
#: The number of the bus's interrupt line that is the pin INTA.
_PIN: Final = 0


class Refusal(Exception):
    """A request that cannot be served. It is answered with an errno.

    Args:
        error: the errno.
    """

    def __init__(self, error: int) -> None:
        self.error = error
        super().__init__(os.strerror(error))


class Device:
    """One card.

    Args:
        card: which real card it pretends to be.
        intx: the interrupt pin that the UARTs drive.
        failed: gets the slot and the error when a UART's method has raised (`Bus`).

    Attributes:
        bus: has an empty slot for each UART of the card.
    """

    def __init__(self, card: Card, intx: Intx, failed: Callable[[Slot, Exception], object]) -> None:
        self.card = card
        self.config = ConfigSpace(card)
        self.intx = intx
        self.bus = Bus(lambda _, level: intx.drive(level), failed)
        for number in range(card.ports):
            self.bus.add(Resources.of(Uart16550, (number * PORT_SIZE,), (_PIN,)))
        self._sizes = {m.BAR0_REGION: card.bar_size, m.CONFIG_REGION: CONFIG_SIZE}

    def serve(self, message: m.Message) -> bytes:
        """Do what a message asks for. Returns the reply; empty: the message wants none.

        The message's descriptors are closed, except for one that the card keeps.
        """
        try:
            return m.encode_reply(message, self._do(message.request, message.fds))
        except Refusal as refusal:
            return m.encode_error(message, refusal.error)
        finally:
            for fd in message.fds:
                os.close(fd)

    def reset(self) -> None:
        """Reset the card to its state after power-on. The descriptors of the interrupt stay, because they are the
        client's."""
        for slot in self.bus.slots:
            if slot.device is not None:
                self.bus.ask(slot, slot.device.reset, None)
        self.config.reset()
        self.intx.disabled = False

    def _do(self, request: m.Request, fds: list[int]) -> bytes:
        match request:
            case m.RegionRead(region, offset, count):
                self._check(region, offset, count)
                return m.ACCESS.pack(offset, region, count) + self._read(region, offset, count)
            case m.RegionWrite(region, offset, data):
                self._check(region, offset, len(data))
                self._write(region, offset, data)
                return m.ACCESS.pack(offset, region, len(data))
            case m.WriteMulti(writes):
                for write in writes:
                    self._check(write.region, write.offset, len(write.data))
                for write in writes:
                    self._write(write.region, write.offset, write.data)
                return m.COUNT.pack(len(writes))
            case m.SetIrqs():
                return self._set_irqs(request, fds)
            case m.Reset():
                self.reset()
                return b""
            case m.Refused(error):
                raise Refusal(error)
        return self._describe(request)

    def _describe(self, request: m.Request) -> bytes:
        match request:
            case m.Version():
                return m.encode_version(request)
            case m.DmaUnmap(entry):
                return entry
            case m.GetInfo():
                return m.INFO.pack(m.INFO.size, _DEVICE_FLAGS, m.REGIONS, m.IRQS)
            case m.GetRegionInfo(index):
                size = self._sizes.get(index, 0)
                return m.REGION_INFO.pack(m.REGION_INFO.size, _REGION_FLAGS if size else 0, index, 0, size, 0)
            case m.GetIrqInfo(index):
                is_intx = index == m.INTX_IRQ
                return m.INFO.pack(m.INFO.size, _INTX_FLAGS if is_intx else 0, index, int(is_intx))
        return b""

    def _check(self, region: int, offset: int, count: int) -> None:
        if offset + count > self._sizes.get(region, 0):
            raise Refusal(errno.EINVAL)

    def _read(self, region: int, offset: int, count: int) -> bytes:
        if region == m.CONFIG_REGION:
            return self.config.read(offset, count)
        return bytes(self.bus.read(at, 1) for at in range(offset, offset + count))

    def _write(self, region: int, offset: int, data: bytes) -> None:
        if region == m.CONFIG_REGION:
            self.config.write(offset, data)
            self.intx.disabled = self.config.intx_disabled
            return
        for at, value in enumerate(data, offset):  # a wider access is several, the lowest register first
            self.bus.write_block(at, bytes((value,)))

    def _set_irqs(self, request: m.SetIrqs, fds: list[int]) -> bytes:
        if request.irq != m.INTX_IRQ:
            return b""  # the card has no other interrupts; a valid request can only disable them
        if not request.enabled:
            self.intx.assign(request.action, None)
        elif request.by_eventfd:
            self._assign(request.action, fds)
        elif request.enabled[0]:
            self.intx.act(request.action)
        return b""

    def _assign(self, action: m.IrqSet, fds: list[int]) -> None:
        if action == m.IrqSet.MASK or (fds and not is_eventfd(fds[0])):
            raise Refusal(errno.EINVAL)
        self.intx.assign(action, fds.pop() if fds else None)
