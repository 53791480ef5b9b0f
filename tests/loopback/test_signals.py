"""Signals that a client sends to its session (RFC 4254, 6.9), by asyncssh's client."""

from __future__ import annotations

import asyncio

import asyncssh
import pytest

from oobconsole.console import input as console_input
from tests.loopback.lab import Lab
from tests.support.aio import soon, until

Process = asyncssh.SSHClientProcess[bytes]


async def begun(client: asyncssh.SSHClientConnection, command: str | None, *, terminal: bool) -> Process:
    about = {"term_type": "dumb", "term_size": (80, 24)} if terminal else {}
    return await soon(client.create_process(command, encoding=None, **about))


def said(done: asyncssh.SSHCompletedProcess) -> str:
    """What came on standard output and standard error."""
    return "".join(part.decode() for part in (done.stdout, done.stderr) if isinstance(part, bytes))


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
@pytest.mark.parametrize(("signal", "key"), [("INT", b"\x03"), ("QUIT", b"\x1c")])
async def test_at_a_console_it_is_the_key_behind_what_was_typed(
    lab: Lab, client: asyncssh.SSHClientConnection, signal: str, key: bytes, terminal: bool
) -> None:
    _, guest = lab.appear()
    process = await begun(client, "web1", terminal=terminal)
    process.stdin.write(b"sleep 1000\r")
    process.send_signal(signal)
    process.stdin.write(b"echo\r")
    await until(lambda: guest.received.endswith(b"echo\r"), lambda: bytes(guest.received))
    assert guest.received == b"sleep 1000\r" + key + b"echo\r"


async def test_one_that_comes_before_the_console_is_there_reaches_it(
    lab: Lab, client: asyncssh.SSHClientConnection
) -> None:
    _, guest = lab.appear()
    process = await begun(client, "web1", terminal=True)
    process.send_signal("INT")
    await until(lambda: guest.received == b"\x03", lambda: bytes(guest.received))


async def test_somebody_without_the_keyboard_types_nothing_by_it(
    lab: Lab, client: asyncssh.SSHClientConnection
) -> None:
    _, guest = lab.appear()
    process = await begun(client, "watch web1", terminal=True)
    await soon(process.stdout.readuntil(b"helps]\r\n"))
    process.send_signal("INT")
    await soon(process.stdout.readuntil(b"what you type goes nowhere"))
    assert guest.received == b""


async def test_it_leaves_the_menu_as_the_key_does(lab: Lab, client: asyncssh.SSHClientConnection) -> None:
    process = await begun(client, None, terminal=True)
    await soon(process.stdout.readuntil(b"web1"))
    process.send_signal("INT")
    assert (await soon(process.wait())).exit_status == 0


@pytest.mark.parametrize("signal", ["HUP", "INT", "KILL", "QUIT", "TERM"])
@pytest.mark.parametrize(
    ("command", "terminal"), [("wait web1 x", False), ("wait web1 x", True), ("watch web1", False)]
)
async def test_it_ends_a_session_that_reads_no_keys(
    lab: Lab, client: asyncssh.SSHClientConnection, command: str, signal: str, terminal: bool
) -> None:
    lab.appear()
    process = await begun(client, command, terminal=terminal)
    await until(lambda: lab.console.attached == 1, lambda: lab.console.attached)
    process.send_signal(signal)
    done = await soon(process.wait())
    assert done.exit_status == 1
    assert f"oobconsole: ended by signal {signal}" in said(done)
    await until(lambda: lab.console.attached == 0, lambda: lab.console.attached)


@pytest.mark.parametrize("signal", ["HUP", "KILL", "TERM"])
@pytest.mark.parametrize("command", ["web1", None])
async def test_these_end_everything(
    lab: Lab, client: asyncssh.SSHClientConnection, command: str | None, signal: str
) -> None:
    _, guest = lab.appear()
    process = await begun(client, command, terminal=True)
    await soon(process.stdout.readuntil(b"web1"))
    process.send_signal(signal)
    done = await soon(process.wait())
    assert (done.exit_status, bytes(guest.received)) == (1, b"")
    assert f"[oobconsole: ended by signal {signal}]" in said(done)


async def test_others_mean_nothing(lab: Lab, client: asyncssh.SSHClientConnection) -> None:
    _, guest = lab.appear()
    process = await begun(client, "web1", terminal=True)
    for signal in ("USR1", "WINCH", "", "INT@example.com", "int", "x" * 30_000):
        process.channel.send_signal(signal)
    process.stdin.write(b"on")
    await until(lambda: guest.received == b"on", lambda: bytes(guest.received))


async def test_ones_that_wait_are_merged_as_those_of_a_process_are(
    lab: Lab, client: asyncssh.SSHClientConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guest reads nothing: what waits is bounded, and the session is as it was afterwards."""
    monkeypatch.setattr(console_input, "INPUT_MAX", 1024)
    _, guest = lab.appear()
    process = await begun(client, "web1", terminal=True)
    await soon(process.stdout.readuntil(b"helps]\r\n"))
    lab.interceptor.lose_link("test")
    for _ in range(3):
        process.stdin.write(b"x" * 4096)
    await until(lambda: not lab.console.takes_input, lambda: lab.console.input_waiting)
    for _ in range(1000):
        process.send_signal("INT")
        process.send_signal("QUIT")
    await soon(client.run("list", encoding=None))  # the server has read all that came before
    lab.interceptor.appear(1)
    process.stdin.write(b"end")
    await until(lambda: guest.received.endswith(b"end"), lambda: len(guest.received))
    assert guest.received.count(b"x") == 3 * 4096
    assert 1 <= guest.received.count(b"\x03") <= 3
    assert 1 <= guest.received.count(b"\x1c") <= 3


async def test_a_session_that_is_over_takes_none(lab: Lab, client: asyncssh.SSHClientConnection) -> None:
    process = await begun(client, "help", terminal=False)
    await soon(process.stdout.read())
    for signal in ("INT", "TERM"):
        try:
            process.send_signal(signal)
        except OSError:
            break  # the client itself knows that the channel is closed
    assert (await soon(process.wait())).exit_status == 0
    await asyncio.sleep(0)
    assert (await soon(client.run("help", encoding=None))).exit_status == 0
