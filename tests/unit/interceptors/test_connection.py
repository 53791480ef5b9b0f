"""One connection under a test's hands: what it does when it is closed, and when its peer does not read."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from oobconsole.interceptors import connection, wire
from oobconsole.interceptors.base import Context, PortHandler
from oobconsole.interceptors.connection import OUTPUT_MAX, Connection, Counters
from tests.support.aio import idle, until
from tests.support.native_half import appeared


class Owner:
    """Writes down what a connection tells it."""

    machine = "l1"
    spin_ns = 0

    def __init__(self) -> None:
        self.stats = wire.Stats({}, ())
        self.counters = Counters()
        self.lost_for: list[str] = []
        self.refuses: str | None = None

    def welcome(self, connection: Connection, hello: wire.Hello) -> str | None:
        return self.refuses

    def lost(self, connection: Connection, reason: str) -> None:
        self.lost_for.append(reason)

    def context_appeared(self, context: Context) -> PortHandler | None:
        return None

    def context_gone(self, context: Context, reason: str) -> None:
        """Nobody asks."""


class Pair:
    """A connection, and the native half's end of it."""

    def __init__(self) -> None:
        ours, self.peer = socket.socketpair()
        self.peer.setblocking(False)
        ours.setblocking(False)
        self.fd = ours.fileno()
        self.owner = Owner()
        self.connection = Connection(ours, self.owner)

    async def greet(self) -> None:
        """Until a context is there."""
        self.peer.send(wire.encode_hello("l1", 7, capabilities=0x1F) + appeared(1))
        await until(lambda: 1 in self.connection.bound, lambda: self.connection.bound)

    def fill(self) -> None:
        """Say so much that the socket takes no more."""
        while not self.connection._writing:
            self.connection.set_attention(self.connection.bound[1], True)

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
    sizes = len(wire.encode_attention(1, True))
    welcome = wire.encode_welcome(0x1F & ~int(wire.Capability.IRQ_PULSE))
    assert found.startswith(welcome)
    assert found[len(welcome) :] == wire.encode_attention(1, True) * ((len(found) - len(welcome)) // sizes)
    pair.fill()
    assert pair.connection._writing, "and once more"


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
