"""security.md: what somebody who has logged in, with or without a right, can cost others."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
from pathlib import Path
from typing import Any, cast

import asyncssh
import pytest
from asyncssh.constants import (
    MSG_CHANNEL_CLOSE,
    MSG_CHANNEL_EOF,
    MSG_CHANNEL_REQUEST,
    MSG_EXT_INFO,
    MSG_GLOBAL_REQUEST,
    MSG_REQUEST_FAILURE,
)
from asyncssh.packet import Boolean, String, UInt32

from oobconsole.events import DENIALS_MAX, DENIALS_PERIOD
from oobconsole.log.log import USER_LINES
from oobconsole.session import parsing
from oobconsole.session.request import UsageError
from oobconsole.ssh import channel, login, transport
from oobconsole.ssh.sessionchannel import SessionChannel
from oobconsole.ssh.transport import Transport
from tests.loopback.access import PATIENCE, grant, ssh, wait_for_log
from tests.loopback.lab import Lab
from tests.support.aio import soon, until
from tests.support.expect import run_to_end
from tests.support.pace import scaled
from tests.support.server import Server


def transport_of(lab: Lab) -> Transport:
    """The server's end of the only connection."""
    (connection,) = lab.ssh.connections
    return cast(Transport, connection)


async def attach(
    client: asyncssh.SSHClientConnection, command: str | None = "watch web1", **options: Any
) -> asyncssh.SSHClientChannel[bytes]:
    """A session of which nobody reads a word but asyncssh."""
    made, _ = await client.create_session(lambda: asyncssh.SSHClientSession(), command, encoding=None, **options)
    return made


class TestChannels:
    async def test_packets_of_one_byte(self, tmp_path: Path) -> None:
        """security.md 5."""
        async with Lab(tmp_path) as lab, await soon(lab.connect()) as client:
            for size in (1, transport.CHANNEL_PACKET_MIN - 1):
                with pytest.raises(asyncssh.ChannelOpenError, match="1024 bytes"):
                    await soon(attach(client, max_pktsize=size))
            (await soon(attach(client, max_pktsize=transport.CHANNEL_PACKET_MIN))).close()

    async def test_a_window_of_more_than_there_is(self, tmp_path: Path) -> None:
        async with Lab(tmp_path) as lab:
            client = await soon(lab.connect())
            session = await soon(attach(client))
            for _ in range(2):
                session.send_packet(93, UInt32(0xFFFFFFFF))
            await soon(client.wait_closed())

    async def test_sessions_that_have_ended_do_not_count(self, tmp_path: Path) -> None:
        """security.md 20: ten at a time, one after the other."""
        async with Lab(tmp_path) as lab, await soon(lab.connect()) as client:

            async def ask() -> None:
                for _ in range(15):
                    assert (await soon(client.run("help"))).exit_status == 0

            await asyncio.gather(*(ask() for _ in range(login._SESSIONS_MAX)))

    def test_one_over_one_openssh_connection(self) -> None:
        """security.md 20: as `ControlMaster` has it."""
        with Server() as server:
            path = server.folder / "mux"
            shared = ("-o", f"ControlPath={path}", "-o", "ControlMaster=auto", "-o", "ControlPersist=20")
            script = "for i in 1 2 3 4 5 6 7 8 9 10; do for j in 1 2 3; do %s || echo refused; done & done; wait"
            command = subprocess.list2cmdline(server.ssh("help", options=shared))
            assert ssh(server, "help", options=shared).returncode == 0
            done = subprocess.run(
                ["sh", "-c", script % command], capture_output=True, timeout=scaled(PATIENCE * 4), check=False
            )
            subprocess.run(
                server.ssh("-O", "exit", options=shared), capture_output=True, timeout=scaled(PATIENCE), check=False
            )
            assert b"refused" not in done.stdout + done.stderr, done.stderr

    async def test_too_many_are_refused_and_logged_once_in_a_while(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """security.md 9: refused channel opens."""
        async with Lab(tmp_path) as lab, await soon(lab.connect()) as client:
            kept = [await soon(attach(client)) for _ in range(login._SESSIONS_MAX)]
            for _ in range(USER_LINES * 2):
                with pytest.raises(asyncssh.ChannelOpenError):
                    await soon(attach(client))
            assert len(kept) == login._SESSIONS_MAX
        said = capsys.readouterr().out
        assert said.count("too many sessions") <= USER_LINES
        assert said.count("more of this is not logged") == 1

    async def test_one_that_is_never_used_has_an_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(channel, "_UNUSED_SECONDS", 0.01)
        async with Lab(tmp_path) as lab, await soon(lab.connect()) as client:
            opened = client.create_tcp_channel()  # of any type: it only opens
            await soon(opened._open(b"session"))
            (known,) = lab.ssh.connections.values()
            (kept,) = known._sessions
            await until(lambda: kept.has_exited, lambda: known._sessions)

    async def test_end_of_output_comes_before_the_close(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """security.md 30: RFC 4254, 5.3."""
        sent: list[int] = []
        send = SessionChannel.send_packet

        def record(channel: SessionChannel, pkttype: int, *args: bytes) -> None:
            sent.append(pkttype)
            send(channel, pkttype, *args)

        monkeypatch.setattr(SessionChannel, "send_packet", record)
        async with Lab(tmp_path) as lab, await soon(lab.connect()) as client:
            assert (await soon(client.run("help"))).exit_status == 0
        assert sent[-2:] == [MSG_CHANNEL_EOF, MSG_CHANNEL_CLOSE]

    async def test_forwarding_is_prohibited(self, tmp_path: Path) -> None:
        """security.md 28."""
        async with Lab(tmp_path) as lab, await soon(lab.connect()) as client:
            for opening in (client.open_connection("localhost", 22), client.open_unix_connection("/x")):
                with pytest.raises(asyncssh.ChannelOpenError) as refused:
                    await soon(opening)
                assert refused.value.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
            with pytest.raises(asyncssh.ChannelListenError):
                await soon(client.forward_remote_port("localhost", 0, "localhost", 1))


class TestMemory:
    async def test_a_key_exchange_that_is_begun_and_not_ended(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """security.md 6: output waits, and the connection has an end."""
        monkeypatch.setattr(transport, "EXCHANGE_SECONDS", 0.5)
        async with Lab(tmp_path) as lab:
            lab.appear()
            client = await soon(lab.connect())
            await soon(attach(client, window=(1 << 32) - 1))
            server = transport_of(lab)
            client.send_packet = lambda *args, **options: None  # type: ignore[method-assign]
            kept = 0
            server._send_kexinit()
            while lab.ssh.connections:
                for byte in b"x" * 4096:
                    lab.console.output(bytes([byte]))
                kept = max(kept, sum(len(part) for _, parts in server._deferred_packets for part in parts))
                await asyncio.sleep(0)
            assert kept < 512 << 10
            assert server._deferred_packets == []

    async def test_answers_that_nobody_reads(self, tmp_path: Path) -> None:
        """A client that asks and does not read: what it is answered waits in our memory."""
        async with Lab(tmp_path) as lab:
            client = await soon(lab.connect())
            server = transport_of(lab)
            transport_below = client._transport
            assert transport_below is not None
            transport_below.pause_reading()
            most = 0
            for _ in range(300):
                for _ in range(200):
                    client.send_packet(MSG_GLOBAL_REQUEST, String(b"nobody-knows-this"), Boolean(True))
                await asyncio.sleep(0)
                assert server._transport is not None
                most = max(most, server._transport.get_write_buffer_size())
            assert most < transport.UNREAD_MAX + (256 << 10)
            assert len(server._backlog) < 1 << 20
            client.abort()

    async def test_data_between_kexinit_and_newkeys(self, tmp_path: Path) -> None:
        """RFC 4253, 7.1: nothing but the key exchange."""
        async with Lab(tmp_path) as lab:
            client = await soon(lab.connect())
            session = await soon(attach(client, "web1"))
            transport_of(lab).peer_exchanges = True
            session.write(b"x")
            await soon(client.wait_closed())


class TestRequests:
    async def test_sizes_of_terminals(self, tmp_path: Path) -> None:
        """security.md 11."""
        async with Lab(tmp_path) as lab, await soon(lab.connect()) as client:
            await soon(attach(client, "watch web1", term_type="xterm", term_size=(1_000_000, 1_000_000)))
            await until(lambda: len(lab.lobby.visitors) == 1, lambda: lab.lobby.visitors)
            assert lab.visitor.size() == (200, 500)

    async def test_a_size_that_changes_all_the_time_is_drawn_now_and_then(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """security.md 11: 1,000 changes, of which the last one counts."""
        async with Lab(tmp_path) as lab, await soon(lab.connect()) as client:
            session = await soon(attach(client, "watch web1", term_type="xterm", term_size=(80, 24)))
            await until(lambda: len(lab.lobby.visitors) == 1, lambda: lab.lobby.visitors)
            opened = lab.visitor
            calls: list[tuple[int, int]] = []
            opened.on_resize(lambda: calls.append(opened.size()))
            for number in range(1000):
                session.change_terminal_size(100 + number % 7, 30)
            session.change_terminal_size(99, 33)
            await until(lambda: calls[-1:] == [(33, 99)], lambda: calls[-3:])
            assert len(calls) < 200

    @pytest.mark.parametrize(
        "request_",
        [
            b"env",
            b"signal",
            b"break",
            b"window-change",
            b"x11-req",
            b"auth-agent-req@openssh.com",
            b"subsystem",
            b"?",
        ],
    )
    async def test_floods_end_nothing_but_their_connection(self, tmp_path: Path, request_: bytes) -> None:
        """Requests of every kind, with and without arguments that make sense."""
        async with Lab(tmp_path) as lab, await soon(lab.connect()) as other:
            client = await soon(lab.connect())
            session = await soon(attach(client, "watch web1"))
            for arguments in (b"", String(b"LANG") + String(b"x" * 1000), UInt32(1) * 4):
                for _ in range(200):
                    session.send_packet(MSG_CHANNEL_REQUEST, String(request_), Boolean(False), arguments)
            assert (await soon(other.run("ls"))).exit_status == 0
            client.abort()

    async def test_a_terminals_name_without_an_end(self, tmp_path: Path) -> None:
        async with Lab(tmp_path) as lab, await soon(lab.connect()) as client:
            with pytest.raises(asyncssh.ChannelOpenError):
                await soon(attach(client, "watch web1", term_type="x" * 60_000))

    async def test_no_host_key_is_proved(self, tmp_path: Path) -> None:
        """asyncssh signs as often as a packet asks, thousands of times, where it tells of its keys: not here."""
        async with Lab(tmp_path) as lab, await soon(lab.connect()) as client:
            data = asyncssh.read_public_key(str(lab.config.server.host_key_file) + ".pub").public_data
            asked = client._make_global_request(b"hostkeys-prove-00@openssh.com", String(data) * 4000)
            assert (await soon(asked))[0] == MSG_REQUEST_FAILURE
            assert not transport_of(lab)._all_server_host_keys

    async def test_terminals_with_modes_without_an_end(self, tmp_path: Path) -> None:
        """They are not taken apart; a refused request can be made again, with every packet."""
        async with Lab(tmp_path) as lab, await soon(lab.connect()) as client:
            session = await soon(attach(client, "watch web1"))
            modes = (b"\x35" + UInt32(1)) * 50_000
            for _ in range(3):
                asked = session._make_request(b"pty-req", String(b"xterm"), UInt32(80) * 4, String(modes))
                assert not await soon(asked)

    async def test_extensions_without_an_end(self, tmp_path: Path) -> None:
        async with Lab(tmp_path) as lab:
            client = await soon(lab.connect())
            transport_of(lab)._can_recv_ext_info = True
            client.send_packet(MSG_EXT_INFO, UInt32(20_000), (String(b"x") + String(b"")) * 20_000)
            await soon(client.wait_closed())


class TestCommands:
    @pytest.mark.parametrize(
        "line",
        ["ls" + " --json" * 10_000, "attach x" + " --raw" * 10_000, "x" * 60_000, "ls " + "'" * 4000 + " x" * 60]
        + [f"{verb} " + "--force " * 8000 for verb in ("send", "wait", "search")],
    )
    def test_are_understood_or_refused_at_once(self, line: str) -> None:
        """security.md 4: the work is bounded, by the words that argparse gets."""
        seen = 0

        class Parser(parsing.Parser):
            def parse_args(self, args: list[str], namespace: None = None) -> object:  # type: ignore[override]
                nonlocal seen
                seen = max(seen, len(args))
                return super().parse_args(args, namespace)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parsing, "Parser", Parser)
            with pytest.raises(UsageError):
                parsing.parse(line)
        assert seen <= 2 * parsing.WORDS_MAX

    def test_a_pattern_that_grows_costs_its_user_a_message(self) -> None:
        """security.md 4, its kind: of a user without a grant; 33 s of the loop, and all memory there is."""
        with Server() as server:
            key = server.make_key("mallory")
            for verb in ("search", "wait"):
                done = ssh(server, verb, "web1", "'((a{1000}){1000}){1000}'", user="mallory", key=key)
                assert (done.returncode, b"repeats too much" in done.stderr) == (2, True)
            assert b"no console" in ssh(server, "search", "web1", "a{10}", user="mallory", key=key).stderr

    def test_what_send_types_is_not_in_the_log(self) -> None:
        """security.md 8: nor what a misspelt `send` would have typed."""
        with Server() as server:
            ssh(server, "send", "web1", "hunter2-secret")
            ssh(server, "snd", "web1", "hunter2-secret")
            ssh(server, "send", "'hunter2-secret")
            assert wait_for_log(server, "session ends.*command='send web1'")
            assert "hunter2" not in server.log.read_text()

    def test_lines_in_the_log_are_short_and_few(self) -> None:
        """security.md 9: long commands of a user without a grant."""
        with Server() as server:
            key = server.make_key("mallory")
            for _ in range(3):
                ssh(server, "x" * 60_000, user="mallory", key=key)
            assert wait_for_log(server, "session ends.*mallory", 3)
            assert max(map(len, server.log.read_text().splitlines())) < 1000

    def test_denials_are_counted_not_listed(self) -> None:
        """security.md 9: `watch` without a right, again and again, does not push others out of the audit log."""
        with Server(settings="") as server:
            grant(server, "mallory", "watch")
            server.stop()
            server.start()
            key = server.make_key("mallory")
            shared = (
                "-o",
                f"ControlPath={server.folder / 'mux'}",
                "-o",
                "ControlMaster=auto",
                "-o",
                "ControlPersist=9",
            )
            command = subprocess.list2cmdline(
                server.ssh("send", "web1", "x", user="mallory", key=key, options=shared)
            )
            began = time.monotonic()
            run_to_end(["sh", "-c", f"for i in $(seq 80); do {command}; done"], timeout=120)
            minutes = 1 + int((time.monotonic() - began) / DENIALS_PERIOD)
            assert server.stop() == 0  # what it had to write is written
            entries = b"".join(path.read_bytes() for path in (server.folder / "state").rglob("audit*.jsonl*"))
            listed = len(re.findall(rb'"kind":"denied"(?![^\n]*"more")', entries))
            assert DENIALS_MAX <= listed <= DENIALS_MAX * minutes, entries[:500]

    def test_who_wants_a_shell_is_told(self) -> None:
        """security.md 25: scp, rsync, mosh and their like."""
        with Server() as server:
            for words in (("scp", "-t", "."), ("rsync", "--server", "-e.", "."), ("mosh-server", "new", "-s")):
                done = ssh(server, *words)
                assert b"there is no shell here" in done.stderr
                assert b"'help' lists the commands" in done.stderr
            assert b"\\n" not in ssh(server, "attach", "web1", "--nonsense").stderr
