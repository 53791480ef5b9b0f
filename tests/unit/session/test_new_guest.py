"""real-guests.md F5: a guest that was started again begins anew, and everybody learns where its output begins."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from oobconsole.access import ALL, Access, Grant
from oobconsole.console.console import Console, ConsoleState
from oobconsole.console.reader import Notice
from oobconsole.console.textscreen import TextScreen
from oobconsole.session import commands
from oobconsole.session.attend import Attended
from oobconsole.session.services import Services
from oobconsole.terminal.model import Terminal
from tests.support.aio import soon, until
from tests.unit.session.fakes import FakePeer, consoles, machine_of, recording, request

LINE = rb"-- a new guest appeared at \d{4}-\d\d-\d\dT\S+ --\r\n"


def restarted(console: Console) -> None:
    """Its guest prints two lines and a prompt, ends, and is started again."""
    console.set_state(ConsoleState.LIVE)
    console.output(b"old guest\r\n\x1b[31m\x1b[5;20r\x1b[10;1Hold prompt$ ")
    console.set_state(ConsoleState.GONE, "the guest is gone: it ended")
    console.set_state(ConsoleState.LIVE)


@pytest.fixture
async def recorded(tmp_path: Path) -> AsyncIterator[Services]:
    async with recording(tmp_path) as made:
        yield made


def web1(settings: Services) -> Console:
    """The console."""
    console = settings.directory.find("web1")
    assert console is not None
    return console


async def test_the_screen_is_empty_at_first() -> None:
    settings = consoles("web1")
    console = web1(settings)
    screen = settings.seats.screen(console)
    await screen.redraw()
    restarted(console)
    console.output(b"new guest\r\n")
    afresh = TextScreen(console)
    for looked in (screen, afresh):
        _, drawing = await looked.redraw()
        terminal = Terminal(24, 80)
        terminal.feed(drawing)
        assert terminal.text[:2] == ["new guest", ""]
        assert not any("old" in row for row in terminal.text)
        assert (terminal.top, terminal.bottom, terminal.cursor.pen) == (0, 23, Terminal(24, 80).cursor.pen)


async def test_one_that_was_away_is_no_new_one() -> None:
    settings = consoles("web1")
    console = web1(settings)
    console.set_state(ConsoleState.LIVE)
    console.output(b"text")
    console.set_state(ConsoleState.AWAY)
    console.set_state(ConsoleState.LIVE)
    assert (console.began, console.reason) == (0, "a guest uses this port")


async def test_programs_are_told_where_it_begins() -> None:
    console = web1(consoles("web1"))
    reader = console.attach()
    restarted(console)
    items = [await soon(reader.next()) for _ in range(3)]
    told = items[-1]
    assert isinstance(told, Notice)
    assert dict(told.detail) == {"state": "live", "reason": "a new guest appeared", "offset": console.end}


@pytest.mark.parametrize("since", ["", " --lines 50", " --since 1h"])
async def test_the_log_has_a_line_between_two_guests(recorded: Services, since: str) -> None:
    restarted(web1(recorded))
    web1(recorded).output(b"new guest\r\n")
    peer = FakePeer()
    await soon(commands.run(f"log web1{since}", peer, None, recorded, request(recorded, peer).who))
    assert re.search(rb"old prompt\$ \x1b\[m\r\n" + LINE + rb"new guest\r\n", peer.got), peer.got
    raw = FakePeer()
    await soon(commands.run("log web1 --raw --lines 50", raw, None, recorded, request(recorded, raw).who))
    assert bytes(raw.got) == web1(recorded).read_from(0, 1000).data


async def test_the_log_ends_with_it_when_nothing_was_printed_since(recorded: Services) -> None:
    restarted(web1(recorded))
    peer = FakePeer()
    await soon(commands.run("log web1", peer, None, recorded, request(recorded, peer).who))
    assert re.search(LINE + rb"\Z", peer.got), peer.got


async def test_the_last_lines_have_it_too() -> None:
    settings = consoles("web1")
    restarted(web1(settings))
    web1(settings).output(b"new guest\r\n")
    peer = FakePeer(b"~l")
    asked = request(replace(settings, tail_lines=50), peer)
    session = Attended(asked, web1(settings), offset=None, watch=False, raw=False)
    task = asyncio.ensure_future(session.run())
    await until(lambda: b"new guest" in peer.got and b"appeared at" in peer.got, lambda: peer.got)
    task.cancel()
    assert re.search(rb"old prompt\$ \r\n" + LINE + rb"new guest\r\n", peer.got)


@pytest.mark.parametrize("may", [True, False])
async def test_who_waits_at_another_name_is_told_where_it_is(may: bool) -> None:
    """It takes the name of the guest that went last; who is at an older one would wait there for ever."""
    settings = consoles("web1", "web2")
    machine = machine_of(settings)
    appear, vanish = machine.interceptor.appear, machine.interceptor.vanish  # type: ignore[attr-defined]
    await machine.start()
    seen = ("*",) if may else ("web1",)
    settings = replace(settings, access=Access((Grant(("alice",), seen, ALL),)))
    for number in (1, 2):
        appear(number)
    peer = FakePeer()
    session = Attended(request(settings, peer), web1(settings), offset=None, watch=False, raw=False)
    task = asyncio.ensure_future(session.run())
    await until(lambda: web1(settings).attached == 1, lambda: peer.told)
    vanish(1, "it ended")
    machine.guests[0].left -= 60
    vanish(2, "it ended")
    appear(3)
    web1(settings).announce("behind it")
    await until(lambda: "web1: behind it" in peer.told, lambda: peer.told)
    assert ("web1: a guest has appeared as web2; it may be this one" in peer.told) is may
    task.cancel()


async def said(recorded: Services, command: str) -> bytes:
    """What a verb prints."""
    peer = FakePeer()
    await soon(commands.run(command, peer, None, recorded, request(recorded, peer).who))
    return bytes(peer.got)


async def test_what_is_found_has_a_line_between_two_guests(recorded: Services) -> None:
    """And the last line of the old one is none of the new one's first."""
    console = web1(recorded)
    restarted(console)
    console.output(b"new guest\r\n")
    found = (await said(recorded, "search web1 guest")).splitlines()
    assert [line.split(b"  ")[-1] for line in found[::2]] == [b"old guest", b"new guest"]
    assert re.fullmatch(LINE.removesuffix(rb"\r\n"), found[1])
    assert len((await said(recorded, "search web1 'new guest'")).splitlines()) == 1
    assert b"old prompt$ new" not in await said(recorded, "search web1 '.*'")


async def test_a_replay_begins_anew_with_the_new_guest(recorded: Services) -> None:
    """With a line between, and without the margins and colours that the old one has left."""
    console = web1(recorded)
    restarted(console)
    console.output(b"new guest\r\n")
    played = await said(recorded, "replay web1 --speed 100")
    assert re.search(LINE + rb"new guest", played), played
    terminal = Terminal(24, 80)
    terminal.feed(played)
    assert (terminal.top, terminal.bottom, terminal.cursor.pen) == (0, 23, Terminal(24, 80).cursor.pen)


@pytest.mark.parametrize("command", ["log web1", "search web1 .", "replay web1 --speed 100"])
async def test_an_old_guests_string_hides_nothing_of_the_new_one(recorded: Services, command: str) -> None:
    console = web1(recorded)
    console.set_state(ConsoleState.LIVE)
    console.output(b"old\r\n\x1b]0;a title that never")
    console.set_state(ConsoleState.GONE, "it ended")
    console.set_state(ConsoleState.LIVE)
    console.output(b"first words of the new one")
    printed = await said(recorded, command)
    assert b"first words of the new one" in printed
    assert b"title" not in printed


async def test_nothing_of_an_old_guests_line_is_waited_for(recorded: Services) -> None:
    console, peer = web1(recorded), FakePeer()
    console.set_state(ConsoleState.LIVE)
    console.output(b"before it ")
    task = asyncio.ensure_future(
        commands.run("wait --timeout 60 web1 '^ready|old'", peer, None, recorded, request(recorded, peer).who)
    )
    await until(lambda: console.attached == 1, lambda: console.attached)
    console.output(b"\x1b]0;a title that never")
    console.set_state(ConsoleState.GONE, "it ended")
    console.set_state(ConsoleState.LIVE)
    console.output(b"ready ")
    await soon(task)
    assert bytes(peer.got) == b"ready\n"


async def test_after_a_restart_of_the_server_the_screen_is_the_new_guests(tmp_path: Path) -> None:
    """The recording says where its output begins, and that a string was given up."""
    async with recording(tmp_path) as settings:
        restarted(web1(settings))
        web1(settings).output(b"new guest\r\n")
    async with recording(tmp_path) as settings:
        console = web1(settings)
        assert await _screen(settings) == ["new guest"]
        assert [offset for offset, _ in console.begun] == [console.began]
        console.set_state(ConsoleState.LIVE)
        assert console.reason == "a guest uses this port"  # as far as anybody knows it is the same
        console.output(b"more\r\n\x1b]0;a title")
    async with recording(tmp_path) as settings:
        web1(settings).output(b"and more")
        assert await _screen(settings) == ["new guest", "more", "and more"]


async def test_who_comes_after_a_restart_of_the_server_is_new_if_the_old_one_had_ended(tmp_path: Path) -> None:
    async with recording(tmp_path) as settings:
        web1(settings).set_state(ConsoleState.LIVE)
        web1(settings).output(b"old guest\r\n")
        web1(settings).set_state(ConsoleState.OFF, "it was switched off")
    async with recording(tmp_path) as settings:
        console = web1(settings)
        reader = console.attach()
        assert await _screen(settings) == ["old guest"]
        console.set_state(ConsoleState.FAULT, "it is being connected")
        console.set_state(ConsoleState.LIVE)
        told = await soon(reader.next())
        assert isinstance(told, Notice)
        assert told.detail["offset"] == len(b"old guest\r\n")
        console.output(b"new guest")
        assert await _screen(settings) == ["new guest"]
        console.set_state(ConsoleState.FAULT, "a line that was lost for a moment")
        console.set_state(ConsoleState.LIVE)
        assert console.reason == "a guest uses this port"


async def _screen(settings: Services) -> list[str]:
    """What it shows, without the empty rows."""
    screen = settings.seats.screen(web1(settings))
    await soon(screen.redraw())
    return [row.rstrip() for row in screen.terminal.text if row.strip()]
