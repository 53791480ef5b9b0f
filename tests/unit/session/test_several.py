"""One text to several consoles: by right, audited, and each told by its name."""

from __future__ import annotations

from oobconsole.access import ALL, Grant, Principal, Right
from oobconsole.console.console import Console, ConsoleState
from oobconsole.events import Event, Kind
from oobconsole.session.commands import run
from oobconsole.session.request import ExitStatus
from oobconsole.session.services import Services
from tests.support.aio import soon
from tests.unit.session.fakes import ALICE, FakePeer, consoles


def live(known: Services, name: str) -> list[bytes]:
    """A guest that takes everything, and answers a line with its name; returns what it gets."""
    console = known.directory.find(name)
    assert console is not None
    got: list[bytes] = []

    def take(data: bytes) -> int:
        got.append(data)
        assert isinstance(console, Console)
        console.output(f"\x1b[1m{name}\x1b[0m ok\r\n".encode())
        return len(data)

    console.set_state(ConsoleState.LIVE)
    console.bind(take)
    return got


async def test_each_gets_it_and_answers_by_its_name() -> None:
    known, peer = consoles("web1", "web2", "db1"), FakePeer()
    got = {name: live(known, name) for name in ("web1", "web2", "db1")}
    noted: list[Event] = []
    known.events.add_sink(noted.append)
    assert await soon(run("send web* uptime --pretty", peer, None, known, ALICE)) is ExitStatus.OK
    assert got == {"web1": [b"uptime --pretty\r"], "web2": [b"uptime --pretty\r"], "db1": []}
    assert sorted(peer.got.decode().splitlines()) == ["web1: web1 ok", "web2: web2 ok"]
    assert peer.told == ["typed into 2 of 2 consoles"]
    assert sorted((e.console, e.who) for e in noted if e.kind is Kind.SENT) == [("web1", ALICE), ("web2", ALICE)]


async def test_who_has_another_keyboard_is_named_and_left_out() -> None:
    known, peer = consoles("web1", "web2"), FakePeer()
    got = {name: live(known, name) for name in ("web1", "web2")}
    known.access.grants = (*known.access.grants, Grant(("bob",), ("*",), ALL))
    web2 = known.directory.find("web2")
    assert web2 is not None
    known.seats.room(web2).join(Principal("bob"), web2.attach(), watch=False)
    assert await soon(run("send 'web[12]' x", peer, None, known, ALICE)) is ExitStatus.PARTIAL
    assert got == {"web1": [b"x\r"], "web2": []}
    assert "bob has the keyboard of web2: nothing was typed" in peer.told
    assert peer.told[-1] == "typed into 1 of 2 consoles"
    assert await soon(run("send --force web? x", FakePeer(), None, known, ALICE)) is ExitStatus.OK


async def test_by_right() -> None:
    known, peer, bob = consoles("web1", "web2", "web3"), FakePeer(), Principal("bob")
    got = {name: live(known, name) for name in ("web1", "web2", "web3")}
    known.access.grants = (
        Grant(("bob",), ("web1",), frozenset({Right.WRITE})),
        Grant(("bob",), ("web2",), frozenset({Right.WATCH})),
    )
    assert await soon(run("send web* x", peer, None, known, bob)) is ExitStatus.PARTIAL
    assert got == {"web1": [b"x\r"], "web2": [], "web3": []}
    assert peer.got == b""  # no right to watch web1: nothing of what it prints
    assert any("no right to write at web2" in text for text in peer.told)
    assert not any("web3" in text for text in peer.told)


async def test_none() -> None:
    peer = FakePeer()
    assert await soon(run("send nope* x", peer, None, consoles("web1"), ALICE)) is ExitStatus.USAGE
    assert "there is no console 'nope*'" in peer.told[0]
