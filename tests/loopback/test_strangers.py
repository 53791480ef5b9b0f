"""security.md: who has not logged in costs others nothing."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from functools import partial
from pathlib import Path

import asyncssh
import pytest
from asyncssh.constants import (
    MSG_DEBUG,
    MSG_DISCONNECT,
    MSG_IGNORE,
    MSG_KEXINIT,
    MSG_SERVICE_REQUEST,
    MSG_UNIMPLEMENTED,
    MSG_USERAUTH_FAILURE,
)
from asyncssh.packet import Boolean, Byte, NameList, String, UInt32
from asyncssh.saslprep import saslprep

from oobconsole.ssh import algorithms, transport
from oobconsole.ssh.gate import Offence
from oobconsole.ssh.transport import Transport
from tests.loopback.access import PATIENCE
from tests.loopback.lab import Lab
from tests.support.aio import idle, soon, until
from tests.support.expect import run_to_end
from tests.support.server import Server
from tests.support.stranger import IGNORE, Stranger, clear_packet, flood, say, stranger


async def penalty_of(lab: Lab) -> str:
    """What the only address is blamed for, once everybody is gone."""
    await until(lambda: not lab.ssh.connections, lambda: lab.ssh.connections)
    penalties = list(lab.ssh.gate._penalties4._table.values())
    return penalties[0].reason if penalties else ""


def kexinit(
    exchanges: list[bytes], keys: list[bytes] | None = None, *, follows: bool = False, cookie: bytes = bytes(16)
) -> bytes:
    """A KEXINIT's payload."""
    lists = [exchanges, keys or [b"ssh-ed25519"], *[[b"aes128-ctr"]] * 2, *[[b"hmac-sha2-256"]] * 2]
    lists += [*[[b"none"]] * 2, [], []]
    return Byte(MSG_KEXINIT) + cookie + b"".join(map(NameList, lists)) + Boolean(follows) + UInt32(0)


class Turns:
    """How many packets were handled in each turn of the loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most = self.total = 0
        self._now = 0
        self._running = True
        counted = Transport.took_packet

        def count(connection: Transport) -> None:
            self._now += 1
            self.total += 1
            counted(connection)

        monkeypatch.setattr(Transport, "took_packet", count)
        asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self.most, self._now = max(self.most, self._now), 0
        asyncio.get_running_loop().call_soon(self._turn)


class TestSmallPackets:
    async def test_in_clear_end_the_connection(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """security.md 1: IGNORE packets without a key exchange."""
        async with Lab(tmp_path, limits="") as lab:
            turns = Turns(monkeypatch)
            await soon(flood(lab.port, IGNORE * 100_000))
            assert await penalty_of(lab) == Offence.TOO_MUCH.text
            assert 0 < turns.most <= transport.TURN_PACKETS
            assert turns.total == transport.STRANGER_PACKETS + 1

    async def test_many_strangers_share_what_one_may_have(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """security.md 1: three connections at once, and thirty."""
        async with Lab(tmp_path) as lab:
            turns = Turns(monkeypatch)
            await soon(asyncio.gather(*(flood(lab.port, IGNORE * 10_000) for _ in range(30))))
            assert turns.most <= 4 * transport.TURN_PACKETS

    @pytest.mark.parametrize(
        "packet",
        [
            (MSG_IGNORE, String(b"")),
            (MSG_UNIMPLEMENTED, UInt32(1)),
            (MSG_DEBUG, Boolean(True), String(b"x"), String(b"")),
            (30, b""),
        ],
    )
    async def test_encrypted(
        self, tmp_path: Path, packet: tuple[int, bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """security.md 1: after the key exchange, not logged in."""
        async with Lab(tmp_path, limits="") as lab:
            client = await stranger(lab.port)
            await soon(client.encrypted.wait())
            turns = Turns(monkeypatch)
            for _ in range(1000):
                client.send_packet(*packet)
            await soon(client.ended)
            assert await penalty_of(lab) in (Offence.TOO_MUCH.text, Offence.NO_SSH.text)
            assert turns.most <= transport.TURN_PACKETS

    async def test_of_who_is_logged_in_come_in_turns(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """security.md 1: a user's own packets, of types that nobody knows, too."""
        async with Lab(tmp_path) as lab, await soon(lab.connect()) as client:
            turns = Turns(monkeypatch)
            for number in range(3000):
                client.send_packet(*((MSG_IGNORE, String(b"")) if number % 2 else (192, b"")))
            assert (await soon(client.run("ls --json"))).exit_status == 0
            assert turns.total > 3000
            assert turns.most <= transport.TURN_PACKETS

    @pytest.mark.parametrize("size", [0, 1, 4, transport.STRANGER_PACKET_MAX + 1, 0xFFFFFFFF])
    async def test_lengths_that_cannot_be(self, tmp_path: Path, size: int) -> None:
        """A packet of no bytes, and one of 4 GiB."""
        async with Lab(tmp_path, limits="") as lab:
            await soon(flood(lab.port, size.to_bytes(4) + bytes(5000)))
            assert await penalty_of(lab) == Offence.NO_SSH.text

    async def test_bytes_one_by_one_have_an_end(self, tmp_path: Path) -> None:
        async with Lab(tmp_path, "login_grace_s = 1", limits="") as lab:
            reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
            await soon(reader.readline())
            writer.write(b"SSH-2.0-x\r\n\0\0\0")
            await soon(reader.read())
            writer.close()
            assert await penalty_of(lab) == Offence.GRACE_EXCEEDED.text

    async def test_what_came_before_the_end_is_handled(self, tmp_path: Path) -> None:
        """A client that says goodbye and closes at once has said goodbye."""
        async with Lab(tmp_path, limits="") as lab:
            farewell = clear_packet(Byte(MSG_DISCONNECT) + UInt32(11) + String(b"bye") + String(b""))
            reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
            writer.write(b"SSH-2.0-x\r\n" + IGNORE * 100 + farewell * 50)
            writer.write_eof()
            await soon(reader.read())
            writer.close()
            assert await penalty_of(lab) == Offence.NO_AUTH.text


class TestKeyExchanges:
    async def test_a_second_one_before_the_login(self, tmp_path: Path) -> None:
        """security.md 2."""
        async with Lab(tmp_path, limits="") as lab:
            client = await stranger(lab.port)
            await soon(client.encrypted.wait())
            client._send_kexinit()
            await soon(client.ended)
            assert await penalty_of(lab) == Offence.TOO_MUCH.text

    async def test_pipelined(self, tmp_path: Path) -> None:
        """security.md 2: KEXINIT after KEXINIT, without waiting."""
        async with Lab(tmp_path, limits="") as lab:
            await soon(flood(lab.port, clear_packet(kexinit([b"curve25519-sha256"])) * 100))
            assert await penalty_of(lab) in (Offence.TOO_MUCH.text, Offence.NO_SSH.text)

    @pytest.mark.parametrize(
        "name", ["rsa2048-sha256", "diffie-hellman-group18-sha512", "diffie-hellman-group14-sha1", "curve448-sha512"]
    )
    async def test_what_costs_the_server_most_is_not_offered(self, tmp_path: Path, name: str) -> None:
        """security.md 2, 14."""
        async with Lab(tmp_path) as lab:
            with pytest.raises(asyncssh.KeyExchangeFailed):
                await soon(lab.connect(kex_algs=[name]))

    @pytest.mark.parametrize("name", algorithms.KEY_EXCHANGES)
    async def test_what_is_offered_works(self, tmp_path: Path, name: str) -> None:
        """security.md 14."""
        async with Lab(tmp_path) as lab, await soon(lab.connect(kex_algs=[name])):
            pass

    async def test_rekeying_is_slowed_down(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """security.md 2: who has logged in may exchange keys again, and again a little later."""
        monkeypatch.setattr(transport, "REKEY_SECONDS", 3600.0)
        async with Lab(tmp_path) as lab:
            client = await soon(lab.connect(rekey_bytes=1))  # with every packet
            (connection,) = lab.ssh.connections
            assert isinstance(connection, Transport)

            def exchanged(times: int) -> bool:
                client.send_packet(MSG_IGNORE, String(b""))
                return connection._exchanges >= times

            for times in range(2, transport.REKEYS + 3):
                assert client._kex_complete
                await until(partial(exchanged, times), lambda: connection._exchanges)
                if times < transport.REKEYS + 2:
                    await until(lambda: client._kex_complete, lambda: connection._exchanges)
            await idle()
            assert not client._kex_complete
            client.abort()

    @pytest.mark.parametrize(
        ("exchanges", "keys", "is_wrong"),
        [
            ([b"mlkem768x25519-sha256"], [b"ssh-ed25519"], False),
            ([b"curve25519-sha256"], [b"ssh-ed25519"], True),
            ([b"mlkem768x25519-sha256"], [b"ssh-rsa", b"ssh-ed25519"], True),
            ([b"curve448-sha512", b"mlkem768x25519-sha256"], [b"ssh-ed25519"], True),
        ],
    )
    async def test_a_guess_is_right_only_if_both_sides_prefer_it(
        self, tmp_path: Path, exchanges: list[bytes], keys: list[bytes], is_wrong: bool
    ) -> None:
        """security.md 7: RFC 4253, 7."""
        async with Lab(tmp_path) as lab:
            client = await stranger(lab.port)
            await soon(client.encrypted.wait())
            (connection,) = lab.ssh.connections
            assert isinstance(connection, Transport)
            payload = kexinit(exchanges, keys, follows=True)[1:]
            assert connection._guesses_wrong(payload) is is_wrong
            assert not connection._guesses_wrong(kexinit(exchanges, keys)[1:])
            client.abort()

    async def test_the_service_may_be_asked_for_again(self, tmp_path: Path) -> None:
        """security.md 7, its kind: paramiko asks for it with each key, and could not log in with its second one."""
        async with Lab(tmp_path) as lab:
            client = await stranger(lab.port)
            await soon(client.encrypted.wait())
            client.query(asyncssh.generate_private_key("ssh-ed25519").public_data)
            await until(lambda: MSG_USERAUTH_FAILURE in client.seen, lambda: client.seen)
            client.encrypted.clear()
            client._next_service = b"ssh-userauth"
            client.send_packet(MSG_SERVICE_REQUEST, String(b"ssh-userauth"))
            await soon(client.encrypted.wait())
            client.query(lab.key.public_data)
            # PK_OK: asyncssh's client has not asked by itself, and ends at it; a refusal would be 51 again.
            assert "Authentication not in progress" in str(await soon(client.ended))
            assert client.seen.count(MSG_USERAUTH_FAILURE) == 1

    def test_dropbear_logs_in(self) -> None:
        """security.md 7: dropbear's client guesses."""
        with Server() as server:
            key = server.folder / "id_dropbear"
            made = run_to_end(["dropbearkey", "-t", "ed25519", "-f", str(key)], timeout=PATIENCE)
            assert made.returncode == 0, made
            public = next(line for line in made.stdout.splitlines() if line.startswith(b"ssh-ed25519 "))
            (server.folder / "keys" / "alice").write_bytes(public + b"\n")
            command = ["dbclient", "-y", "-y", "-i", str(key), "-p", str(server.port), "alice@127.0.0.1"]
            listed = run_to_end([*command, "ls"], timeout=PATIENCE)
            assert listed.returncode == 0, listed.stderr
            assert b"web1" in listed.stdout
            typed = run_to_end([*command, "web1"], data=b"hello dropbear", timeout=PATIENCE)
            assert (typed.returncode, typed.stdout) == (0, b"hello dropbear"), typed.stderr

    def test_ssh_audit_finds_only_what_is_meant(self) -> None:
        """security.md 14: NIST's curves stay, for clients in FIPS mode; so do MACs for those that know no others."""
        with Server(limits='max_startups = "1000:30:1000"\npenalties_exempt = "127.0.0.0/8"\n') as server:
            patient = ("--timeout", "60")  # for each answer: by default it gives up after 5 s, on any machine
            words = ("-m", "ssh_audit", "--skip-rate-test", *patient, "-jj", f"127.0.0.1:{server.port}")
            done = run_to_end([sys.executable, *words], timeout=PATIENCE * 6)
        found = json.loads(done.stdout)
        failed = {
            entry["algorithm"]
            for kind in ("kex", "key", "enc", "mac")
            for entry in found[kind]
            if entry.get("notes", {}).get("fail")
        }
        assert failed == {"ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521"}, failed
        assert not any("sha1" in entry["algorithm"] or "umac-64" in entry["algorithm"] for entry in found["mac"])
        assert found["compression"] == ["none"]


class TestLoggingIn:
    async def test_questions_have_an_end(self, tmp_path: Path) -> None:
        """A key that may log in can be asked about without having it; each question reads files."""
        async with Lab(tmp_path, limits="") as lab:
            client = await stranger(lab.port)
            await soon(client.encrypted.wait())
            for _ in range(transport.STRANGER_REQUESTS * 3):
                client.query(lab.key.public_data)
            await soon(client.ended)
            assert await penalty_of(lab) in (Offence.TOO_MUCH.text, Offence.AUTH_FAILED.text)

    async def test_one_question_at_a_time(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Pipelined requests drop nobody's count of tries, and read no files beside each other."""
        reading = most = 0

        async def consider(self: object, offered: object) -> None:
            nonlocal reading, most
            reading += 1
            most = max(most, reading)
            await asyncio.sleep(0)
            reading -= 1

        async with Lab(tmp_path, limits="") as lab:
            monkeypatch.setattr("oobconsole.ssh.login.KeyLogin.consider", consider)
            client = await stranger(lab.port)
            await soon(client.encrypted.wait())
            for _ in range(50):
                client.query(asyncssh.generate_private_key("ssh-ed25519").public_data)
            await soon(client.ended)
            assert most == 1
            assert await penalty_of(lab) == Offence.AUTH_FAILED.text

    @pytest.mark.parametrize(
        "method", [b"none", b"password", b"keyboard-interactive", b"hostbased", b"gssapi", b"\xff"]
    )
    async def test_other_methods_count_as_tries(self, tmp_path: Path, method: bytes) -> None:
        async with Lab(tmp_path, limits="") as lab:
            client = await stranger(lab.port)
            await soon(client.encrypted.wait())
            for _ in range(100):
                client.request(method)
            await soon(client.ended)
            assert await penalty_of(lab) in (Offence.AUTH_FAILED.text, Offence.NO_SSH.text)

    @pytest.mark.parametrize("name", [b"a" * 60_000, "\ufdfa".encode() * 300, b"\xff", b"", b"../../etc", b"a\0b"])
    async def test_names_of_all_kinds(
        self, tmp_path: Path, name: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A name is not prepared before its length is known: 300 of those take asyncssh 16 ms each time."""
        prepared: list[int] = []

        def prepare(text: str) -> str:
            prepared.append(len(text.encode()))
            return saslprep(text)

        monkeypatch.setattr("asyncssh.connection.saslprep", prepare)
        async with Lab(tmp_path) as lab:
            client = await stranger(lab.port)
            await soon(client.encrypted.wait())
            for _ in range(40):
                client.query(lab.key.public_data, user=name)
            await soon(client.ended)
            await until(lambda: not lab.ssh.connections, lambda: lab.ssh.connections)
        assert max(prepared, default=0) <= transport.USER_MAX
        assert "bug" not in capsys.readouterr().out

    async def test_keys_without_an_end(self, tmp_path: Path) -> None:
        """A key of 60 KB is no key; it is not decoded."""
        async with Lab(tmp_path, limits="") as lab:
            client = await stranger(lab.port)
            await soon(client.encrypted.wait())
            for _ in range(10):
                client.query(String(b"ssh-rsa") + String(b"\3") + String(b"\x7f" + os.urandom(50_000)))
            await soon(client.ended)
            assert await penalty_of(lab) in (Offence.AUTH_FAILED.text, Offence.NO_SSH.text)


class TestMalformed:
    @pytest.mark.parametrize(
        "data",
        [
            b"SSH-2.0-\xff\xfe\r\n",
            b"SSH-2.0-" + b"x" * 10_000 + b"\r\n",
            b"x" * 10_000,
            b"\r\n" * 5000,
            b"SSH-2.0-x\r\n" + clear_packet(b""),
            b"SSH-2.0-x\r\n" + clear_packet(Byte(MSG_KEXINIT)),
            b"SSH-2.0-x\r\n" + clear_packet(Byte(MSG_KEXINIT) + bytes(16) + UInt32(1 << 31)),
            b"SSH-2.0-x\r\n" + clear_packet(Byte(MSG_IGNORE)),
            b"SSH-2.0-x\r\n" + clear_packet(Byte(MSG_DEBUG) + b"\1" + String(b"\xff") + String(b"\xff")),
            b"SSH-2.0-x\r\n" + clear_packet(Byte(MSG_DISCONNECT)),
            b"SSH-2.0-x\r\n" + clear_packet(kexinit([b"\xff"])),
            b"SSH-2.0-x\r\n" + clear_packet(kexinit([b"curve25519-sha256"])) + clear_packet(Byte(30) + String(b"")),
            b"SSH-2.0-x\r\n" + clear_packet(kexinit([b"curve25519-sha256"])) + clear_packet(Byte(30)),
            b"SSH-2.0-x\r\n"
            + clear_packet(kexinit([b"ecdh-sha2-nistp256"]))
            + clear_packet(Byte(30) + String(b"\4")),
            b"SSH-2.0-x\r\n"
            + clear_packet(kexinit([b"mlkem768x25519-sha256"]))
            + clear_packet(Byte(30) + String(bytes(1216))),
            b"SSH-2.0-x\r\n"
            + clear_packet(kexinit([b"curve25519-sha256"]))
            + clear_packet(Byte(30) + String(bytes(32))),
        ],
    )
    async def test_is_the_clients_fault(
        self, tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """security.md 19: no bug of ours, and no 90 s."""
        async with Lab(tmp_path, limits="") as lab:
            await say(lab.port, data)
            assert await penalty_of(lab) in (Offence.NO_SSH.text, Offence.NO_AUTH.text)
        assert "bug" not in capsys.readouterr().out

    async def test_while_logging_in(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """security.md 19: a request for a login that cannot be read."""
        async with Lab(tmp_path) as lab:
            for arguments in (b"", b"\1", b"\0" + UInt32(1 << 30)):
                client: Stranger = await stranger(lab.port)
                await soon(client.encrypted.wait())
                client.request(b"publickey", arguments)
                await soon(client.ended)
            await until(lambda: not lab.ssh.connections, lambda: lab.ssh.connections)
        assert "bug" not in capsys.readouterr().out
