"""Breaks are kept as what is typed is, or said to be lost to whoever sent them: a real client's own (RFC 4335)."""

from __future__ import annotations

import asyncio

import asyncssh
import pytest
from asyncssh.packet import UInt32

from oobconsole.console import input as console_input
from oobconsole.front.visitor import BREAKS_MAX
from oobconsole.guests import absence
from oobconsole.power.power import PowerAction
from oobconsole.session import actions, breaks
from tests.loopback.lab import Lab
from tests.support.aio import idle, soon, until

Process = asyncssh.SSHClientProcess[bytes]


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


class TestAnswers:
    """A client may want to be told whether its break was sent (RFC 4335, 3)."""

    async def test_one_that_was_sent(self, lab: Lab, client: asyncssh.SSHClientConnection) -> None:
        lab.appear()
        process = await attached(client)
        assert await soon(answered(process)) is True

    async def test_one_of_somebody_who_only_watches(self, lab: Lab, client: asyncssh.SSHClientConnection) -> None:
        _, guest = lab.appear()
        process = await begun(client, "watch web1")
        await soon(process.stdout.readuntil(b"helps]\r\n"))
        assert await soon(answered(process)) is False
        assert guest.received == b""

    async def test_one_to_a_guest_that_is_away(
        self, lab: Lab, client: asyncssh.SSHClientConnection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(actions, "BREAK_SECONDS", 0.3)
        lab.appear()
        process = await attached(client)
        lab.interceptor.lose_link("test")
        assert await soon(answered(process)) is False

    @pytest.mark.parametrize("command", ["help", "wait web1 x"])
    async def test_one_in_a_session_without_a_console(
        self, lab: Lab, client: asyncssh.SSHClientConnection, command: str
    ) -> None:
        process = await begun(client, command)
        assert await soon(answered(process)) is False

    async def test_one_without_a_terminal(self, lab: Lab, client: asyncssh.SSHClientConnection) -> None:
        lab.appear()
        process = await soon(client.create_process("web1", encoding=None))
        assert await soon(answered(process)) is False

    async def test_those_beyond_the_limit(self, lab: Lab, client: asyncssh.SSHClientConnection) -> None:
        lab.appear()
        process = await attached(client)
        lab.interceptor.lose_link("test")
        for _ in range(BREAKS_MAX + 1):
            process.send_break(500)
        await soon(client.run("list", encoding=None))  # the session has taken the first, and the others wait
        process.send_break(500)
        assert await soon(answered(process)) is False
        lab.interceptor.appear(1)

    async def test_one_that_waits_for_too_long_is_not_sent_later(
        self, lab: Lab, client: asyncssh.SSHClientConnection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Keepalives, whose answers wait behind the break's, must not end the connection."""
        monkeypatch.setattr(breaks, "ANSWER_SECONDS", 0.2)
        monkeypatch.setattr(console_input, "INPUT_MAX", 1024)
        _, guest = lab.appear()
        process = await attached(client)
        lab.interceptor.lose_link("test")
        await fill(lab, process)
        assert await soon(answered(process)) is False
        lab.interceptor.appear(1)
        await soon(process.stdout.readuntil(b"no break was sent: "))
        process.stdin.write(b"behind")
        await until(lambda: guest.received.endswith(b"behind"), lambda: len(guest.received))
        assert b"\0" not in guest.received

    async def test_other_requests_while_one_waits(self, lab: Lab, client: asyncssh.SSHClientConnection) -> None:
        lab.appear()
        process = await attached(client)
        lab.interceptor.lose_link("test")
        first = asyncio.ensure_future(answered(process))
        second = asyncio.ensure_future(answered(process, b"keepalive@openssh.com"))
        process.change_terminal_size(100, 31)
        await until(lambda: lab.visitor.size() == (31, 100), lab.visitor.size)
        assert not first.done()
        assert not second.done()
        lab.interceptor.appear(1)
        assert await soon(first) is True
        assert await soon(second) is False

    async def test_too_many_requests_while_one_waits(self, lab: Lab, client: asyncssh.SSHClientConnection) -> None:
        lab.appear()
        process = await attached(client)
        lab.interceptor.lose_link("test")
        asked = [asyncio.ensure_future(answered(process)) for _ in range(40)]
        with pytest.raises(asyncssh.ProtocolError, match="too many requests while a break waits"):
            await soon(asked[0])
        await asyncio.gather(*asked, return_exceptions=True)

    async def test_a_malformed_request_that_waits_costs_its_client_the_connection(
        self, lab: Lab, client: asyncssh.SSHClientConnection
    ) -> None:
        lab.appear()
        process = await attached(client)
        lab.interceptor.lose_link("test")
        asked = [asyncio.ensure_future(answered(process)) for _ in range(2)]
        asked.append(asyncio.ensure_future(process.channel._make_request(b"break", b"too long", UInt32(1))))
        await until(lambda: lab.visitor.size() != (0, 0), lab.visitor.size)
        lab.interceptor.appear(1)
        await soon(client.wait_closed())
        async with await soon(lab.connect()) as another:
            assert (await soon(another.run("help"))).exit_status == 0
        await asyncio.gather(*asked, return_exceptions=True)


async def answered(process: Process, request: bytes = b"break") -> bool | None:
    """Make a request that wants an answer, which asyncssh's own `send_break` does not."""
    about = [UInt32(500)] if request == b"break" else []
    return await process.channel._make_request(request, *about)


async def fill(lab: Lab, process: Process) -> None:
    """Type more than the console keeps for its guest."""
    for _ in range(3):
        process.stdin.write(b"x" * 4096)
    await until(lambda: lab.console.input_waiting > 0 and not lab.console.takes_input, lambda: lab.console)


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
