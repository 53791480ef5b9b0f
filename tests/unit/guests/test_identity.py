"""Which guest a context is: known at once, late, or another one than was thought."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import pytest
from structlog.testing import capture_logs

from oobconsole.config.guests import MachineConfig
from oobconsole.config.places import FITTED, Fitting, conflict, devices_of, places_of
from oobconsole.config.schema import RecordingConfig
from oobconsole.console.console import ConsoleState
from oobconsole.console.reader import Notice
from oobconsole.devices.device import Device, Resources
from oobconsole.devices.uart16550 import Ier, Mcr, Reg
from oobconsole.events import Events
from oobconsole.guests.board import Board
from oobconsole.guests.fittings import MAKERS
from oobconsole.guests.identity import Binder, Claim, InOrder, NoGuest
from oobconsole.guests.nested import Machine
from oobconsole.interceptors.base import Context, PortHandler
from oobconsole.interceptors.memory import MemoryInterceptor
from oobconsole.interceptors.ranges import served_ranges
from oobconsole.interceptors.tcg import qemu_options
from oobconsole.recording.recordings import Recordings
from tests.support.aio import soon
from tests.support.devices import Broken
from tests.support.rack import READ_MAX, Rack

COM1, COM2 = 0x3F8, 0x2F8
#: Where the guests of these tests say who they are.
REGISTRAR = Resources((range(0x510, 0x511),), ())


class Registrar(Device):
    """A device to whose port a guest writes its number: 1 for web1; 0: it is nobody."""

    sizes: ClassVar = (1,)
    outputs: ClassVar = 0

    def __init__(self, bind: Callable[[str | None], object]) -> None:
        self._bind = bind

    def read(self, register: int) -> int:
        return 0x0B

    def write(self, register: int, value: int) -> None:
        self._bind(f"web{value}" if value else None)

    def reset(self) -> None:
        pass


class Registered(Binder):
    """A guest says who it is, by a registrar that every context has (`registrar`)."""

    def guest_for(self, context: Context, guests: Sequence[object]) -> NoGuest:
        return NoGuest.YET


def register(handler: PortHandler, number: int) -> None:
    handler.write(REGISTRAR.ranges[0].start, 1, number)


@pytest.fixture
def registrar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every guest has a registrar."""
    monkeypatch.setitem(FITTED, "registrar", Fitting(Registrar, REGISTRAR))
    monkeypatch.setitem(MAKERS, "registrar", lambda slot, board, bind: Registrar(bind))


@pytest.fixture
async def rack(registrar: None) -> Rack:
    guests: list[dict[str, object]] = [{"name": "web1"}, {"name": "web2", "uarts": ["com1", "com2"]}]
    return await Rack(*guests, binder=Registered(), scrollback=READ_MAX).started()


class TestAGuestThatIsKnownLate:
    async def test_shows_what_it_printed_before_and_gets_what_was_typed(self, rack: Rack) -> None:
        await soon(rack.console("web2").write(b"typed"))
        handler = rack.appear()
        handler.write_block(COM1, b"SeaBIOS")
        assert rack.console("web2").state is ConsoleState.WAITING
        register(handler, 2)
        assert rack.console("web2").state is ConsoleState.LIVE
        handler.write_block(COM1, b", GRUB")
        assert rack.printed("web2") == b"SeaBIOS, GRUB"
        assert handler.read(COM1, 1) == ord("t")
        assert (rack.printed("web1"), rack.console("web1").state) == (b"", ConsoleState.WAITING)

    async def test_keeps_its_registers_and_its_interrupt(self, rack: Rack) -> None:
        handler = rack.appear()
        handler.write(COM1 + Reg.SCR, 1, 0x77)
        handler.write(COM1 + Reg.MCR, 1, Mcr.OUT2)
        handler.write(COM1 + Reg.IER, 1, Ier.THRI)
        register(handler, 1)
        assert handler.read(COM1 + Reg.SCR, 1) == 0x77
        assert rack.interceptor.levels[1, 4] is True

    async def test_has_the_serial_ports_of_its_configuration_from_then_on(self, rack: Rack) -> None:
        first, second = rack.appear(1), rack.appear(2)
        for handler in (first, second):
            handler.write_block(COM2, b"two")
        register(first, 1)
        register(second, 2)
        assert first.read(COM2 + Reg.LSR, 1) == 0xFF
        assert second.read(COM2 + Reg.LSR, 1) == 0x60
        assert rack.printed("web2.com2") == b"two"

    async def test_is_told_of_what_was_printed_too_long_ago(self, rack: Rack) -> None:
        handler = rack.appear()
        handler.gap(COM1, 7)
        for _ in range(5):
            handler.write_block(COM1, b"x" * 16384)
        reader = rack.console().attach()
        register(handler, 1)
        told = await soon(reader.next())
        assert isinstance(told, Notice)
        assert "16391 bytes of output were lost" in told.text
        assert rack.printed() == b"x" * 65536

    async def test_that_runs_as_before_the_link_was_lost(self, rack: Rack) -> None:
        handler = rack.appear()
        handler.write_block(COM1, b"before ")
        rack.interceptor.lose_link("gone for lunch")
        assert rack.appear() is handler
        assert handler.received() == ((COM1, 7), (COM2, 0))
        register(handler, 1)
        assert rack.printed() == b"before "

    async def test_may_end_before_it_is_known(self, rack: Rack) -> None:
        handler = rack.appear()
        rack.interceptor.vanish(1)
        register(handler, 1)
        assert rack.console().state is ConsoleState.WAITING

    async def test_that_nobody_knows_is_nobody(self, rack: Rack) -> None:
        handler = rack.appear()
        register(handler, 7)
        handler.write_block(COM1, b"lost")
        assert all(console.state is ConsoleState.WAITING for console in rack.machine.consoles)


class TestAGuestThatIsAnother:
    async def test_leaves_one_console_for_the_other(self, rack: Rack) -> None:
        handler = rack.appear()
        register(handler, 1)
        handler.write_block(COM1, b"one")
        register(handler, 2)
        handler.write_block(COM1, b"two")
        assert (rack.printed("web1"), rack.printed("web2")) == (b"one", b"two")
        assert (rack.console("web1").state, rack.console("web1").reason) == (ConsoleState.GONE, "it is web2")
        await soon(rack.console("web2").write(b"k"))
        assert handler.read(COM1, 1) == ord("k")

    async def test_gets_the_serial_ports_that_the_other_has_more(self, rack: Rack) -> None:
        handler = rack.appear()
        register(handler, 1)
        register(handler, 2)
        handler.write_block(COM2, b"two")
        assert rack.printed("web2.com2") == b"two"

    async def test_takes_the_place_of_a_context_that_was_it(self, rack: Rack) -> None:
        former, handler = rack.appear(1), rack.appear(2)
        register(former, 1)
        register(handler, 1)
        former.write_block(COM1, b"former")
        handler.write_block(COM1, b"this")
        assert rack.printed() == b"this"
        assert rack.console().state is ConsoleState.LIVE
        rack.interceptor.vanish(1)
        assert rack.console().state is ConsoleState.LIVE

    async def test_may_be_nobody_and_then_the_same_again(self, rack: Rack) -> None:
        handler = rack.appear()
        for number, text in ((1, b"a"), (0, b"b"), (1, b"c")):
            register(handler, number)
            handler.write_block(COM1, text)
        assert rack.printed() == b"abc"

    async def test_is_attended_when_somebody_is_at_its_own_console(self, rack: Rack) -> None:
        rack.console("web1").attach()
        handler = rack.appear()
        register(handler, 1)
        assert rack.interceptor.attended == {1: True}
        register(handler, 2)
        assert rack.interceptor.attended == {1: False}

    async def test_it_is_the_same_as_before(self, rack: Rack) -> None:
        handler = rack.appear()
        with capture_logs() as logs:
            for _ in range(3):
                register(handler, 1)
        assert [entry["event"] for entry in logs] == ["guest bound"]


class TestTheDeviceByWhichGuestsSayWhoTheyAre:
    """A binder plugged its device past the tables: a native half was never told of the port, so no guest could have
    reached the device, and a configuration with another device there was taken."""

    BOTH = MachineConfig.model_validate({"name": "rack7", "guest": [{"name": "web1"}, {"name": "web2"}]})

    def test_is_intercepted_announced_and_has_its_ports_alone(self, registrar: None) -> None:
        _, option = qemu_options("rack7", Path("/s"), Path("/p"), places_of(self.BOTH))
        assert option.endswith(",ports=generic@0x510:uart@0x3f8-0x3ff,irq=-:4")
        served = served_ranges(devices_of(self.BOTH))
        assert [(one.guest, one.range.first, one.range.length, one.range.lines) for one in served] == [
            ("web1", 0x510, 1, 0),
            ("web1", COM1, 8, 1 << 4),
        ]
        assert conflict(self.BOTH) is None
        uart = {"port": 0x510, "irq": 5}
        taken = MachineConfig.model_validate({"name": "rack7", "guest": [{"name": "web1", "uarts": [uart]}]})
        assert conflict(taken) == "port 0x510 of 'web1' belongs to another device already"

    async def test_is_in_the_guests_of_the_machines_that_listen_to_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fitting = Fitting(Registrar, REGISTRAR, lambda machine: machine.name == "rack8")
        monkeypatch.setitem(FITTED, "registrar", fitting)
        other = self.BOTH.model_copy(update={"name": "rack8"})
        assert [len(served_ranges(devices_of(machine))) for machine in (self.BOTH, other)] == [1, 2]
        rack = await Rack({"name": "web1"}).started()
        assert rack.appear().read(REGISTRAR.ranges[0].start, 1) == 0xFF


@pytest.mark.usefixtures("registrar")
class TestRecordings:
    """A server that is started again knows by its recordings how much it has of each context's output."""

    @asynccontextmanager
    async def server(self, folder: Path, binder: Binder) -> AsyncIterator[Machine]:
        guests = [{"name": "web1"}, {"name": "web2"}]
        config = MachineConfig.model_validate({"name": "rack7", "guest": guests})
        machine = Machine(config, MemoryInterceptor("rack7"), scrollback=1 << 17, binder=binder)
        recordings = Recordings(RecordingConfig(), folder, Events())
        await recordings.start(machine.consoles)
        machine.record(recordings.recorder)
        await machine.start()
        yield machine
        await recordings.stop()

    def appear(self, machine: Machine) -> PortHandler:
        handler = machine.context_appeared(Context("rack7", 1, instance=5))
        assert handler is not None
        return handler

    @pytest.mark.parametrize("late", [b"", b"before it was known "])
    async def test_of_a_context_that_was_known_late(self, tmp_path: Path, late: bytes) -> None:
        async with self.server(tmp_path, Registered()) as machine:
            handler = self.appear(machine)
            handler.write_block(COM1, late)
            register(handler, 2)
            handler.gap(COM1, 3)
            handler.write_block(COM1, b"and after")
        async with self.server(tmp_path, InOrder()) as machine:
            handler = self.appear(machine)
            assert handler.received() == ((COM1, len(late) + 12),)
            handler.write_block(COM1, b", and again")
            assert machine.guests[1].consoles[0].read_from(0, 100).data == late + b"and after, and again"

    async def test_of_a_context_that_turned_out_to_be_another_guest(self, tmp_path: Path) -> None:
        async with self.server(tmp_path, Registered()) as machine:
            handler = self.appear(machine)
            register(handler, 1)
            handler.write_block(COM1, b"as the first, ")
            register(handler, 2)
            handler.write_block(COM1, b"as the second")
        async with self.server(tmp_path, InOrder()) as machine:
            assert self.appear(machine).received() == ((COM1, 27),)
            assert machine.guests[1].consoles[0].read_from(0, 100).data == b"as the second"
            assert machine.guests[1].consoles[0].state is ConsoleState.LIVE

    async def test_what_its_native_half_sends_again_is_not_shown_twice(self, tmp_path: Path) -> None:
        """A server that does not know the context at once gets all that is kept of its output once more."""
        async with self.server(tmp_path, Registered()) as machine:
            handler = self.appear(machine)
            register(handler, 2)
            handler.write_block(COM1, b"0123456789")
        async with self.server(tmp_path, Registered()) as machine:
            handler = self.appear(machine)
            assert handler.received() == ()
            handler.gap(COM1, 4)
            handler.write_block(COM1, b"456789abc")
            register(handler, 2)
            assert machine.guests[1].consoles[0].read_from(0, 100).data == b"0123456789abc"


class Named:
    """A guest of the configuration, for a binder."""

    def __init__(self, name: str, left: float = -1e9, claim: Claim = Claim.FREE, board: Board | None = None) -> None:
        self.name, self.left, self.board = name, left, board
        self._claim = claim

    def claim(self, context: Context) -> Claim:
        return self._claim


class TestInOrder:
    CONTEXT = Context("rack7", 1)

    def chosen(self, *guests: Named) -> str:
        chosen = InOrder().guest_for(self.CONTEXT, guests)
        return chosen.name  # a guest's, or why it is none

    def test_the_first_that_is_free(self) -> None:
        board = Board(self.CONTEXT, MemoryInterceptor("rack7"))
        assert self.chosen(Named("a", board=board), Named("b"), Named("c")) == "b"

    def test_its_own_by_the_recordings_before_all(self) -> None:
        assert self.chosen(Named("a", claim=Claim.OTHERS), Named("b"), Named("c", claim=Claim.OWN)) == "c"

    def test_anothers_only_when_there_is_no_other(self) -> None:
        assert self.chosen(Named("a", claim=Claim.OTHERS), Named("b", left=-5e9)) == "b"
        assert self.chosen(Named("a", claim=Claim.OTHERS)) == "a"

    def test_the_one_that_went_last_and_those_that_went_with_it_in_order(self) -> None:
        assert self.chosen(Named("a", left=10), Named("b", left=100), Named("c", left=50)) == "b"
        assert self.chosen(Named("a", left=10), Named("b", left=99.5), Named("c", left=100)) == "b"

    def test_none_is_left(self) -> None:
        assert self.chosen() == "NEVER"


async def test_a_device_with_a_bug_disturbs_no_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line in the log; the guest reads ones there, and its console goes on."""
    place = Resources.of(Broken, ports=(0x510,), lines=(5,))
    monkeypatch.setitem(FITTED, "broken", Fitting(Broken, place))
    monkeypatch.setitem(MAKERS, "broken", lambda slot, board, bind: Broken())
    config = MachineConfig.model_validate({"name": "rack7", "guest": [{"name": "web1"}]})
    interceptor = MemoryInterceptor("rack7")
    machine = Machine(config, interceptor, scrollback=4096)
    await machine.start()
    handler = interceptor.appear(1)
    assert handler is not None
    with capture_logs() as logs:
        for _ in range(3):
            assert handler.read(0x510, 2) == 0xFFFF
            handler.write(0x510, 1, 1)
            assert [publication.port for publication in handler.publications()] == [COM1]
            handler.write_block(COM1, b"x")
    assert machine.consoles[0].read_from(0, 10).data == b"xxx"
    [entry] = [entry for entry in logs if entry["log_level"] == "error"]
    assert (entry["event"], entry["port"], entry["device"]) == (
        "a device failed: a bug in oobconsole",
        "0x510",
        "Broken",
    )
