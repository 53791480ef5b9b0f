"""A server that gets no time for a while: what came meanwhile is not taken for what does not come."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from oobconsole.console.console import INPUT_MAX, Console, ConsoleState
from oobconsole.interceptors.memory import MemoryGuest, MemoryInterceptor
from oobconsole.session import commands
from oobconsole.session.attend import Attended
from oobconsole.session.pipe import Pipe
from oobconsole.session.request import ExitStatus
from oobconsole.session.services import Services
from oobconsole.session.tui.pace import Pace
from oobconsole.session.within import within
from tests.support.aio import idle, soon, until
from tests.unit.session.fakes import ALICE, FakePeer, consoles, machine_of, request
from tests.unit.session.menus import FakeTerminal, begin, leave, shown


def nothing_else_for(seconds: float) -> None:
    """The event loop stands still, as on a machine that has no time for it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@asynccontextmanager
async def busy(seconds: float) -> AsyncIterator[None]:
    """The event loop stands still for so long, again and again, with few turns between."""

    async def be_busy() -> None:
        while True:
            await asyncio.sleep(0.001)
            nothing_else_for(seconds)

    task = asyncio.ensure_future(be_busy())
    yield
    task.cancel()


def web1(settings: Services) -> Console:
    """The console."""
    console = settings.directory.find("web1")
    assert console is not None
    return console


@pytest.mark.parametrize("pause", [0.0, 0.01])
async def test_what_came_while_nobody_could_look_is_in_time(pause: float) -> None:
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue()

    def late() -> None:
        nothing_else_for(0.03)
        loop.call_soon(queue.put_nowait, b"x")

    loop.call_later(pause, late)
    assert await soon(within(0.02, queue.get)) == b"x"
    assert await soon(within(0.02, queue.get)) is None
    assert await soon(within(0, queue.get)) is None
    queue.put_nowait(b"y")
    assert await soon(within(0, queue.get)) == b"y"


async def test_a_pipe_gets_the_whole_answer_of_a_guest_when_the_server_is_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A paste of a mebibyte once lost its end at a load of 23, and nobody was told: the server had got no time for
    as long as a guest has to be quiet before a pipe whose input has ended leaves."""
    monkeypatch.setattr(MemoryGuest, "PASSES", 8)  # 128 bytes in a turn
    settings = consoles("web1", drain_s=0.03)
    machine, peer = machine_of(settings), FakePeer(data := secrets.token_bytes(4000), ended=True)
    await machine.start()
    interceptor = machine.interceptor
    assert isinstance(interceptor, MemoryInterceptor)
    handler = interceptor.appear(1)
    assert handler is not None
    guest = MemoryGuest(interceptor, 1, handler)
    guest.boot(b"")
    pipe = Pipe(request(settings, peer), web1(settings), offset=None, watch=False, as_json=False)
    async with busy(0.035):
        assert await soon(pipe.run()) is ExitStatus.OK
    assert (bytes(peer.got), peer.told) == (data, [])


async def test_a_pipe_whose_reader_is_slow_says_what_it_has_not_sent() -> None:
    """Not that the guest still prints: it has been quiet for long. And that is no success."""
    settings = consoles("web1", drain_s=0.01, drain_max_s=0.3)
    console = web1(settings)
    console.set_state(ConsoleState.LIVE)
    console.bind(len)
    peer = FakePeer(b"x", ended=True)
    peer.writable.clear()
    pipe = asyncio.ensure_future(
        Pipe(request(settings, peer), console, offset=None, watch=False, as_json=False).run()
    )
    await until(lambda: console.attached == 1, lambda: console.attached)
    console.output(b"first")
    await until(lambda: peer.offered == len(b"first"), lambda: peer.offered)
    console.output(b"second")
    assert await soon(pipe) is ExitStatus.FAILED
    (told,) = peer.told
    assert "11 bytes of output still wait for you to read what came before them" in told


@pytest.mark.parametrize("keys", [b"~.", b"~b", b"~~"])
async def test_the_rest_of_a_paste_that_the_server_sees_late_is_no_pause(keys: bytes) -> None:
    """faults.md 10: a paste is never a command, on a busy machine either. What was a line of its own in the first
    packet counts only when nothing follows it, and the second one came while nobody could look."""
    settings = consoles("web1")
    console, got = web1(settings), bytearray()
    console.set_state(ConsoleState.LIVE)

    def take(data: bytes) -> int:
        got.extend(data)
        return len(data)

    console.bind(take)
    peer = FakePeer()
    task = asyncio.ensure_future(
        Attended(request(settings, peer), console, offset=None, watch=False, raw=False).run()
    )
    await until(lambda: console.attached == 1, lambda: console.attached)
    peer.type(b"\r" + keys)
    await until(lambda: got == b"\r", lambda: got)
    await asyncio.sleep(0)
    nothing_else_for(0.5)  # longer than any command is held
    asyncio.get_running_loop().call_soon(peer.type, b"text\r")
    await until(lambda: got.endswith(b"text\r") or task.done(), lambda: got)
    assert (bytes(got), task.done()) == (b"\r" + keys + b"text\r", False)
    task.cancel()


async def test_what_answers_a_guest_that_was_quicker_than_we_is_typed_by_itself() -> None:
    """A guest may have answered, and its user as well, before the server has come back from typing: on a busy machine
    that takes as long as all of them. What was typed then has not come at once with what was typed before."""
    settings = consoles("web1")
    console, peer = web1(settings), FakePeer()

    def take(data: bytes) -> int:
        if data == b"text":
            nothing_else_for(0.01)
            peer.type(b"\r~.")
        return len(data)

    console.set_state(ConsoleState.LIVE)
    console.bind(take)
    task = asyncio.ensure_future(
        Attended(request(settings, peer), console, offset=None, watch=False, raw=False).run()
    )
    await until(lambda: console.attached == 1, lambda: console.attached)
    peer.type(b"text")
    assert await soon(task) is ExitStatus.OK
    assert peer.told[-1] == "detached from web1"


async def test_what_waits_for_a_slow_guest_makes_no_pause_in_a_paste() -> None:
    """faults.md 10: between two packets of a paste the guest took nothing for a while. What stands at the beginning
    of the second one has come at once with the first."""
    settings = consoles("web1")
    console, got = web1(settings), bytearray()
    room = 0

    def take(data: bytes) -> int:
        got.extend(data[:room])
        return min(room, len(data))

    console.set_state(ConsoleState.LIVE)
    console.bind(take)
    peer = FakePeer()
    task = asyncio.ensure_future(
        Attended(request(settings, peer), console, offset=None, watch=False, raw=False).run()
    )
    await until(lambda: console.attached == 1, lambda: console.attached)
    first = b"x" * (2 * INPUT_MAX) + b"\r"
    peer.type(first)
    peer.type(b"~.")
    await until(lambda: console.input_waiting >= INPUT_MAX, lambda: console.input_waiting)
    began = time.monotonic()
    await until(lambda: time.monotonic() - began > 0.05, lambda: began)
    room = 4096
    for _ in range(3):
        console.pump()
        await idle()
    await until(lambda: bool(peer.told) and "came at once" in peer.told[-1], lambda: peer.told)
    assert (bytes(got), task.done()) == (first + b"~.", False)
    task.cancel()


async def _late_answer(settings: Services, command: str, text: bytes) -> tuple[ExitStatus, FakePeer]:
    """What a verb says of a guest that answers when its time is up, and the server was late."""
    console, peer = web1(settings), FakePeer()
    task = asyncio.ensure_future(commands.run(command, peer, None, settings, ALICE))
    await until(lambda: console.attached == 1, lambda: console.attached)
    await asyncio.sleep(0)
    nothing_else_for(0.3)
    asyncio.get_running_loop().call_soon(console.output, text)
    return await soon(task), peer


async def test_what_was_waited_for_came_in_time_when_the_server_was_late() -> None:
    settings = consoles("web1")
    web1(settings).set_state(ConsoleState.LIVE)
    status, peer = await _late_answer(settings, "wait --timeout 0.2 web1 ready", b"ready\n")
    assert (status, bytes(peer.got)) == (ExitStatus.OK, b"ready\n")


async def test_each_guests_answer_is_shown_when_the_server_was_late() -> None:
    settings = consoles("web1", drain_s=0.2)
    web1(settings).set_state(ConsoleState.LIVE)
    web1(settings).bind(len)
    status, peer = await _late_answer(settings, "send 'web*' date", b"Friday\n")
    assert (status, bytes(peer.got)) == (ExitStatus.OK, b"web1: Friday\n")


@pytest.mark.parametrize("cut", [1, 2, 4])
async def test_the_rest_of_a_sequence_came_in_time_when_others_had_their_turn(
    cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the menu, whose library has a clock of its own: the beginning of a mark was taken for the Escape key."""
    paste = b"\x1b[200~web03\rreboot\r\x1b[201~"
    terminal = FakeTerminal()
    task = begin(terminal)
    await shown(terminal, "web00")
    real_turn = Pace.turn

    async def late_turn(pace: Pace) -> None:
        await real_turn(pace)
        await asyncio.sleep(0.7)  # longer than Escape is waited for

    monkeypatch.setattr(Pace, "turn", late_turn)
    terminal.type(paste[:cut])
    terminal.type(paste[cut:])
    await shown(terminal, "search: web03reboot")
    monkeypatch.undo()
    await leave(terminal, task)
