"""A person and a script at a console whose guest is a function."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pyte
import pytest

from oobconsole import supervise
from oobconsole.console.console import INPUT_MAX, Console, ConsoleState
from oobconsole.errors import HungUp
from oobconsole.session import pipe as pipes
from oobconsole.session.attend import Attended
from oobconsole.session.pipe import Pipe
from oobconsole.session.request import ExitStatus
from oobconsole.session.services import Services
from tests.support.aio import soon, stays, until
from tests.unit.session.fakes import FakePeer, consoles, request


def live(console: Console, device: Callable[[bytes], int] | None = None) -> Console:
    """A guest that echoes, when no other is given."""

    def echo(data: bytes) -> int:
        console.output(data)
        return len(data)

    console.set_state(ConsoleState.LIVE)
    console.bind(device or echo)
    return console


async def attend(console: Console, peer: FakePeer, settings: Services) -> ExitStatus:
    """A person's session."""
    return await Attended(request(settings, peer), console, offset=None, watch=False, raw=False).run()


async def pipe(console: Console, peer: FakePeer, settings: Services) -> ExitStatus:
    """A script's session."""
    return await Pipe(request(settings, peer), console, offset=None, watch=False, as_json=False).run()


def refuse(data: bytes) -> int:
    """A guest that does not read."""
    return 0


class TestAttend:
    async def test_shows_the_screen_then_what_comes(self) -> None:
        settings = consoles("web1")
        console = live(next(settings.directory.consoles()))
        console.output(b"one\r\ntwo\r\nthree\r\nlogin: ")
        peer = FakePeer(b"root\r")
        task = asyncio.ensure_future(attend(console, peer, settings))
        await until(lambda: peer.got.endswith(b"root\r"), lambda: peer.got)
        screen = pyte.Screen(80, 24)
        pyte.ByteStream(screen).feed(bytes(peer.got).replace(b"root\r", b"root"))
        assert [line.rstrip() for line in screen.display[:4]] == ["one", "two", "three", "login: root"]
        peer.type(b"~.")
        assert await soon(task) is ExitStatus.OK
        assert peer.told == ["web1 is live, you have the keyboard; ~. detaches, ~h helps", "detached from web1"]
        assert console.attached == 0

    async def test_helps(self) -> None:
        settings = consoles("web1")
        peer = FakePeer(b"~", b"?")
        task = asyncio.ensure_future(attend(next(settings.directory.consoles()), peer, settings))
        await until(lambda: any("~.  detach" in text for text in peer.told), lambda: peer.told)
        peer.type(b"~.")
        assert await soon(task) is ExitStatus.OK

    async def test_what_came_at_once_with_text_is_told(self) -> None:
        settings = consoles("web1")
        console = live(next(settings.directory.consoles()))
        peer = FakePeer(b"exit\r~.")
        task = asyncio.ensure_future(attend(console, peer, settings))
        await until(lambda: any("~. came at once" in text for text in peer.told), lambda: peer.told)
        await until(lambda: peer.got.endswith(b"exit\r~."), lambda: peer.got)
        peer.end()
        assert await soon(task) is ExitStatus.OK

    async def test_a_script_that_ends_has_detached(self) -> None:
        settings = consoles("web1")
        console = live(next(settings.directory.consoles()))
        peer = FakePeer(b"exit\n~.\n", ended=True)
        assert await soon(attend(console, peer, settings)) is ExitStatus.OK
        assert peer.told[-1] == "detached from web1"
        assert b"~" not in peer.got

    async def test_says_who_else_is_there(self) -> None:
        settings = consoles("web1")
        console = next(settings.directory.consoles())
        first = asyncio.ensure_future(attend(console, FakePeer(), settings))
        await until(lambda: console.attached == 1, lambda: console.attached)
        peer = FakePeer(ended=True)
        await soon(attend(console, peer, settings))
        assert peer.told[0].startswith("web1 is waiting, 1 more attached, alice has the keyboard;")
        first.cancel()

    async def test_ends_when_the_server_stops(self) -> None:
        settings = consoles("web1")
        console = next(settings.directory.consoles())
        peer = FakePeer()
        task = await stays(attend(console, peer, settings))
        console.close("the console server stops")
        assert await soon(task) is ExitStatus.FAILED
        assert peer.told[-1] == "the console server stops"

    async def test_a_hang_up_is_noticed_while_the_guest_takes_nothing(self) -> None:
        settings = consoles("web1")
        console = live(next(settings.directory.consoles()), refuse)
        peer = FakePeer(b"x" * 2 * INPUT_MAX)
        task = await stays(attend(console, peer, settings))
        peer.hang_up()
        assert await soon(task) is ExitStatus.OK
        assert console.attached == 0


class TestPipe:
    async def test_carries_bytes_and_nothing_else(self) -> None:
        settings = consoles("web1")
        console = live(next(settings.directory.consoles()))
        console.output(b"old output")
        data = bytes(range(256)) + b"\r~.\r~~"
        peer = FakePeer(data, ended=True)
        assert await soon(pipe(console, peer, settings)) is ExitStatus.OK
        assert peer.got == data
        assert peer.told == []

    async def test_stays_until_the_guest_has_answered(self) -> None:
        settings = consoles("web1", drain_s=0.05)
        taken = bytearray()

        def slow(data: bytes) -> int:
            taken.extend(data[:1])
            asyncio.get_running_loop().call_later(0.01, answer, data[:1])
            return 1

        def answer(data: bytes) -> None:
            console.output(data)
            console.pump()

        console = live(next(settings.directory.consoles()), slow)
        peer = FakePeer(b"0123456789", ended=True)
        assert await soon(pipe(console, peer, settings)) is ExitStatus.OK
        assert bytes(peer.got) == bytes(taken) == b"0123456789"

    async def test_a_slow_client_gets_everything_before_the_end(self) -> None:
        settings = consoles("web1")
        console = live(next(settings.directory.consoles()))
        peer = FakePeer()
        peer.writable.clear()
        task = await stays(pipe(console, peer, settings))
        console.output(b"a")
        await asyncio.sleep(0)
        console.output(b"b")
        peer.end()
        await until(lambda: console.attached == 1, lambda: console.attached)
        asyncio.get_running_loop().call_later(5 * settings.drain_s, peer.writable.set)
        assert await soon(task) is ExitStatus.OK
        assert peer.got == b"ab"

    async def test_a_guest_that_does_not_read_is_reported(self) -> None:
        settings = consoles("web1", drain_max_s=0.1)
        console = live(next(settings.directory.consoles()), refuse)
        peer = FakePeer(b"hello", ended=True)
        assert await soon(pipe(console, peer, settings)) is ExitStatus.FAILED
        assert peer.told == ["web1: 5 bytes of input still wait for the guest 0.1 s after the end of input; leaving"]

    async def test_a_guest_that_never_stops_printing_does_not_keep_it(self) -> None:
        settings = consoles("web1", drain_max_s=0.2)
        console = live(next(settings.directory.consoles()))
        peer = FakePeer(ended=True)

        async def chatter() -> None:
            while True:
                console.output(b".")
                await asyncio.sleep(settings.drain_s / 4)

        noise = asyncio.ensure_future(chatter())
        assert await soon(pipe(console, peer, settings)) is ExitStatus.OK
        noise.cancel()
        assert "the guest still prints" in peer.told[-1]

    async def test_input_for_a_guest_that_is_gone_fails(self) -> None:
        settings = consoles("web1")
        console = live(next(settings.directory.consoles()))
        console.bind(None)
        console.set_state(ConsoleState.GONE, "the guest is gone: destroyed")
        peer = FakePeer(b"hello", ended=True)
        assert await soon(pipe(console, peer, settings)) is ExitStatus.FAILED
        assert peer.told[0] == "web1 is gone: the guest is gone: destroyed"

    async def test_a_person_without_a_terminal_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pipes, "HINT_SECONDS", 0.01)
        settings = consoles("web1")
        console = live(next(settings.directory.consoles()))
        peer = FakePeer()
        task = asyncio.ensure_future(pipe(console, peer, settings))
        await until(lambda: any("ssh -t" in text for text in peer.told), lambda: peer.told)
        peer.type(b"still works")
        peer.end()
        assert await soon(task) is ExitStatus.OK
        assert peer.got == b"still works"


class TestFirstDone:
    """Parts of a session that run beside each other: every error has somebody who reads it."""

    async def _ends(self, error: Exception) -> ExitStatus:
        begun = asyncio.Event()

        async def fails_when_it_is_ended() -> ExitStatus:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                raise error

        async def done() -> ExitStatus:
            await begun.wait()
            return ExitStatus.OK

        return await soon(pipes.first_done(fails_when_it_is_ended(), done()))

    async def test_an_error_of_a_part_that_is_ended_is_told(self) -> None:
        before = sum(supervise.ended.values())
        assert await self._ends(RuntimeError("a bug")) is ExitStatus.OK
        assert sum(supervise.ended.values()) == before + 1

    async def test_a_client_that_has_left_is_no_fault(self) -> None:
        before = sum(supervise.ended.values())
        assert await self._ends(HungUp("the client has left")) is ExitStatus.OK
        assert sum(supervise.ended.values()) == before

    async def test_the_error_of_the_first_is_raised_and_not_told_twice(self) -> None:
        async def fails() -> ExitStatus:
            raise RuntimeError("a bug")

        async def waits() -> ExitStatus:
            await asyncio.Event().wait()
            return ExitStatus.OK

        before = sum(supervise.ended.values())
        with pytest.raises(RuntimeError, match="a bug"):
            await soon(pipes.first_done(fails(), waits()))
        assert sum(supervise.ended.values()) == before
