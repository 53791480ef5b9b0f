"""Who tries too often, or is too many: limits and offences."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from pathlib import Path

import asyncssh
import pytest

from oobconsole.front import ends, relay
from oobconsole.ssh import kind, login
from oobconsole.ssh.gate import Offence
from tests.loopback.access import PATIENCE, refused, ssh, wait_for_log
from tests.loopback.lab import Lab
from tests.support.aio import soon, until
from tests.support.expect import Expect
from tests.support.pace import Deadline, scaled
from tests.support.server import Server
from tests.support.stranger import say


class TestTries:
    def test_are_counted(self) -> None:
        with Server(settings="max_auth_tries = 3") as server:
            keys = [server.make_key(f"k{number}", authorize=False) for number in range(5)]
            options = tuple(word for key in keys for word in ("-i", str(key)))
            done = ssh(server, "ls", key=keys[0], options=(*options, "-i", str(server.key), "-o", "LogLevel=INFO"))
            assert done.returncode == 255
            assert b"too many authentication failures" in done.stderr
            assert wait_for_log(server, "left without a login.*too many attempts")
            assert ssh(server, "ls", options=("-i", str(keys[0]))).returncode == 0


class TestOffences:
    """What is held against a client that leaves without a login."""

    @pytest.mark.parametrize(
        ("data", "offence"),
        [(b"", Offence.NO_AUTH), (b"SSH-2.0-x\r\n", Offence.NO_AUTH), (b"GET / HTTP/1.1\r\n\r\n", Offence.NO_SSH)],
    )
    async def test_before_a_login(self, tmp_path: Path, data: bytes, offence: Offence) -> None:
        async with Lab(tmp_path, limits="") as lab:
            await say(lab.port, data)
            await self.expect(lab, offence)

    async def test_taking_too_long(self, tmp_path: Path) -> None:
        async with Lab(tmp_path, "login_grace_s = 1", limits="") as lab:
            reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
            await soon(reader.read())
            writer.close()
            await self.expect(lab, Offence.GRACE_EXCEEDED)

    async def test_a_wrong_key(self, tmp_path: Path) -> None:
        async with Lab(tmp_path, limits="") as lab:
            lab.key = asyncssh.generate_private_key("ssh-ed25519")
            with pytest.raises(asyncssh.PermissionDenied):
                await soon(lab.connect())
            await self.expect(lab, Offence.AUTH_FAILED)

    async def test_a_bug_of_ours(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async with Lab(tmp_path, limits="") as lab:
            monkeypatch.setattr("oobconsole.ssh.auth.offered", lambda data: 1 / 0)
            with pytest.raises((asyncssh.Error, ConnectionError)):
                await soon(lab.connect())
            await self.expect(lab, Offence.CRASH)

    async def test_nothing_after_a_login(self, tmp_path: Path) -> None:
        async with Lab(tmp_path, limits="") as lab:
            async with await soon(lab.connect()):
                pass
            await until(lambda: not lab.ssh.connections, lambda: lab.ssh.connections)
            assert len(lab.ssh.gate._penalties4) == 0

    @staticmethod
    async def expect(lab: Lab, offence: Offence) -> None:
        await until(lambda: not lab.ssh.connections, lambda: lab.ssh.connections)
        (penalty,) = lab.ssh.gate._penalties4._table.values()
        assert penalty.reason == offence.text


class TestLimits:
    def test_penalties_add_up_and_say_so(self) -> None:
        with Server(limits="") as server:
            stranger = server.make_key("mallory", authorize=False)
            # All at once: what has added up is less with every second that passes.
            tries = [Expect(server.ssh("ls", key=stranger)) for _ in range(8)]
            for client in tries:
                assert client.wait(PATIENCE) == 255
                client.close()
            done = ssh(server, "ls")
            assert done.returncode == 255
            assert re.search(rb"your address failed to log in; it has to wait \d+ s", done.stderr)
            for _ in range(15):
                with socket.create_connection(("127.0.0.1", server.port)) as connection:
                    connection.settimeout(scaled(PATIENCE))
                    assert connection.recv(1000)
            wait_for_log(server, "more of this is not logged")
            log = server.log.read_text()
            assert 4 <= log.count("left without a login") <= 8
            assert log.count("connection refused") == 10
            assert log.count("more of this is not logged") == 1

    def test_penalties_spare_the_exempt(self) -> None:
        with Server(limits='penalties_exempt = ["127.0.0.1"]') as server:
            stranger = server.make_key("mallory", authorize=False)
            for _ in range(5):
                assert refused(ssh(server, "ls", key=stranger))
            assert ssh(server, "ls").returncode == 0

    def test_too_many_who_do_not_log_in(self) -> None:
        with Server(limits='max_startups = "2:100:5"\npenalties = false') as server:
            waiting = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
            for connection in waiting:
                connection.settimeout(scaled(PATIENCE))
                assert connection.recv(8) == b"SSH-2.0-"
            done = ssh(server, "ls")
            assert done.returncode == 255
            assert b"too many logins at the same time, try again later" in done.stderr
            waiting[0].close()
            wait_for_log(server, "left without a login")
            assert ssh(server, "ls").returncode == 0
            waiting[1].close()

    async def test_who_is_logged_in_is_not_logging_in(self, tmp_path: Path) -> None:
        async with Lab(tmp_path, limits='max_startups = "2:100:5"') as lab, contextlib.AsyncExitStack() as stack:
            for _ in range(6):
                await stack.enter_async_context(await soon(lab.connect()))

    def test_connections_of_one_address(self) -> None:
        with (
            Server(limits="max_connections_per_source = 1") as server,
            Expect(server.ssh("watch", "web1", options=("-v",))) as client,
        ):
            client.expect("Entering interactive session", timeout=PATIENCE)
            assert b"your address has 1 connections" in ssh(server, "ls").stderr

    async def test_how_many_were_turned_away_is_told_with_each_sign_of_life(self, tmp_path: Path) -> None:
        async with Lab(tmp_path, limits="max_connections_per_source = 1") as lab, await soon(lab.connect()):
            told = []
            for refused_now in (3, 0, 2):
                for _ in range(refused_now):
                    await say(lab.port, b"")
                lab.relay.ping()
                await until(lambda: not lab.relay.unanswered, lambda: lab.relay.unanswered)
                told.append(lab.relay.counts.turned_away)
            assert told == [3, 3, 5]
            assert lab.relay.counts.refused == 0

    def test_a_flood_of_connections(self) -> None:
        """Whoever comes in between is served, and nothing is left of the flood."""
        with Server(limits='max_startups = "10:30:100"\npenalties_exempt = "127.0.0.1"') as server:
            for _ in range(20):
                flood = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(100)]
                for connection in flood:
                    connection.close()
            deadline = Deadline(PATIENCE)
            while ssh(server, "ls").returncode != 0:
                assert deadline.left
            assert server.log.read_text().count("\n") < 200


async def test_a_smaller_limit_does_not_end_the_front(lab: Lab) -> None:
    """security.md 2, variation: after a reload with a smaller max_connections, a client that was just logging in
    was taken for a front's lie, and everybody was disconnected."""
    asked, may, keys = threading.Event(), threading.Event(), kind.keys(lab.config)

    def slow(user: str) -> bytes:
        asked.set()
        may.wait(60)
        return keys(user)

    async with await soon(lab.connect()) as one, await soon(lab.connect()):
        lab.relay.allow(1000, slow)
        third = asyncio.ensure_future(lab.connect())
        await until(asked.is_set, lambda: "nobody asks")
        lab.relay.allow(1, keys)  # as a reload does
        may.set()
        async with await soon(third):
            assert "web1" in str((await soon(one.run("ls"))).stdout)
        assert not lab.relay.ended.done()


async def test_more_sessions_than_a_front_may_have_are_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """security.md 20, variation: whoever may log in could open 10,000 sessions over 250 connections. The core took
    the front for a hostile one, and everybody was disconnected."""
    monkeypatch.setattr(ends, "FRONT_SESSIONS_MAX", 12)
    monkeypatch.setattr(relay, "FRONT_SESSIONS_MAX", 12)
    monkeypatch.setattr(login, "_USERS_SHARE", 1)
    async with await soon(lab.connect()) as one, await soon(lab.connect()) as two:
        for _ in range(8):
            await soon(one.create_process("watch web1"))
        kept = [await soon(two.create_process("watch web1")) for _ in range(4)]
        with pytest.raises(asyncssh.ChannelOpenError):
            await soon(two.create_process("ls"))
        assert not lab.relay.ended.done()
        kept[0].close()
        await soon(kept[0].wait_closed())
        assert "web1" in str((await soon(two.run("ls"))).stdout)


async def test_one_user_leaves_room_for_others(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """security.md 20, variation: one user could have all sessions that a front may have, and nobody else got one."""
    monkeypatch.setattr(ends, "FRONT_SESSIONS_MAX", 12)
    (lab.folder / "keys" / "bob").write_bytes(lab.key.export_public_key())
    async with contextlib.AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(await soon(lab.connect())) for _ in range(2)]
        bob = await stack.enter_async_context(await soon(lab.connect("bob")))
        kept = [await soon(client.create_process("watch web1")) for client in (one, one, two)]
        for client in (one, two):
            with pytest.raises(asyncssh.ChannelOpenError, match="too many sessions of one user: there may be 3"):
                await soon(client.create_process("ls"))
        assert (await soon(bob.run("ls"))).exit_status == 0
        kept[0].close()
        await soon(kept[0].wait_closed())
        assert "web1" in str((await soon(two.run("ls"))).stdout)
