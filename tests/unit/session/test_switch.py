"""The right to do something holds when that is done, and not only when it was asked for."""

from __future__ import annotations

import asyncio

import pytest

from oobconsole.access import ALL, Grant, Right
from oobconsole.console.console import INPUT_MAX, Console, ConsoleState
from oobconsole.events import Event, Kind
from oobconsole.power.power import PowerAction
from oobconsole.session import switch
from oobconsole.session.attend import Attended
from oobconsole.session.commands import run
from oobconsole.session.pipe import PART
from oobconsole.session.prompt import Keys, PeerPrompt
from oobconsole.session.request import ExitStatus
from oobconsole.session.services import Services
from tests.support.aio import soon, until
from tests.unit.session.fakes import ALICE, FakePeer, consoles, request


class Switch:
    """A switch that keeps what it was to do."""

    def __init__(self) -> None:
        self.done: list[PowerAction] = []

    async def do(self, action: PowerAction) -> str:
        """Note the action."""
        self.done.append(action)
        return "done"


class Guest:
    """A guest that takes input while `room` is set, and counts breaks."""

    def __init__(self, console: Console) -> None:
        self.room = True
        self.got = bytearray()
        self.breaks = 0
        console.set_state(ConsoleState.LIVE)
        console.bind(self._take, self._break)

    def _take(self, data: bytes) -> int:
        if not self.room:
            return 0
        self.got += data
        return len(data)

    def _break(self) -> bool:
        self.breaks += 1
        return True


@pytest.fixture
def known() -> Services:
    """One console, web1, with a guest that can be switched."""
    made = consoles("web1")
    guest = made.directory.guest("web1")
    assert guest is not None
    guest.power = Switch()
    return made


def web1(known: Services) -> Console:
    """The console."""
    console = known.directory.find("web1")
    assert console is not None
    return console


def switch_of(known: Services) -> Switch:
    """What the guest is switched by now."""
    power = known.directory.power_of(web1(known))
    assert isinstance(power, Switch)
    return power


def take_away(known: Services, right: Right) -> None:
    """What a reload does: alice has all rights but this one."""
    known.access.grants = (Grant(("alice",), ("*",), ALL - {right}),)
    known.seats.recheck()


async def asked(known: Services, peer: FakePeer) -> asyncio.Task[str]:
    """alice has typed `~p` and then `r`, and is asked whether that is meant."""
    keys = Keys(peer, PeerPrompt(peer))
    peer.type(b"r")
    task = asyncio.ensure_future(switch.ask(known, web1(known), ALICE, keys, peer.tell))
    await until(lambda: "reset web1? y does it" in peer.told, lambda: peer.told)
    return task


async def test_a_right_that_is_gone_when_the_question_is_answered_switches_nothing(known: Services) -> None:
    """security.md 22, variation: the right was looked at before two questions of 30 seconds each, and not again."""
    peer, noted = FakePeer(), list[Event]()
    known.events.add_sink(noted.append)
    task = await asked(known, peer)
    take_away(known, Right.POWER)
    peer.type(b"y")
    assert await soon(task) == ""
    assert switch_of(known).done == []
    assert peer.told[-1] == "you have no right to switch web1"
    assert [(e.kind, e.detail) for e in noted] == [(Kind.DENIED, {"right": "power"})]


async def test_the_guest_is_switched_where_it_is_when_the_question_is_answered(known: Services) -> None:
    """security.md 22, variation: a guest that has migrated meanwhile was switched at the host that it had left."""
    peer, before, now = FakePeer(), switch_of(known), Switch()
    task = await asked(known, peer)
    guest = known.directory.guest("web1")
    assert guest is not None
    guest.power = now
    peer.type(b"y")
    assert await soon(task) == "reset of web1: done"
    assert (before.done, now.done) == ([], [PowerAction.RESET])


async def test_a_break_that_has_waited_needs_the_keyboard_still(known: Services) -> None:
    """security.md 22, variation: a break waits until the guest has read what was typed before."""
    peer, console = FakePeer(), web1(known)
    guest = Guest(console)
    session = asyncio.ensure_future(
        Attended(request(known, peer), console, offset=None, watch=False, raw=False).run()
    )
    await until(lambda: console.attached == 1, lambda: peer.told)
    guest.room = False
    peer.type(b"x\r")
    await until(lambda: console.input_waiting == 2, lambda: console.input_waiting)
    peer.type(b"~b")
    await until(lambda: not console.write_at_once(b""), lambda: peer.told)  # the break has the turn, and waits
    take_away(known, Right.WRITE)
    guest.room = True
    console.pump()
    await until(lambda: any(text.startswith("no break was sent") for text in peer.told), lambda: peer.told)
    assert (bytes(guest.got), guest.breaks) == (b"x\r", 0)
    assert peer.told[-1] == "no break was sent: you do not have the keyboard any more"
    peer.hang_up()
    assert await soon(session) is ExitStatus.OK


async def test_a_text_that_has_waited_needs_the_right_still(known: Services) -> None:
    """security.md 22, variation: `send` waits while a guest reads slowly, and the text may be long."""
    peer, console = FakePeer(), web1(known)
    guest = Guest(console)
    guest.room = False
    await soon(console.write(b"-" * (INPUT_MAX - 1)))
    sent = asyncio.ensure_future(run(f"send web1 {'x' * 9000}", peer, None, known, ALICE))
    await until(lambda: console.input_waiting > INPUT_MAX, lambda: console.input_waiting)
    take_away(known, Right.WRITE)
    guest.room = True
    console.pump()
    assert await soon(sent) is ExitStatus.DENIED
    assert peer.told == ["you have no right to write at web1; a [[grant]] of the server gives it"]
    await until(lambda: console.input_waiting == 0, lambda: console.input_waiting)
    assert guest.got.count(b"x") == 2 * PART  # the part that waited, and the part before it
