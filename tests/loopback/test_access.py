"""Who gets in, and what for, by the real OpenSSH client, ssh-keygen and ssh-agent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from oobconsole.audit import chain, files
from oobconsole.audit.verify import verify
from oobconsole.ssh.gate import Offence
from tests.loopback.lab import Lab
from tests.support.aio import soon, until
from tests.support.expect import Expect
from tests.support.server import Server

CA = 'user_ca = "ca.pub"\nrevoked_keys = "revoked"\n'
PATIENCE = 20


def keygen(*words: str | Path) -> None:
    subprocess.run(["ssh-keygen", "-q", *map(str, words)], check=True, capture_output=True, timeout=PATIENCE)


def make_ca(folder: Path, name: str = "ca") -> Path:
    keygen("-t", "ed25519", "-N", "", "-f", folder / name, "-C", name)
    return folder / name


def certify(server: Server, ca: Path, *options: str, user: str = "carol", principals: str = "carol") -> Path:
    """A key of its own, with a certificate that ssh finds beside it."""
    key = server.make_key(f"{user}{len(list(server.folder.iterdir()))}", authorize=False)
    names = ("-n", principals) if principals else ()
    keygen("-s", ca, "-I", f"{user}@laptop", *names, *options, f"{key}.pub")
    return key


def ssh(
    server: Server, *words: str, user: str = "alice", key: Path | None = None, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[bytes]:
    command = server.ssh(*words, user=user, key=key, options=options)
    return subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL)


def refused(done: subprocess.CompletedProcess[bytes]) -> bool:
    return done.returncode == 255 and b"Permission denied (publickey)" in done.stderr


def wait_for_log(server: Server, pattern: str, count: int = 1) -> re.Match[str]:
    """Wait until the server has logged something so often."""
    deadline = time.monotonic() + PATIENCE
    pause = server.folder / "no-such-file"
    while True:
        found = list(re.finditer(pattern, server.log.read_text()))
        if len(found) >= count:
            return found[-1]
        if time.monotonic() > deadline:
            raise AssertionError(f"{pattern!r} was not logged:\n{server.log.read_text()[-3000:]}")
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(["tail", "--follow=name", pause], timeout=0.02, capture_output=True, check=False)


def grant(server: Server, users: str, rights: str = "all") -> None:
    with server.config.open("a") as file:
        file.write(f'[[grant]]\nusers = "{users}"\nrights = "{rights}"\n')


@pytest.fixture(scope="module")
def authority() -> Iterator[tuple[Server, Path]]:
    """A server that believes a CA."""
    server = Server(settings=CA)
    ca = make_ca(server.folder)
    (server.folder / "revoked").write_text("serial: 13\nid: stolen@laptop\n")
    grant(server, "carol")
    with server:
        yield server, ca


@pytest.fixture(scope="module")
def plain() -> Iterator[Server]:
    """A server for keys with options; bob may do everything."""
    server = Server()
    grant(server, "bob")
    with server:
        yield server


def authorize(server: Server, options: str, user: str = "bob") -> Path:
    key = server.make_key(user, authorize=False)
    (server.folder / "keys" / user).write_text(f"{options} {key.with_suffix('.pub').read_text()}")
    return key


class TestCertificates:
    def test_let_in_their_principals(self, authority: tuple[Server, Path]) -> None:
        server, ca = authority
        key = certify(server, ca, "-z", "7")
        done = ssh(server, "ls", user="carol", key=key)
        assert (done.returncode, done.stderr) == (0, b"")
        assert refused(ssh(server, "ls", user="alice", key=key))
        assert "ID carol@laptop (serial 7) CA SHA256:" in wait_for_log(server, "logged in.*user='?carol'?.*")[0]

    @pytest.mark.parametrize(
        ("options", "principals"),
        [
            (("-V", "20200101:20200102"), "carol"),
            (("-V", "+1d:+2d"), "carol"),
            (("-O", "source-address=192.0.2.0/24"), "carol"),
            (("-O", "critical:unheard-of@example.org=x"), "carol"),
            (("-O", "verify-required"), "carol"),
            (("-z", "13"), "carol"),
            ((), ""),
            ((), "carol2,*"),
        ],
    )  # fmt: skip
    def test_that_do_not(self, authority: tuple[Server, Path], options: tuple[str, ...], principals: str) -> None:
        server, ca = authority
        assert refused(ssh(server, "ls", user="carol", key=certify(server, ca, *options, principals=principals)))

    def test_of_another_ca_a_host_or_a_revoked_id(self, authority: tuple[Server, Path]) -> None:
        server, ca = authority
        other = make_ca(server.folder, "other-ca")
        assert refused(ssh(server, "ls", user="carol", key=certify(server, other)))
        assert refused(ssh(server, "ls", user="carol", key=certify(server, ca, "-h")))
        assert refused(ssh(server, "ls", user="carol", key=certify(server, ca, user="stolen")))

    def test_what_they_allow(self, authority: tuple[Server, Path]) -> None:
        server, ca = authority
        here = certify(server, ca, "-O", "source-address=127.0.0.0/8", "-O", "force-command=help")
        done = ssh(server, "ls", user="carol", key=here)
        assert b"ssh HOST CONSOLE is short for" in done.stdout
        bare = certify(server, ca, "-O", "clear")
        assert ssh(server, "ls", user="carol", key=bare).returncode == 0
        done = ssh(server, "web1", user="carol", key=bare, options=("-tt",))
        assert b"PTY allocation request failed" in done.stderr

    def test_of_the_host(self) -> None:
        with Server() as server:
            ca = make_ca(server.folder, "host-ca")
            public = server.folder / "state" / "ssh_host_ed25519_key.pub"
            known = server.folder / "known_hosts"
            known.write_text(f"@cert-authority * {ca.with_suffix('.pub').read_text()}")
            strict = ("-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={known}")
            command = [word for word in server.ssh("ls") if not word.startswith(("StrictHost", "UserKnown"))]
            command = [
                word for word, after in zip(command, [*command[1:], ""], strict=True) if word != "-o" or "=" in after
            ]
            command[1:1] = strict

            def run() -> subprocess.CompletedProcess[bytes]:
                return subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)

            assert b"Host key verification failed" in run().stderr
            keygen("-s", ca, "-h", "-I", "host", "-n", "127.0.0.1,[127.0.0.1]:*", public)
            text = server.config.read_text()
            server.config.write_text(
                text.replace("state_dir", 'host_certificate = "state/ssh_host_ed25519_key-cert.pub"\nstate_dir')
            )
            os.kill(server.pid, signal.SIGHUP)
            wait_for_log(server, "configuration reloaded.*host_certificate")
            assert run().returncode == 0
            assert ssh(server, "ls").returncode == 0  # who knows the key itself needs no certificate
            keygen("-t", "ed25519", "-N", "", "-f", server.folder / "another")
            keygen("-s", ca, "-h", "-I", "host", server.folder / "another.pub")
            certificate = server.folder / "state" / "ssh_host_ed25519_key-cert.pub"
            certificate.write_bytes((server.folder / "another-cert.pub").read_bytes())
            os.kill(server.pid, signal.SIGHUP)
            wait_for_log(server, "was not reloaded.*certifies SHA256:.*but the host key is SHA256:")
            assert run().returncode == 0
            server.stop()
            with pytest.raises(AssertionError, match="but the host key is SHA256"):
                server.start()


class TestOptionsOfKeys:
    @pytest.mark.parametrize(
        "options",
        [
            'from="192.0.2.0/24"',
            'from="!127.0.0.1,*"',
            'expiry-time="20200101"',
            'Expiry-Time="202001010000Z"',
            "verify-required",
        ],
    )
    def test_that_keep_out(self, plain: Server, options: str) -> None:
        assert refused(ssh(plain, "ls", user="bob", key=authorize(plain, options)))

    @pytest.mark.parametrize(
        "options",
        ["", 'from="127.0.0.0/8"', 'from="*"', 'expiry-time="29990101Z"', "restrict", "no-agent-forwarding"],
    )
    def test_that_let_in(self, plain: Server, options: str) -> None:
        assert ssh(plain, "ls", user="bob", key=authorize(plain, options)).returncode == 0

    @pytest.mark.parametrize("options", ['command="help ls"', 'Command="help ls",restrict'])
    def test_a_forced_command(self, plain: Server, options: str) -> None:
        key = authorize(plain, options)
        for words in (("ls",), (), ("web1",), ("-s", "sftp")):
            done = ssh(plain, *words, user="bob", key=key)
            assert done.stdout.startswith(b"usage: ls"), done

    def test_no_terminal(self, plain: Server) -> None:
        done = ssh(plain, "ls", user="bob", key=authorize(plain, "restrict"), options=("-tt",))
        assert b"PTY allocation request failed" in done.stderr

    def test_a_ca_of_one_user(self, plain: Server) -> None:
        ca = make_ca(plain.folder, "bobs-ca")
        text = ca.with_suffix(".pub").read_text()
        (plain.folder / "keys" / "bob").write_text(f'cert-authority,principals="ops",command="help ls" {text}')
        key = certify(plain, ca, user="bob", principals="ops")
        assert ssh(plain, "web1", user="bob", key=key).stdout.startswith(b"usage: ls")
        assert refused(ssh(plain, "ls", user="alice", key=key))
        assert refused(ssh(plain, "ls", user="bob", key=certify(plain, ca, user="bob", principals="bob")))


class TestNames:
    def test_a_user_with_a_console(self, plain: Server) -> None:
        data = b"to web2 by its name\r\n"
        command = plain.ssh(user="alice+web2")
        done = subprocess.run(command, input=data, capture_output=True, timeout=PATIENCE, check=False)
        assert (done.stdout, done.returncode) == (data, 0)

    def test_a_command_wins(self, plain: Server) -> None:
        assert ssh(plain, "help", "ls", user="alice+web2").stdout.startswith(b"usage: ls")

    def test_a_console_that_does_not_exist(self, plain: Server) -> None:
        done = ssh(plain, user="alice+nosuch")
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"there is no console 'nosuch'" in done.stderr

    def test_are_not_told_apart(self, plain: Server) -> None:
        stranger = plain.make_key("mallory", authorize=False)
        seen = set()
        for user in ("alice", "nobody", "alice+web1", "nobody+web1", "../keys/alice", "+", "a" * 200):
            done = ssh(plain, "ls", user=user, key=stranger)
            seen.add((done.returncode, re.sub(rb"^.*@127.0.0.1: ", b"", done.stderr)))
        assert seen == {(255, b"Permission denied (publickey).\r\n")}


class TestNothingElse:
    """With the real client, which says what it was refused."""

    def test_tcp_forwarding(self, plain: Server) -> None:
        with socket.socket() as target:
            target.bind(("127.0.0.1", 0))
            target.listen()
            port = target.getsockname()[1]
            done = ssh(plain, options=("-W", f"127.0.0.1:{port}"))
            assert b"stdio forwarding failed" in done.stderr
            done = ssh(plain, "ls", options=("-o", "ExitOnForwardFailure=yes", "-R", f"0:127.0.0.1:{port}"))
            assert done.returncode == 255
            assert b"remote port forwarding failed" in done.stderr
            target.setblocking(False)
            with pytest.raises(BlockingIOError):
                target.accept()

    def test_streams_of_the_unix_domain(self, plain: Server) -> None:
        with socket.socket(socket.AF_UNIX) as target:
            target.bind(str(plain.folder / "target"))
            target.listen()
            target.setblocking(False)
            there = plain.folder / "there"
            done = ssh(
                plain, "ls", options=("-o", "ExitOnForwardFailure=yes", "-R", f"{there}:{plain.folder}/target")
            )
            assert done.returncode == 255
            assert not there.exists()
            here = plain.folder / "here"
            with Expect(plain.ssh("watch", "web1", options=("-v", "-L", f"{here}:{plain.folder}/target"))) as client:
                client.expect(r"Entering interactive session", timeout=PATIENCE)
                with socket.socket(socket.AF_UNIX) as stream:
                    stream.settimeout(PATIENCE)
                    stream.connect(str(here))
                    assert stream.recv(1) == b""
                client.expect(rb"channel \d+: open failed: ", timeout=PATIENCE)
            with pytest.raises(BlockingIOError):
                target.accept()

    def test_x11(self, plain: Server) -> None:
        done = subprocess.run(
            plain.ssh("ls", options=("-Y", "-o", "LogLevel=INFO")), capture_output=True, timeout=PATIENCE,
            env={**os.environ, "DISPLAY": "127.0.0.1:9"}, check=False,
        )  # fmt: skip
        assert done.returncode == 0
        assert b"X11 forwarding request failed" in done.stderr

    async def test_agents_and_environments(self, tmp_path: Path) -> None:
        """The client does not ask whether it was given them."""
        async with Lab(tmp_path) as lab:
            lab.appear()
            async with await soon(lab.connect(agent_forwarding=True, agent_path=str(tmp_path / "agent"))) as client:
                process = await soon(client.create_process("watch web1", env={"SECRET": "x"}, encoding=None))
                await until(lambda: lab.console.attached == 1, lambda: lab.console.attached)
                ((connection, login),) = lab.ssh.connections.items()
                (channel,) = login._sessions
                assert connection.get_agent_path() is None
                assert dict(channel._channel.get_environment()) == {}
                process.close()

    def test_tunnels(self, plain: Server) -> None:
        done = ssh(plain, options=("-N", "-o", "Tunnel=ethernet", "-w", "0:0", "-o", "ExitOnForwardFailure=yes"))
        assert done.returncode == 255

    @pytest.mark.parametrize("subsystem", ["sftp", "netconf"])
    def test_subsystems(self, plain: Server, subsystem: str) -> None:
        done = ssh(plain, "-s", subsystem)
        assert done.returncode == 255
        assert b"subsystem request failed" in done.stderr

    def test_scp_and_shells(self, plain: Server) -> None:
        for words in (("scp", "-t", "/tmp"), ("sh",), ("/bin/sh", "-c", "id")):
            done = ssh(plain, *words)
            assert done.returncode == 2
            assert done.stdout == b""


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


class TestSignatures:
    @pytest.mark.parametrize(("algorithm", "good"), [("rsa-sha2-512", True), ("ssh-rsa", False)])
    async def test_with_sha1_are_refused(self, tmp_path: Path, algorithm: str, good: bool) -> None:
        key = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
        async with Lab(tmp_path) as lab:
            (tmp_path / "keys" / "alice").write_bytes(key.export_public_key())
            pair = asyncssh.load_keypairs([key])[0]
            pair.sig_algorithms = pair.host_key_algorithms = (algorithm.encode(),)
            pair.set_sig_algorithm(algorithm.encode())
            connecting = asyncssh.connect(
                "127.0.0.1", lab.port, username="alice", client_keys=[pair], known_hosts=None, config=None,
                agent_path=None, signature_algs=[algorithm],
            )  # fmt: skip
            if good:
                (await soon(connecting)).close()
            else:
                with pytest.raises(asyncssh.PermissionDenied):
                    await soon(connecting)


class TestOffences:
    """What is held against a client that leaves without a login."""

    @pytest.mark.parametrize(
        ("data", "offence"),
        [(b"", Offence.NO_AUTH), (b"SSH-2.0-x\r\n", Offence.NO_AUTH), (b"GET / HTTP/1.1\r\n\r\n", Offence.NO_SSH)],
    )
    async def test_before_a_login(self, tmp_path: Path, data: bytes, offence: Offence) -> None:
        async with Lab(tmp_path, limits="") as lab:
            reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
            await soon(reader.readline())
            writer.write(data)
            writer.write_eof()
            await soon(reader.read())
            writer.close()
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
            for _ in range(4):
                assert refused(ssh(server, "ls", key=stranger))
            for _ in range(30):
                done = ssh(server, "ls")
            assert done.returncode == 255
            assert re.search(rb"your address failed to log in; it has to wait \d+ s", done.stderr)
            log = server.log.read_text()
            assert log.count("left without a login") == 4
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
                connection.settimeout(PATIENCE)
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

    def test_a_flood_of_connections(self) -> None:
        """Whoever comes in between is served, and nothing is left of the flood."""
        with Server(limits='max_startups = "10:30:100"\npenalties_exempt = "127.0.0.1"') as server:
            for _ in range(20):
                flood = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(100)]
                for connection in flood:
                    connection.close()
            deadline = time.monotonic() + PATIENCE
            while ssh(server, "ls").returncode != 0:
                assert time.monotonic() < deadline
            assert server.log.read_text().count("\n") < 200


class TestReload:
    @staticmethod
    def hup(server: Server, pattern: str) -> str:
        before = len(re.findall(pattern, server.log.read_text()))
        os.kill(server.pid, signal.SIGHUP)
        return wait_for_log(server, pattern, before + 1)[0]

    def test_grants(self) -> None:
        server = Server()
        key = server.make_key("bob")
        with server:
            assert ssh(server, "web1", user="bob", key=key).returncode == 2
            grant(server, "bob", "watch")
            self.hup(server, "configuration reloaded.*grant")
            with Expect(server.ssh("watch", "web1", user="bob", key=key, options=("-v",))) as bob:
                bob.expect("Entering interactive session", timeout=PATIENCE)
                with Expect(server.ssh("watch", "web1", options=("-v",))) as alice:
                    alice.expect("Entering interactive session", timeout=PATIENCE)
                    wait_for_who(server, 2)
                    server.config.write_text(server.config.read_text().replace('users = "bob"', 'users = "carol"'))
                    self.hup(server, "configuration reloaded.*grant")
                    bob.expect(rb"your right to watch web1 was taken away", timeout=PATIENCE)
                    assert bob.wait(PATIENCE) != 0
                    server.run("send", "web1", "still-here")
                    alice.expect(rb"still-here", timeout=PATIENCE)

    def test_limits(self) -> None:
        server = Server(limits='penalties = false\nmax_startups = "1:100:1"')
        with server, socket.create_connection(("127.0.0.1", server.port)) as waiting:
            waiting.settimeout(PATIENCE)
            assert waiting.recv(8) == b"SSH-2.0-"
            assert b"too many logins" in ssh(server, "ls").stderr
            server.config.write_text(server.config.read_text().replace("1:100:1", "5:100:5"))
            self.hup(server, "configuration reloaded.*server.max_startups")
            assert ssh(server, "ls").returncode == 0

    def test_is_all_or_nothing(self) -> None:
        with Server() as server:
            text = server.config.read_text()
            changed = text.replace('users = ["alice"]', 'users = ["bob"]').replace('name = "web2"', 'name = "web3"')
            server.config.write_text(changed)
            line = self.hup(server, "was not reloaded.*")
            assert "machine.mem.guest: cannot change while the server runs: restart it" in line
            assert ssh(server, "web1").returncode == 0
            server.config.write_text(changed + "nonsense = 1\n")
            assert "there is no such key" in self.hup(server, "was not reloaded.*no such key")
            server.config.write_text(text.replace("state_dir", 'user_ca = "nosuch"\nstate_dir') + "#\n")
            assert "user_ca cannot be read" in self.hup(server, "was not reloaded.*user_ca.*")
            server.config.write_text(text)
            self.hup(server, "configuration reloaded.*changed=..")
            assert ssh(server, "web1").returncode == 0

    def test_keys_that_count_no_longer_end_connections(self) -> None:
        server = Server(settings=CA)
        ca = make_ca(server.folder)
        (server.folder / "revoked").write_text("")
        grant(server, "carol")
        with server:
            key = certify(server, ca, "-z", "5")
            clients = [
                Expect(server.ssh("watch", "web1", options=("-v",))),
                Expect(server.ssh("watch", "web1", user="carol", key=key, options=("-v",))),
            ]
            with clients[0] as alice, clients[1] as carol:
                for client in clients:
                    client.expect("Entering interactive session", timeout=PATIENCE)
                wait_for_who(server, 2)
                (server.folder / "revoked").write_text("serial: 5\n")
                self.hup(server, "configuration reloaded")
                carol.expect(rb"the key that you logged in with counts no longer", timeout=PATIENCE)
                carol.wait(PATIENCE)
                assert refused(ssh(server, "ls", user="carol", key=key))
                server.run("send", "web1", "still-here")
                alice.expect(rb"still-here", timeout=PATIENCE)
                (server.folder / "keys" / "alice").unlink()
                self.hup(server, "configuration reloaded")
                alice.expect(rb"the key that you logged in with counts no longer", timeout=PATIENCE)

    def test_by_the_local_command(self) -> None:
        with Server() as server:
            done = local(server, "reload")
            assert (done.returncode, done.stderr) == (0, b"")
            assert done.stdout == b"reloaded: nothing in the file; keys and certificates were read again\n"
            server.config.write_text(
                server.config.read_text().replace("authorized_keys", "tail_lines = 7\nauthorized_keys")
            )
            assert local(server, "reload").stdout == b"reloaded: server.tail_lines\n"
            server.config.write_text(
                server.config.read_text().replace("tail_lines", 'user_ca = "nosuch"\ntail_lines')
            )
            done = local(server, "reload")
            assert (done.returncode, done.stdout) == (1, b"")
            assert b"nothing was changed: " in done.stderr
            assert b"nosuch: user_ca cannot be read: No such file or directory" in done.stderr

    def test_is_no_business_of_users(self, plain: Server) -> None:
        for words in (("reload",), ("audit", "head")):
            done = ssh(plain, *words)
            assert (done.returncode, done.stdout) == (3, b"")
            assert b"is for the server's own user" in done.stderr


def wait_for_who(server: Server, count: int) -> None:
    """Wait until so many are attached."""
    deadline = time.monotonic() + PATIENCE
    while (seen := ssh(server, "who").stdout).count(b"web1") < count:
        assert time.monotonic() < deadline, seen


def local(server: Server, *words: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "oobconsole", "--config", str(server.config), *words]
    return subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)


class TestAudit:
    def test_by_the_local_command(self) -> None:
        with Server() as server:
            assert ssh(server, "ls").returncode == 0
            head = local(server, "audit", "head").stdout.split()[1].decode()
            assert ssh(server, "web1").returncode == 0
            done = local(server, "audit", "verify", "--head", head)
            assert done.returncode == 0, done
            assert done.stdout.startswith(b"intact: ")
            shown = local(server, "audit", "show").stdout
            assert re.search(rb" attached +alice +web1 +127.0.0.1 +key=SHA256:", shown), shown
            log = server.folder / "state" / "audit.jsonl"
            log.write_bytes(log.read_bytes().replace(b'"attached"', b'"detached"'))
            done = local(server, "audit", "verify", "--head", head)
            assert done.returncode == 1
            assert b"was changed: its hash is another" in done.stdout

    def test_of_a_real_server(self) -> None:
        with Server() as server:
            state = server.folder / "state"
            assert ssh(server, "help", options=("-o", "SendEnv=NOTHING")).returncode == 0
            assert refused(ssh(server, "ls", key=server.make_key("mallory", authorize=False)))
            os.kill(server.pid, signal.SIGHUP)
            wait_for_log(server, "configuration reloaded")
            assert server.stop() == 0
            server.start()
            server.kill()
            server.start()
            server.stop()
            head = wait_for_log(server, r"audit log closed.*head='?([0-9a-f]{64})", 2)[1]
            entries = [json.loads(line) for line in (state / "audit.jsonl").read_text().splitlines()]
            kinds = [entry["kind"] for entry in entries]
            assert kinds[:6] == ["server-started", "login", "logout", "login-refused", "reloaded", "server-stopped"]
            fingerprint = subprocess.run(
                ["ssh-keygen", "-lf", server.key], capture_output=True, text=True, check=True
            ).stdout.split()[1]
            assert (entries[1]["user"], entries[1]["address"], entries[1]["key"]) == (
                "alice",
                "127.0.0.1",
                fingerprint,
            )
            assert (entries[3]["user"], entries[3]["reason"]) == ("alice", "no such key")
            key = chain.load_public_key(state / "audit_ed25519_key.pub")
            assert verify(files.all_of(state / "audit.jsonl"), key, heads=[head]).faults == []

    def test_files_are_private(self, plain: Server) -> None:
        state = plain.folder / "state"
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        open_to_others = [path for path in state.rglob("*") if stat.S_IMODE(path.stat().st_mode) & 0o077]
        assert open_to_others == []

    def test_a_state_dir_that_others_may_write_to(self) -> None:
        with Server() as server:
            server.stop()
            (server.folder / "state").chmod(0o777)
            with pytest.raises(AssertionError, match="others may write into the server's state_dir; chmod 700 it"):
                server.start()
            (server.folder / "state").chmod(0o700)
