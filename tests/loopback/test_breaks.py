"""Breaks are kept as what is typed is, or said to be lost to whoever sent them: a real client's own (RFC 4335)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest
import pytest_asyncio

from oobconsole.front.visitor import BREAKS_MAX
from oobconsole.guests import absence
from oobconsole.power.power import PowerAction
from oobconsole.session import actions
from tests.loopback.lab import Lab
from tests.support.aio import idle, soon, until

Process = asyncssh.SSHClientProcess[bytes]


@pytest_asyncio.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with Lab(tmp_path) as running:
        yield running


@pytest_asyncio.fixture
async def client(lab: Lab) -> AsyncIterator[asyncssh.SSHClientConnection]:
    async with await soon(lab.connect()) as connected:
        yield connected


async def attached(client: asyncssh.SSHClientConnection) -> Process:
    process = await begun(client)
    await soon(process.stdout.readuntil(b"helps]\r\n"))
    return process


async def begun(client: asyncssh.SSHClientConnection, command: str | None = "web1") -> Process:
    return await soon(client.create_process(command, encoding=None, term_type="dumb", term_size=(80, 24)))


async def test_a_break_is_kept_while_the_link_is_broken_for_a_moment(
    lab: Lab, client: asyncssh.SSHClientConnection
) -> None:
    _, guest = lab.appear()
    process = await attached(client)
    lab.interceptor.lose_link("test")
    process.stdin.write(b"before")
    process.send_break(500)
    await until(lambda: lab.console.input_waiting == 6, lambda: lab.console.input_waiting)
    lab.interceptor.appear(1)
    await soon(process.stdout.readuntil(b"break sent]\r\n"))
    assert guest.received == b"before\0"


@pytest.mark.parametrize("key", ["~b", "~sh"])
async def test_so_are_those_of_the_escape_keys(lab: Lab, client: asyncssh.SSHClientConnection, key: str) -> None:
    _, guest = lab.appear()
    process = await attached(client)
    lab.interceptor.lose_link("test")
    process.stdin.write(b"~b" if key == "~b" else b"~s")
    if key == "~sh":
        await soon(process.stdout.readuntil(b"SysRq key"))
        process.stdin.write(b"h")
    await idle()
    lab.interceptor.appear(1)
    await soon(process.stdout.readuntil(b" sent]\r\n"))
    await until(lambda: bytes(guest.received) == (b"\0" if key == "~b" else b"\0h"), lambda: guest.received)


async def test_a_break_is_said_to_be_lost_when_the_link_stays_broken(
    lab: Lab, client: asyncssh.SSHClientConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "BREAK_SECONDS", 0.3)
    monkeypatch.setattr(absence, "AWAY_SECONDS", 0.1)
    _, guest = lab.appear()
    process = await attached(client)
    lab.interceptor.lose_link("test")
    process.send_break(500)
    await soon(process.stdout.readuntil(b"no break was sent: machine rack7 is not connected: test]\r\n"))
    lab.interceptor.appear(1)
    process.stdin.write(b"x")
    await until(lambda: guest.received == b"x", lambda: guest.received)


async def test_a_break_to_a_guest_that_reads_nothing_says_so(
    lab: Lab, client: asyncssh.SSHClientConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "BREAK_SECONDS", 0.1)
    handler = lab.interceptor.appear(1)
    assert handler is not None
    handler.write(0x3FA, 1, 0x01)  # its FIFOs are on; nobody reads them
    handler.write(0x3F9, 1, 0)
    process = await attached(client)
    for _ in range(16):
        process.send_break(500)
        await soon(process.stdout.readuntil(b"break sent]\r\n"))
    process.send_break(500)
    await soon(process.stdout.readuntil(b"no break was sent: the guest has not read what was typed before]\r\n"))


async def test_a_break_that_is_asked_for_before_the_console_is_there_reaches_it(
    lab: Lab, client: asyncssh.SSHClientConnection
) -> None:
    _, guest = lab.appear()
    process = await begun(client)
    process.send_break(500)
    await soon(process.stdout.readuntil(b"break sent]\r\n"))
    assert guest.received == b"\0"


async def test_each_break_is_one_and_those_beyond_the_limit_are_named(
    lab: Lab, client: asyncssh.SSHClientConnection
) -> None:
    _, guest = lab.appear()
    process = await attached(client)
    lab.interceptor.lose_link("test")
    for _ in range(3 * BREAKS_MAX):
        process.send_break(500)
    process.stdin.write(b"x")
    await until(lambda: lab.console.input_waiting == 0 and not lab.console.takes_input, lambda: "")
    await soon(client.run("list", encoding=None))  # the server has read all that came before
    lab.interceptor.appear(1)
    refused = 0
    while 3 * BREAKS_MAX - refused > BREAKS_MAX + 1:  # as they came, in one message or in several
        told = await soon(process.stdout.readuntil(b"too many waited already]\r\n"))
        refused += int(told.rpartition(b" more breaks were not sent")[0].rpartition(b"[oobconsole: ")[2])
    sent = 3 * BREAKS_MAX - refused
    await until(lambda: guest.received.count(0) == sent, lambda: (guest.received, refused))
    assert BREAKS_MAX <= sent <= BREAKS_MAX + 1


async def test_a_break_comes_behind_all_that_was_typed_before(lab: Lab, client: asyncssh.SSHClientConnection) -> None:
    """And does not wait for a pause in what is typed: a paste's end is not its beginning's."""
    _, guest = lab.appear()
    guest.echo = False
    process = await attached(client)
    paste = b"0123456789abcde\r" * 3000
    process.stdin.write(paste)
    process.send_break(500)
    await until(lambda: len(guest.received) > len(paste), lambda: len(guest.received))
    assert guest.received == paste + b"\0"


async def test_a_break_in_the_menu_is_not_for_the_console_that_is_chosen_next(
    lab: Lab, client: asyncssh.SSHClientConnection
) -> None:
    _, guest = lab.appear()
    process = await begun(client, None)
    await soon(process.stdout.readuntil(b"web1"))
    process.send_break(500)
    process.stdin.write(b"\r")
    await soon(process.stdout.readuntil(b"no break was sent: no console was open"))
    await soon(process.stdout.readuntil(b"helps"))
    process.stdin.write(b"x")
    await until(lambda: guest.received == b"x", lambda: guest.received)


class _Switch:
    """Power that is always there."""

    async def do(self, action: PowerAction) -> str:
        return f"did {action}"


async def test_power_needs_no_link(lab: Lab, client: asyncssh.SSHClientConnection) -> None:
    lab.appear()
    guest = lab.services.directory.guest("web1")
    assert guest is not None
    guest.power = _Switch()
    process = await attached(client)
    lab.interceptor.lose_link("test")
    process.stdin.write(b"~p")
    await soon(process.stdout.readuntil(b"r reset"))
    process.stdin.write(b"r")
    await soon(process.stdout.readuntil(b"reset web1? y does it"))
    process.stdin.write(b"y")
    await soon(process.stdout.readuntil(b"alice: reset of web1: did reset"))


async def test_a_size_that_changes_while_the_link_is_broken_is_the_size(
    lab: Lab, client: asyncssh.SSHClientConnection
) -> None:
    _, guest = lab.appear()
    process = await attached(client)
    lab.interceptor.lose_link("test")
    process.change_terminal_size(100, 31)
    process.stdin.write(b"~z")
    await soon(process.stdout.readuntil(b"type 'stty rows 31 columns 100' into the guest?"))
    process.stdin.write(b"y")
    await idle()
    lab.interceptor.appear(1)
    await until(lambda: guest.received == b"stty rows 31 columns 100\r", lambda: guest.received)
