"""`oobconsole.client` when the server ends a session whose output the script has not looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oobconsole.client import CommandRefused, ConnectFailed, Console
from tests.loopback.lab import Lab
from tests.support.aio import soon, until
from tests.support.pace import scaled

#: The guest prints so many lines of 70 characters, 1.4 MB: more than a script leaves unread.
LINES = 20_000


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with Lab(tmp_path, "scrollback_kib = 4096") as running:
        yield running


async def unread(lab: Lab, console: Console) -> None:
    """The guest prints so much that the script makes the server wait."""
    for number in range(LINES):
        lab.console.output(b"%068d\r\n" % number)
        if not number % 100:
            await asyncio.sleep(0)
    await until(lambda: len(console.transcript) > 1 << 19, lambda: len(console.transcript))


@pytest.mark.parametrize("sends", ["afterwards", "meanwhile"])
async def test_who_types_is_told_that_the_right_was_taken_away(lab: Lab, sends: str) -> None:
    """faults.md 28, its kind: asyncssh's BrokenPipeError came out of `send`, because asyncssh tells of a channel's
    end only behind all that was printed before it. Somebody who waited in `send` waited for ever."""
    lab.appear()
    async with lab.script() as there:
        console = await there.attach("web1")
        await unread(lab, console)
        if sends == "meanwhile":
            lab.interceptor.lose_link("for a test")  # the guest reads nothing
            typing = asyncio.ensure_future(console.send(b"x" * (8 << 20)))
            await until(lambda: not lab.console.takes_input, lambda: lab.console.input_waiting)
        lab.services.access.grants = ()
        lab.services.seats.recheck()
        await until(lambda: not lab.lobby.visitors, lambda: lab.lobby.visitors)
        if sends == "meanwhile":
            await soon(typing)
        with pytest.raises(CommandRefused, match="your right to watch web1 was taken away"):
            await soon(_send_on(console))


async def _send_on(console: Console) -> None:
    """Type again and again: what was on its way when a session ended is not typed again, and is no error."""
    while True:
        await console.send("x")
        await asyncio.sleep(0)


async def test_output_that_waits_when_a_session_ends_is_neither_lost_nor_doubled(lab: Lab) -> None:
    """The script was not told of the end either, and was not attached any more."""
    _, guest = lab.appear()
    async with lab.script() as there:
        console = await there.attach("web1")
        await unread(lab, console)
        for _ in range(3):  # what is unread must not grow with each new session
            await _attached_anew(lab)
        await soon(console.send(b"typed"))
        await until(lambda: guest.received.endswith(b"typed"), lambda: bytes(guest.received[-10:]))
        for number in range(0, LINES, 500):
            await console.expect(f"{number:068}\r\n", timeout=scaled(10))
        await console.expect("typed", timeout=scaled(30))
        assert not console.gaps
        assert console.offset == lab.console.end


async def _attached_anew(lab: Lab) -> None:
    """End the script's session, and wait until the script is there again."""
    members = lab.services.seats.room(lab.console).members
    (member,) = members
    member.end("for a test")
    await until(lambda: len(members) == 1 and members[0] is not member, lambda: members)


async def test_events_that_end_are_an_error_of_the_client_s(lab: Lab) -> None:
    """faults.md 28, its kind: a stream of events that was lost ended as if nothing more could happen."""
    async with lab.script() as there:
        events = there.events()
        first = asyncio.ensure_future(anext(events))
        await until(lambda: bool(lab.lobby.visitors), lambda: "nobody listens")
        while not first.done():
            lab.appear()
            lab.interceptor.lose_link("for a test")
            await asyncio.sleep(0.01)
        rest = asyncio.ensure_future(_exhaust(events))
        for link in list(lab.ssh.connections):
            link.abort()
        with pytest.raises(ConnectFailed, match="was lost"):
            await soon(rest)


async def _exhaust(events: AsyncIterator[dict[str, object]]) -> None:
    async for _ in events:
        pass
