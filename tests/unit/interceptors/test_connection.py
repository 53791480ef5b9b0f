"""One connection under a test's hands: what it does when it is closed, and when its peer does not read."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from oobconsole.devices.device import Image
from oobconsole.interceptors import connection, wire
from oobconsole.interceptors.base import Context, PortHandler, Publication
from oobconsole.interceptors.connection import BUDGET_NS, OUTPUT_MAX, Connection, Counters
from oobconsole.interceptors.memory import MemoryInterceptor
from oobconsole.interceptors.ranges import Served
from tests.contract.rigs import Recorder
from tests.support.aio import idle, until
from tests.support.native_half import access, announced, appeared, gap, gone, posted, stats


def publication(lsr: int = 0x60) -> Publication:
    """Of an empty receiver."""
    return Publication(0x3F8, 7, (Image(0xFF, 0, bytes((0, 1, 0xC1, 3, 0x0B, lsr, 0xB0, 0))),))


class Owner:
    """Writes down what a connection tells it."""

    machine = "l1"
    ranges: tuple[Served, ...] = ()
    spin_ns = 0

    def __init__(self) -> None:
        self.stats = wire.Stats({}, ())
        self.counters = Counters()
        self.lost_for: list[str] = []
        self.refuses: str | None = None
        self.broken = False
        self.missing: dict[int, Context] = {}
        self.told: list[tuple[str, int]] = []
        self.handler: Recorder | None = None

    def welcome(self, connection: Connection, hello: wire.Hello) -> str | None:
        connection.missing = dict(self.missing)
        return self.refuses

    def lost(self, connection: Connection, reason: str) -> None:
        self.lost_for.append(reason)

    def context_appeared(self, context: Context) -> PortHandler | None:
        if self.broken:
            raise RuntimeError("a bug")
        self.told.append(("appeared", context.number))
        return self.handler

    def context_gone(self, context: Context, reason: str) -> None:
        self.told.append(("gone", context.number))


class Pair:
    """A connection, and the native half's end of it."""

    def __init__(self) -> None:
        ours, self.peer = socket.socketpair()
        self.peer.setblocking(False)
        ours.setblocking(False)
        self.fd = ours.fileno()
        self.owner = Owner()
        self.connection = Connection(ours, self.owner, "a test")

    async def greet(self, capabilities: int = 0x0F) -> None:
        """Until a context is there."""
        self.peer.send(wire.encode_hello("l1", 7, capabilities) + appeared(1))
        await until(lambda: 1 in self.connection.bound, lambda: self.connection.bound)

    def fill(self) -> None:
        """Say so much that the socket takes no more."""
        for _ in range(OUTPUT_MAX):
            if self.connection._writing:
                return
            self.connection.set_attention(self.connection.bound[1], True)
        raise AssertionError("the socket took all of it")

    def read(self) -> bytes:
        """All that has come."""
        found = b""
        while True:
            try:
                data = self.peer.recv(1 << 20)
            except BlockingIOError:
                return found
            if not data:
                return found
            found += data


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = Pair()
    yield made
    made.connection.close("the test ends")
    made.peer.close()


async def test_it_is_closed_once(pair: Pair) -> None:
    pair.connection.close("first")
    pair.connection.close("second")
    assert pair.owner.lost_for == ["first"]


async def test_closed_while_it_waits_to_write_it_leaves_nothing_behind(pair: Pair) -> None:
    """Its descriptor's number will be another's."""
    await pair.greet()
    pair.fill()
    pair.connection.close("enough")
    loop = asyncio.get_running_loop()
    assert not loop.remove_writer(pair.fd)
    assert not loop.remove_reader(pair.fd)
    pair.connection.set_attention(pair.connection.bound[1], False)
    assert not loop.remove_writer(pair.fd), "nor does it write again"


async def test_what_the_socket_does_not_take_goes_out_later(pair: Pair) -> None:
    await pair.greet()
    pair.fill()
    found = b""
    while pair.connection._writing:
        found += pair.read()
        await idle()
    found += pair.read()
    assert not pair.connection._out
    assert not asyncio.get_running_loop().remove_writer(pair.fd), "nor is it asked any more whether it takes some"
    sizes = len(wire.encode_attention(1, True))
    welcome = wire.encode_welcome(0x0F & ~int(wire.Capability.IRQ_PULSE))
    assert found.startswith(welcome)
    assert found[len(welcome) :] == wire.encode_attention(1, True) * ((len(found) - len(welcome)) // sizes)
    pair.fill()
    assert pair.connection._writing, "and once more"


async def test_what_changes_without_an_access_is_said_at_once(pair: Pair) -> None:
    """Registers that are published; a level is said behind these."""
    pair.owner.handler = handler = Recorder(MemoryInterceptor("l1"), Context("l1", 1))
    await pair.greet()
    pair.read()
    handler.published = (publication(),)
    pair.connection.publish(pair.connection.bound[1])
    assert pair.read() == wire.encode_publish(1, 0, *handler.published[0])
    pair.connection.publish(pair.connection.bound[1])
    assert pair.read() == b""


async def test_one_that_reads_nothing_is_closed_behind_what_the_guests_device_is_doing(pair: Pair) -> None:
    await pair.greet()
    pair.fill()
    held = len(pair.connection._out)
    while held <= OUTPUT_MAX and not pair.owner.lost_for:
        assert not pair.connection.closed
        pair.connection.set_attention(pair.connection.bound[1], True)
        held += 16
    assert not pair.connection.closed, "whoever sends may be a device: it is closed behind that"
    assert not pair.connection._out
    await idle()
    assert pair.owner.lost_for == ["it does not read its answers"]


async def test_a_peer_that_goes_without_reading_what_was_said(pair: Pair) -> None:
    await pair.greet()
    pair.peer.close()
    await until(lambda: bool(pair.owner.lost_for), lambda: pair.owner.lost_for)
    assert pair.owner.lost_for == ["Connection reset by peer"]


async def test_a_bug_of_ours_ends_its_connection_alone(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.owner.broken = True
    pair.peer.send(wire.encode_hello("l1", 7) + appeared(1))
    await until(lambda: bool(pair.owner.lost_for), lambda: pair.owner.lost_for)
    assert pair.owner.lost_for == ["internal error"]
    assert "a bug in oobconsole ends a connection" in capsys.readouterr().out


async def test_an_answer_is_no_wider_than_its_access(pair: Pair) -> None:
    class Wide(Recorder):
        def read(self, port: int, size: int) -> int:
            return 0x123456789A

    pair.owner.handler = Wide(MemoryInterceptor("l1"), Context("l1", 1))
    await pair.greet()
    pair.read()
    for seq, (size, value) in enumerate(((1, 0x9A), (2, 0x789A), (4, 0x3456789A)), 1):
        pair.peer.send(access(seq, size=size))
        pair.connection.serve()
        assert pair.read() == wire.encode_answer(1, seq, value)


async def test_registers_are_said_behind_accesses_to_them_and_not_behind_others(pair: Pair) -> None:
    pair.owner.handler = handler = Recorder(MemoryInterceptor("l1"), Context("l1", 1))
    handler.published = (publication(),)
    await pair.greet()
    pair.peer.send(posted(b"a"))
    pair.connection.serve()
    assert pair.read().endswith(wire.encode_publish(1, 1, *handler.published[0]))
    handler.published = (publication(0x61),)
    pair.peer.send(stats(1))
    pair.connection.serve()
    assert pair.read() == b"", "whoever changes them says so"


class Printer(Recorder):
    """A guest's ports, at which each byte that is written is the level of line 4."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(MemoryInterceptor("l1"), Context("l1", 1))
        self._connection = connection

    def write_block(self, port: int, data: bytes) -> None:
        for level in data:
            self._connection.set_irq(self._connection.bound[1], 4, bool(level))


async def test_of_a_line_that_a_batch_moves_only_the_last_level_is_said(pair: Pair) -> None:
    """The level is said before the answer behind it, because the guest may go on as soon as it has the answer."""

    pair.owner.handler = Printer(pair.connection)
    await pair.greet()
    pair.read()
    pair.peer.send(posted(bytes((1, 0, 1))) + posted(bytes((0, 1))))
    pair.connection.serve()
    assert pair.read() == wire.encode_irq(1, 4, wire.IrqMode.HIGH, 5)
    pair.peer.send(posted(bytes((0, 1, 0))) + access(1) + posted(b"\x01"))
    pair.connection.serve()
    said = wire.encode_irq(1, 4, wire.IrqMode.LOW, 9) + wire.encode_answer(1, 1, 0x78)
    assert pair.read() == said + wire.encode_irq(1, 4, wire.IrqMode.HIGH, 10)
    pair.peer.send(stats(1))
    pair.connection.serve()
    assert pair.read() == b"", "it was said"
    pair.connection.set_irq(pair.connection.bound[1], 4, True)
    assert pair.read() == wire.encode_irq(1, 4, wire.IrqMode.HIGH, 10), "said again, because nobody else may know"


async def test_pulses_are_said_one_by_one(pair: Pair) -> None:
    pair.owner.handler = Printer(pair.connection)
    await pair.greet(int(wire.Capability.IRQ_PULSE))
    pair.read()
    pair.peer.send(posted(bytes((1, 0, 1))))
    pair.connection.serve()
    assert pair.read() == wire.encode_irq(1, 4, wire.IrqMode.PULSE, 3) * 2


async def test_each_context_appears_and_goes_once(pair: Pair) -> None:
    """Those of the former connection that are not announced are gone when something else is said, and then only."""
    pair.owner.missing = {number: Context("l1", number) for number in (5, 6)}
    await pair.greet()
    pair.peer.send(appeared(5) + announced() + posted(b"a") + appeared(2) + gone(2) + posted(b"b"))
    pair.connection.serve()
    told = [("appeared", 5), ("gone", 6), ("appeared", 1), ("appeared", 2), ("gone", 2)]
    assert pair.owner.told == told
    assert set(pair.connection.bound) == {1, 5}
    assert pair.connection.bound[5].context is pair.owner.missing[5], "wherever it has been seen since"


async def test_of_a_guest_that_nobody_serves_nothing_is_said(pair: Pair) -> None:
    await pair.greet()
    pair.read()
    pair.connection.publish(pair.connection.bound[1])
    pair.peer.send(access(1) + posted(b"a") + gap(1, 3))
    pair.connection.serve()
    assert pair.read() == wire.encode_answer(1, 1, 0xFF)
    assert not pair.connection.closed


@pytest.mark.parametrize("given", [False, True])
async def test_what_will_be_read_is_published_ahead_to_who_takes_it(pair: Pair, given: bool) -> None:
    pair.owner.handler = handler = Recorder(MemoryInterceptor("l1"), Context("l1", 1))
    await pair.greet(0x0F if given else 0x07)
    pair.read()
    handler.published = (publication(),)
    pair.peer.send(announced())
    pair.connection.serve()
    told = wire.encode_publish(1, 0, *handler.published[0]) if given else b""
    assert pair.read() == wire.encode_ready() + told


async def test_a_native_half_with_other_ports_is_told_ours_and_refused(pair: Pair) -> None:
    """Both sides can say then which ports these are."""
    ours = wire.PortRange(0x3F8, 8, 1 << 4, 1, 0xFF)
    pair.owner.ranges = (Served("web1", ours),)
    other = wire.PortRange(0x3F8, 8, 1 << 3)
    pair.peer.send(wire.encode_hello("l1", 7, 0x0F, ranges=[other]) + appeared(1))
    await until(lambda: bool(pair.owner.lost_for), lambda: pair.owner.lost_for)
    [why] = pair.owner.lost_for
    assert "guest web1 has ports 0x3f8-0x3ff with interrupt 4" in why
    assert "intercepts ports 0x3f8-0x3ff with interrupt 3" in why
    assert "oobconsole qemu-options l1" in why
    assert pair.read() == wire.encode_welcome(0x0F & ~int(wire.Capability.IRQ_PULSE), [ours])
    assert pair.connection.bound == {}


@pytest.mark.parametrize("more", [[], [wire.PortRange(0x2F8, 8, 1 << 3)]], ids=["the same", "more"])
async def test_a_native_half_with_our_ports_is_taken_in(pair: Pair, more: list[wire.PortRange]) -> None:
    pair.owner.ranges = (Served("web1", wire.PortRange(0x3F8, 8, 1 << 4, 1, 0xFF)),)
    ranges = [*more, wire.PortRange(0x3F8, 8, 1 << 4)]
    pair.peer.send(wire.encode_hello("l1", 7, 0x0F, ranges=ranges) + appeared(1))
    await until(lambda: 1 in pair.connection.bound, lambda: pair.owner.lost_for)


async def test_a_peer_that_is_refused_is_told_nothing(pair: Pair) -> None:
    pair.owner.refuses = "not this one"
    pair.peer.send(wire.encode_hello("l1", 7) + appeared(1))
    await until(lambda: bool(pair.owner.lost_for), lambda: pair.owner.lost_for)
    assert pair.owner.lost_for == ["not this one"]
    assert pair.read() == b""
    assert pair.connection.bound == {}, "nor is what it said behind that looked at"


async def test_a_peer_that_said_hello_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HELLO_SECONDS", 30.0)
    pair = Pair()
    await pair.greet()
    assert pair.connection._hello_timer.cancelled()
    quiet = Pair()
    quiet.connection.close("enough")
    assert quiet.connection._hello_timer.cancelled()
    for one in (pair, quiet):
        one.connection.close("the test ends")
        one.peer.close()


class Clock:
    """Time that goes on by 0.1 ms whenever it is looked at.

    Attributes:
        looks: how often that was.
    """

    def __init__(self) -> None:
        self.looks = 0

    def monotonic_ns(self) -> int:
        self.looks += 1
        return self.looks * 100_000


@pytest.fixture
async def spinning(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> tuple[Pair, Clock]:
    """A connection that looks for the next access for 0.1 s, of which a vCPU has just got an answer."""
    await pair.greet()
    clock = Clock()
    monkeypatch.setattr(connection, "time", clock)
    pair.owner.spin_ns = 100_000_000
    pair.peer.send(access(1))
    pair.connection.serve()
    return pair, clock


async def test_who_may_ask_again_at_once_is_looked_for_and_others_get_their_turn(
    spinning: tuple[Pair, Clock],
) -> None:
    pair, clock = spinning
    assert pair.connection._turn_due, "it does not sleep"
    before = clock.looks
    pair.connection.serve()
    assert pair.connection._turn_due
    assert clock.looks - before <= 2 * BUDGET_NS / 100_000 + 2, "nor does it keep the loop for longer than it may"
    assert pair.owner.counters.spins == 0
    pair.peer.send(access(2))
    pair.connection._readable()
    assert pair.owner.counters.accesses == 1, "its turn is due already, behind the others'"
    pair.connection.serve()
    assert (pair.owner.counters.accesses, pair.owner.counters.spins) == (2, 1)


async def test_it_sleeps_when_nobody_has_asked_for_so_long(spinning: tuple[Pair, Clock]) -> None:
    pair, clock = spinning
    await until(lambda: not pair.connection._turn_due, lambda: clock.looks)
    assert clock.looks >= 1000


async def test_what_nobody_waits_for_is_no_reason_to_look_again(pair: Pair) -> None:
    await pair.greet()
    pair.owner.spin_ns = 10**12
    pair.peer.send(posted(b"a"))
    pair.connection.serve()
    assert not pair.connection._turn_due
