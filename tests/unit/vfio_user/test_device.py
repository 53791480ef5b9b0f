"""The card without a socket: regions, configuration space, interrupt, reset, descriptors."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import ClassVar

import pytest

from oobconsole.devices import device as devices
from oobconsole.vfio_user import messages as m
from oobconsole.vfio_user.device import Device
from oobconsole.vfio_user.intx import Intx
from oobconsole.vfio_user.messages import IrqSet
from oobconsole.vfio_user.pci import CARDS, Card, ConfigSpace
from tests.support.vfio import open_descriptors


class Registers(devices.Device):
    """Eight that write down what happens."""

    sizes: ClassVar = (8,)
    outputs: ClassVar = 1

    def __init__(self) -> None:
        self.log: list[tuple[object, ...]] = []

    def read(self, register: int) -> int:
        self.log.append(("read", register))
        return 0x40 + register

    def write(self, register: int, value: int) -> None:
        self.write_block(register, bytes((value,)))

    def write_block(self, register: int, data: bytes) -> None:
        self.log.append(("write", register, data))

    def reset(self) -> None:
        self.log.append(("reset",))


class Lab:
    def __init__(self, bar: str = "io", ports: int = 1) -> None:
        self.ports = [Registers() for _ in range(ports)]
        self.watched: list[int | None] = []
        self.intx = Intx(self.watched.append)
        self.failures: list[Exception] = []
        self.device = Device(CARDS[bar, ports], self.intx, lambda _, error: self.failures.append(error))
        for slot, port in zip(self.device.bus.slots, self.ports, strict=True):
            slot.plug(port)

    def drive(self, port: int, level: bool) -> None:
        """A UART changes the level of its interrupt output."""
        self.device.bus.slots[port].outputs[0](level)

    def ask(self, request: m.Request, *fds: int, no_reply: bool = False) -> bytes:
        """The reply's payload. Raises `OSError` for an error."""
        reply = self.device.serve(m.Message(1, 2, no_reply, request, list(fds)))
        if not reply:
            assert no_reply
            return b""
        _, _, size, flags, error = m.HEADER.unpack_from(reply)
        assert size == len(reply)
        if flags & m.Flags.ERROR:
            assert size == m.HEADER.size
            raise OSError(error, os.strerror(error))
        return reply[m.HEADER.size :]


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.fixture
def eventfd() -> Iterator[int]:
    """A non-blocking one, as a VMM has it; the device gets duplicates of it."""
    fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    yield fd
    os.close(fd)


def signals(fd: int) -> int:
    """How often it was signalled since it was asked last."""
    try:
        return os.eventfd_read(fd)
    except BlockingIOError:
        return 0


def config_of(card: Card) -> ConfigSpace:
    return ConfigSpace(card)


class TestConfigSpace:
    @pytest.mark.parametrize("kind", CARDS)
    def test_a_driver_finds_a_16550_with_an_interrupt_pin(self, kind: tuple[str, int]) -> None:
        card = CARDS[kind]
        config = config_of(card)
        whole = config.read(0, 256)
        assert len(whole) == 256
        assert whole[:4] == card.ids.vendor.to_bytes(2, "little") + card.ids.device.to_bytes(2, "little")
        assert whole[9:12] == b"\x02\x00\x07"
        assert whole[0x0E] == 0
        expected = card.ids.subsystem_vendor.to_bytes(2, "little") + card.ids.subsystem.to_bytes(2, "little")
        assert whole[0x2C:0x30] == expected
        assert whole[0x3D] == 1

    @pytest.mark.parametrize(
        ("kind", "sized"),
        [(("io", 1), 0xFFFFFFF9), (("io", 2), 0xFFFFFFF1), (("io", 4), 0xFFFFFFE1), (("memory", 4), 0xFFFFF000)],
    )
    def test_a_bar_is_sized(self, kind: tuple[str, int], sized: int) -> None:
        config = config_of(CARDS[kind])
        config.write(0x10, b"\xff" * 4)
        assert int.from_bytes(config.read(0x10, 4), "little") == sized
        config.write(0x10, (0xC010).to_bytes(4, "little"))
        assert int.from_bytes(config.read(0x10, 4), "little") == 0xC010 & sized | sized & 1

    def test_nothing_else_can_be_changed(self) -> None:
        config = config_of(CARDS["io", 1])
        before = config.read(0, 256)
        config.write(0, b"\xff" * 256)
        changed = {at for at, (old, new) in enumerate(zip(before, config.read(0, 256), strict=True)) if old != new}
        assert changed == {0x04, 0x05, 0x10, 0x11, 0x12, 0x13, 0x3C}
        config.reset()
        assert config.read(0, 256) == before


class TestRegions:
    def test_what_the_device_is(self, lab: Lab) -> None:
        assert lab.ask(m.GetInfo()) == m.INFO.pack(16, 3, 9, 5)
        sizes = [m.REGION_INFO.unpack(lab.ask(m.GetRegionInfo(region)))[1::3] for region in range(9)]
        assert sizes == [(3, 8) if region == 0 else (3, 256) if region == 7 else (0, 0) for region in range(9)]
        irqs = [m.INFO.unpack(lab.ask(m.GetIrqInfo(irq))) for irq in range(5)]
        assert irqs == [(16, 7, 0, 1), *((16, 0, irq, 0) for irq in range(1, 5))]

    def test_a_wide_access_is_several_lowest_register_first(self, lab: Lab) -> None:
        assert lab.ask(m.RegionRead(0, 4, 4))[16:] == b"\x44\x45\x46\x47"
        lab.ask(m.RegionWrite(0, 0, b"ab"))
        reads = [("read", offset) for offset in (4, 5, 6, 7)]
        assert lab.ports[0].log == [*reads, ("write", 0, b"a"), ("write", 1, b"b")]

    def test_ports_follow_each_other(self) -> None:
        lab = Lab("memory", 2)
        assert lab.ask(m.RegionRead(0, 13, 1))[16:] == b"\x45"
        assert [port.log for port in lab.ports] == [[], [("read", 5)]]
        assert lab.ask(m.RegionRead(0, 16, 1))[16:] == b"\xff"
        lab.ask(m.RegionWrite(0, 4095, b"x"))
        assert len(lab.ports[1].log) == 1

    def test_a_uart_that_fails_reads_as_ones_and_is_told_once(
        self, lab: Lab, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bug = IndexError("a bug")

        def fail(*_: object) -> int:
            raise bug

        monkeypatch.setattr(lab.ports[0], "read", fail)
        assert lab.ask(m.RegionRead(0, 4, 2))[16:] == b"\xff\xff"
        lab.ask(m.RegionWrite(0, 0, b"a"))
        assert lab.ports[0].log == [("write", 0, b"a")]
        assert lab.failures == [bug]

    @pytest.mark.parametrize(
        "request_",
        [
            m.RegionRead(0, 8, 1),
            m.RegionRead(0, 7, 2),
            m.RegionRead(7, 253, 4),
            m.RegionRead(7, 1 << 63, 1),
            m.RegionRead(1, 0, 1),
            m.RegionRead(99, 0, 1),
            m.RegionWrite(0, 8, b"a"),
            m.RegionWrite(7, 256, b"a"),
            m.WriteMulti((m.RegionWrite(0, 0, b"a"), m.RegionWrite(0, 8, b"a"))),
        ],
    )
    def test_what_lies_outside_is_refused_before_anything_is_done(self, lab: Lab, request_: m.Request) -> None:
        with pytest.raises(OSError, match="Invalid argument"):
            lab.ask(request_)
        assert lab.ports[0].log == []

    def test_a_multi_write_writes_in_order(self, lab: Lab) -> None:
        done = lab.ask(m.WriteMulti((m.RegionWrite(0, 0, b"a"), m.RegionWrite(0, 7, b"b"))))
        assert done == (2).to_bytes(8, "little")
        assert lab.ports[0].log == [("write", 0, b"a"), ("write", 7, b"b")]

    def test_a_posted_request_is_not_answered_even_when_it_fails(self, lab: Lab) -> None:
        assert lab.ask(m.RegionWrite(0, 99, b"a"), no_reply=True) == b""

    def test_memory_is_neither_mapped_nor_kept(self, lab: Lab) -> None:
        before = open_descriptors()
        assert lab.ask(m.DmaMap(), os.open("/dev/null", os.O_RDONLY)) == b""
        assert open_descriptors() == before
        assert lab.ask(m.DmaUnmap(b"entry")) == b"entry"

    def test_reset(self, lab: Lab) -> None:
        lab.ask(m.RegionWrite(7, 4, b"\xff\xff"))
        assert lab.intx.disabled
        assert lab.ask(m.Reset()) == b""
        assert lab.ask(m.RegionRead(7, 4, 2))[16:] == b"\0\0"
        assert not lab.intx.disabled
        assert lab.ports[0].log == [("reset",)]


class TestInterrupt:
    def assign(self, lab: Lab, fd: int, action: IrqSet = IrqSet.TRIGGER) -> None:
        lab.ask(m.SetIrqs(0, action, True, (True,)), os.dup(fd))

    def act(self, lab: Lab, action: IrqSet, *, enabled: bool = True) -> None:
        lab.ask(m.SetIrqs(0, action, False, (enabled,)))

    def test_a_level_is_signalled_once_until_it_is_unmasked(self, lab: Lab, eventfd: int) -> None:
        self.assign(lab, eventfd)
        lab.intx.settle()
        assert signals(eventfd) == 0
        lab.drive(0, True)
        lab.intx.settle()
        lab.intx.settle()
        assert signals(eventfd) == 1
        self.act(lab, IrqSet.UNMASK, enabled=False)
        assert not lab.intx.due
        self.act(lab, IrqSet.UNMASK)
        assert lab.intx.due
        lab.intx.settle()
        assert signals(eventfd) == 1
        lab.drive(0, False)
        self.act(lab, IrqSet.UNMASK)
        lab.intx.settle()
        assert signals(eventfd) == 0
        lab.intx.close()

    def test_a_level_that_falls_in_time_takes_the_signal_back(self, lab: Lab, eventfd: int) -> None:
        self.assign(lab, eventfd)
        lab.drive(0, True)
        lab.intx.settle()
        lab.drive(0, False)
        assert signals(eventfd) == 0
        lab.drive(0, True)
        assert lab.intx.due  # nobody will unmask what nobody has seen
        lab.intx.close()

    def test_what_the_client_has_masked_stays_so_when_a_signal_is_taken_back(self, lab: Lab, eventfd: int) -> None:
        self.assign(lab, eventfd)
        lab.drive(0, True)
        lab.intx.settle()
        self.act(lab, IrqSet.MASK)
        lab.drive(0, False)
        lab.drive(0, True)
        assert not lab.intx.due
        self.act(lab, IrqSet.UNMASK)
        assert lab.intx.due
        lab.intx.close()

    def test_ports_share_the_pin(self, eventfd: int) -> None:
        lab = Lab("io", 2)
        self.assign(lab, eventfd)
        lab.drive(0, True)
        lab.drive(1, True)
        lab.intx.settle()
        lab.drive(0, False)
        assert signals(eventfd) == 1
        self.act(lab, IrqSet.UNMASK)
        lab.intx.settle()
        assert signals(eventfd) == 1
        lab.intx.close()

    def test_mask_disable_and_the_command_register_keep_it_quiet(self, lab: Lab, eventfd: int) -> None:
        lab.drive(0, True)
        lab.intx.settle()
        self.assign(lab, eventfd)
        self.act(lab, IrqSet.MASK)
        lab.intx.settle()
        self.act(lab, IrqSet.UNMASK)
        lab.ask(m.RegionWrite(7, 5, b"\x04"))
        lab.intx.settle()
        assert signals(eventfd) == 0
        lab.ask(m.RegionWrite(7, 5, b"\x00"))
        lab.intx.settle()
        assert signals(eventfd) == 1
        lab.ask(m.SetIrqs(0, IrqSet.TRIGGER, False, ()))
        lab.drive(0, False)
        lab.drive(0, True)
        lab.intx.settle()
        assert signals(eventfd) == 0

    def test_a_new_eventfd_is_told_of_a_level_that_the_former_had(self, lab: Lab, eventfd: int) -> None:
        before = open_descriptors()
        self.assign(lab, eventfd)
        lab.drive(0, True)
        lab.intx.settle()
        assert signals(eventfd) == 1
        for _ in range(3):
            self.assign(lab, eventfd)
            lab.intx.settle()
            assert signals(eventfd) == 1
        lab.ask(m.SetIrqs(0, IrqSet.TRIGGER, True, (True,)))
        assert open_descriptors() == before

    def test_a_client_may_trigger_it_itself(self, lab: Lab, eventfd: int) -> None:
        self.act(lab, IrqSet.TRIGGER)
        self.assign(lab, eventfd)
        self.act(lab, IrqSet.TRIGGER)
        assert signals(eventfd) == 1
        lab.intx.close()

    def test_kvm_unmasks_by_an_eventfd(self, lab: Lab, eventfd: int) -> None:
        before = open_descriptors()
        eoi = os.eventfd(0, os.EFD_NONBLOCK)
        self.assign(lab, eventfd)
        self.assign(lab, eoi, IrqSet.UNMASK)
        assert lab.watched[-1] is not None
        lab.drive(0, True)
        lab.intx.settle()
        lab.intx.unmasked_by_eventfd()
        assert not lab.intx.due
        os.eventfd_write(eoi, 1)
        lab.intx.unmasked_by_eventfd()
        assert lab.intx.due
        lab.intx.close()
        assert lab.watched[-1] is None
        os.close(eoi)
        assert open_descriptors() == before

    @pytest.mark.parametrize("what", ["a pipe", "a file"])
    def test_what_is_no_eventfd_is_refused_and_closed(self, lab: Lab, what: str) -> None:
        before = open_descriptors()
        if what == "a pipe":
            reader, fd = os.pipe()
            os.close(reader)
        else:
            fd = os.open("/dev/null", os.O_RDWR)
        with pytest.raises(OSError, match="Invalid argument") as raised:
            lab.ask(m.SetIrqs(0, IrqSet.TRIGGER, True, (True,)), fd)
        assert raised.value.errno == errno.EINVAL
        assert open_descriptors() == before

    def test_an_eventfd_that_counts_no_further_does_not_block(self, lab: Lab) -> None:
        fd = os.eventfd((1 << 32) - 1)
        os.eventfd_write(fd, (1 << 64) - (1 << 32) - 1)
        self.assign(lab, fd)
        lab.drive(0, True)
        lab.intx.settle()
        lab.intx.close()
        os.close(fd)
