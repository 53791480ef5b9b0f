"""What guests and machines do, as asyncssh clients see it; and what no client may do."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import asyncssh
import pytest
import pytest_asyncio

from oobconsole.console.console import ConsoleState
from oobconsole.net.acknowledging import Options
from oobconsole.ssh.login import Connection
from oobconsole.ssh.transport import Transport
from tests.loopback.lab import Lab
from tests.support.aio import soon, stays, until

Process = asyncssh.SSHClientProcess[bytes]


def raw(data: object) -> bytes:
    """What a client without an encoding read."""
    assert isinstance(data, bytes)
    return data


@pytest_asyncio.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with Lab(tmp_path, "drain_ms = 50\ndrain_max_s = 1\nscrollback_kib = 64") as running:
        yield running


async def attach(client: asyncssh.SSHClientConnection, *, terminal: bool) -> Process:
    process = await soon(client.create_process("web1", encoding=None, term_type="xterm" if terminal else None))
    if terminal:
        await soon(process.stdout.readuntil(b"helps]\r\n"))
    return process


class TestGuests:
    async def test_come_go_and_come_again(self, lab: Lab, client: asyncssh.SSHClientConnection) -> None:
        process = await attach(client, terminal=True)
        lab.appear(1)
        await soon(process.stdout.readuntil(b"login: "))
        lab.interceptor.vanish(1, "replaced")
        await soon(process.stdout.readuntil(b"[oobconsole: web1: the guest is gone: replaced]\r\n"))
        lab.appear(2)
        await soon(process.stdout.readuntil(b"login: "))

    async def test_are_told_apart_from_what_is_said_about_them(
        self, lab: Lab, client: asyncssh.SSHClientConnection
    ) -> None:
        handler, guest = lab.appear()
        process = await attach(client, terminal=False)
        await until(lambda: lab.console.attached == 1, lambda: lab.console.attached)
        guest.print(b"before")
        await soon(process.stdout.readexactly(6))
        handler.gap(0x3F8, 4096)
        lab.interceptor.lose_link("it closed the connection")
        await until(lambda: lab.console.state is ConsoleState.AWAY, lambda: lab.console.state)
        lab.interceptor.appear(1)
        guest.print(b"after")
        process.stdin.write_eof()
        done = await soon(process.wait())
        assert done.stdout == b"after"
        assert done.stderr == (
            b"oobconsole: web1: 4096 bytes of output were lost while the server was away\n"
            b"oobconsole: web1: machine rack7 is not connected: it closed the connection\n"
            b"oobconsole: web1: a guest uses this port\n"
        )

    async def test_take_what_was_typed_while_the_link_was_down(
        self, lab: Lab, client: asyncssh.SSHClientConnection
    ) -> None:
        _, guest = lab.appear()
        lab.interceptor.lose_link("it closed the connection")
        process = await attach(client, terminal=False)
        process.stdin.write(b"typed meanwhile")
        await until(lambda: lab.console.input_waiting > 0, lambda: lab.console.state)
        lab.interceptor.appear(1)
        await until(lambda: guest.received == b"typed meanwhile", lambda: guest.received)

    async def test_that_are_gone_make_a_script_fail(self, lab: Lab, client: asyncssh.SSHClientConnection) -> None:
        lab.appear()
        lab.interceptor.vanish(1)
        done = await soon(client.run("web1", input=b"reboot\n", encoding=None))
        assert done.exit_status == 1
        assert b"web1 is gone" in raw(done.stderr)
        assert done.stdout == b""

    async def test_that_never_came_keep_a_script_only_so_long(
        self, lab: Lab, client: asyncssh.SSHClientConnection
    ) -> None:
        done = await soon(client.run("web1", input=b"hello", encoding=None))
        assert done.exit_status == 1
        assert b"5 bytes of input still wait for the guest 1 s after the end of input" in raw(done.stderr)


class TestSlowClients:
    async def test_lose_only_their_own_bytes_and_are_told(self, lab: Lab) -> None:
        _, guest = lab.appear()
        guest.echo = False
        async with await soon(lab.connect()) as one, await soon(lab.connect()) as two:
            slow, fast = await attach(one, terminal=False), await attach(two, terminal=False)
            await until(lambda: lab.console.attached == 2, lambda: lab.console.attached)
            slow.channel.pause_reading()
            total = 8 << 20  # more than a client's window, our buffers and the scrollback together
            got = 0
            for i in range(total >> 14):
                lab.console.output(bytes((i & 0xFF,)) * (1 << 14))
                while got < (i + 1) << 14:
                    got += len(await soon(fast.stdout.read(1 << 16)))
            slow.channel.resume_reading()
            slow.stdin.write_eof()
            done = await soon(slow.wait())
            fast.stdin.write_eof()
            assert b"skipped" not in raw((await soon(fast.wait())).stderr)
        assert got == total
        notices = re.findall(rb"(\d+) bytes of output are not kept any more, and skipped", raw(done.stderr))
        assert notices
        assert sum(map(int, notices)) + len(raw(done.stdout)) == total

    async def test_that_vanish_are_forgotten(self, lab: Lab) -> None:
        lab.appear()
        client = await soon(lab.connect())
        await attach(client, terminal=True)
        assert lab.console.attached == 1
        client.abort()
        await until(lambda: lab.console.attached == 0, lambda: lab.console.attached)

    async def test_that_vanish_while_the_guest_takes_nothing_are_forgotten(self, lab: Lab) -> None:
        client = await soon(lab.connect())
        process = await attach(client, terminal=False)
        process.stdin.write(b"x" * (1 << 20))
        await until(lambda: lab.console.input_waiting >= 1 << 16, lambda: lab.console.input_waiting)
        client.abort()
        await until(lambda: lab.console.attached == 0, lambda: lab.console.attached)

    async def test_cannot_make_us_hold_what_the_guest_does_not_take(self, lab: Lab) -> None:
        async with await soon(lab.connect()) as client:
            process = await attach(client, terminal=False)
            process.stdin.write(b"x" * (8 << 20))
            task = await stays(process.stdin.drain())
            await until(lambda: lab.console.input_waiting >= 1 << 16, lambda: lab.console.input_waiting)
            held = lab.console.input_waiting
            task.cancel()
        assert held < 1 << 17


class TestLimits:
    async def test_of_sessions_in_a_connection(self, lab: Lab, client: asyncssh.SSHClientConnection) -> None:
        processes = [await attach(client, terminal=True) for _ in range(10)]
        with pytest.raises(asyncssh.ChannelOpenError):
            await soon(client.create_process("ls"))
        processes[0].close()
        await soon(processes[0].wait_closed())
        await until(lambda: lab.console.attached == 9, lambda: lab.console.attached)
        assert (await soon(client.run("ls"))).exit_status == 0

    async def test_of_connections(self, tmp_path: Path) -> None:
        async with Lab(tmp_path, "max_connections = 2") as lab:
            async with await soon(lab.connect()), await soon(lab.connect()):
                with pytest.raises((asyncssh.DisconnectError, ConnectionError)):
                    await soon(lab.connect())
            await until(lambda: not lab.ssh.connections, lambda: lab.ssh.connections)
            async with await soon(lab.connect()):
                pass

    async def test_of_time_to_log_in(self, tmp_path: Path) -> None:
        async with Lab(tmp_path, "login_grace_s = 1") as lab:
            reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
            await soon(reader.read())
            writer.close()
            await until(lambda: not lab.ssh.connections, lambda: lab.ssh.connections)


class TestHostile:
    @pytest.mark.parametrize(
        "data",
        [
            b"GET / HTTP/1.1\r\n\r\n",
            b"\0" * 100_000,
            b"SSH-1.5-old\r\n",
            b"SSH-2.0-x\r\n" + b"\xff" * 1000,
            b"SSH-2.0-" + b"x" * 100_000,
            b"",
        ],
    )
    async def test_bytes_before_a_login_cost_that_connection(self, lab: Lab, data: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
        writer.write(data)
        writer.write_eof()
        with contextlib.suppress(ConnectionError):
            await soon(reader.read())
        writer.close()
        await until(lambda: not lab.ssh.connections, lambda: lab.ssh.connections)
        async with await soon(lab.connect()) as client:
            assert (await soon(client.run("ls"))).exit_status == 0


class TestRefused:
    async def test_subsystems(self, client: asyncssh.SSHClientConnection) -> None:
        for subsystem in ("sftp", "netconf"):
            with pytest.raises(asyncssh.ChannelOpenError):
                await soon(client.create_process(subsystem=subsystem))

    async def test_scp(self, client: asyncssh.SSHClientConnection, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises((asyncssh.SFTPError, OSError, asyncssh.ChannelOpenError)):
            await soon(asyncssh.scp(str(tmp_path / "file"), (client, "/tmp")))

    async def test_forwarding(self, client: asyncssh.SSHClientConnection, tmp_path: Path) -> None:
        with pytest.raises(asyncssh.ChannelOpenError):
            await soon(client.open_connection("127.0.0.1", 22))
        with pytest.raises(asyncssh.ChannelOpenError):
            await soon(client.open_unix_connection("/run/x"))
        with pytest.raises(asyncssh.ChannelListenError):
            await soon(client.forward_remote_port("127.0.0.1", 0, "127.0.0.1", 22))
        with pytest.raises(asyncssh.ChannelListenError):
            await soon(client.forward_remote_path(str(tmp_path / "x"), str(tmp_path / "y")))

    @pytest.mark.parametrize("options", ['command="ls"', 'command="ls",restrict'])
    async def test_all_but_a_keys_forced_command(self, lab: Lab, options: str) -> None:
        line = lab.key.export_public_key().decode()
        (lab.folder / "keys" / "bob").write_text(f"{options} {line}")
        async with await soon(lab.connect("bob")) as client:
            for command in ("web1", None, "nonsense"):
                done = await soon(client.run(command))
                assert (done.stdout, done.exit_status) == ("", 0)
                assert "you have any right" in str(done.stderr)

    async def test_a_terminal_by_no_pty(self, lab: Lab) -> None:
        (lab.folder / "keys" / "bob").write_text(f"no-pty {lab.key.export_public_key().decode()}")
        async with await soon(lab.connect("bob")) as client:
            with pytest.raises(asyncssh.ChannelOpenError):
                await soon(client.create_process("web1", term_type="xterm"))

    async def test_a_key_that_was_taken_away(self, lab: Lab) -> None:
        async with await soon(lab.connect()):
            pass
        (lab.folder / "keys" / "alice").unlink()
        with pytest.raises(asyncssh.PermissionDenied):
            await soon(lab.connect())


class TestTerminals:
    async def test_resizes_and_signals_do_not_disturb(self, lab: Lab, client: asyncssh.SSHClientConnection) -> None:
        _, guest = lab.appear()
        process = await attach(client, terminal=True)
        for i in range(1000):
            process.change_terminal_size(i, 1000 - i)
        process.send_signal("INT")
        process.stdin.write(b"still here")
        await until(lambda: guest.received == b"\x03still here", lambda: guest.received)

    async def test_the_menu_survives_any_size(self, client: asyncssh.SSHClientConnection) -> None:
        for size in ((0, 0), (1, 1), (2**32 - 1, 2**32 - 1)):
            process = await soon(
                client.create_process(term_type="xterm", term_size=size, encoding=None, request_pty="force")
            )
            await soon(process.stdout.read(1))
            process.stdin.write(b"\x03")
            assert (await soon(process.wait())).exit_status == 0

    async def test_a_stop_says_why_and_fails_a_script(self, lab: Lab, client: asyncssh.SSHClientConnection) -> None:
        lab.appear()
        person, script = await attach(client, terminal=True), await attach(client, terminal=False)
        await until(lambda: lab.console.attached == 2, lambda: lab.console.attached)
        await lab.services.stop("the server stops")
        assert b"[oobconsole: the server stops]" in raw((await soon(person.wait())).stdout)
        done = await soon(script.wait())
        assert (done.stderr, done.exit_status) == (b"oobconsole: the server stops\n", 1)
        assert lab.console.state is ConsoleState.LIVE


async def test_a_client_that_gives_a_window_of_4_gib_and_reads_nothing_costs_no_memory(lab: Lab) -> None:
    """Only the network says that it takes nothing."""
    lab.appear()
    async with await soon(lab.connect()) as client:
        await soon(client.create_session(asyncssh.SSHClientSession, "watch web1", encoding=None, window=0xFFFFFFFF))
        await until(lambda: bool(lab.console.attached), lambda: lab.console.attached)
        (server,) = lab.ssh.connections
        vars(client)["_transport"].pause_reading()
        for _ in range(1024):
            lab.console.output(bytes(32768))
            await asyncio.sleep(0)
        waiting = vars(server)["_transport"].get_write_buffer_size()
        assert 0 < waiting < 1 << 20
        client.abort()


async def test_packets_are_acknowledged_at_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a script's input waits for 40 ms behind its command (Nagle's algorithm and delayed acknowledgements)."""
    options: list[tuple[int, int, int]] = []
    received = Connection.data_received

    def data_received(self: Connection, data: bytes, datatype: asyncssh.DataType = None) -> None:
        vars(self)["_tcp"] = SimpleNamespace(setsockopt=lambda *option: options.append(option))
        received(self, data, datatype)

    monkeypatch.setattr(Connection, "data_received", data_received)
    async with await soon(lab.connect()):
        assert len(options) >= 3
    assert set(options) == {(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)}


async def test_a_connection_that_is_over_sets_no_option_of_the_next_one(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """faults.md 1, variation: its descriptor's number was kept, and may be the number of any other socket by then."""
    options: list[tuple[int, ...]] = []
    monkeypatch.setattr(Options, "setsockopt", lambda _, *option: options.append(option))
    client = await lab.connect()
    (connection,) = lab.ssh.connections
    assert isinstance(connection, Transport)
    connection.acknowledge()
    assert options
    client.abort()
    await until(lambda: not lab.ssh.connections, lambda: lab.ssh.connections)
    options.clear()
    connection.acknowledge()
    assert options == []
