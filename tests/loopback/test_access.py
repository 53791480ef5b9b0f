"""Who gets in, and what for, by the real OpenSSH client, ssh-keygen and ssh-agent."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from tests.loopback.access import CA, PATIENCE, authorize, certify, grant, keygen, make_ca, refused, ssh, wait_for_log
from tests.loopback.lab import Lab
from tests.support.aio import soon, until
from tests.support.expect import Expect
from tests.support.pace import scaled
from tests.support.server import Server


@pytest.fixture(scope="module")
def authority() -> Iterator[tuple[Server, Path]]:
    """A server that believes a CA."""
    server = Server(settings=CA)
    ca = make_ca(server.folder)
    (server.folder / "revoked").write_text("serial: 13\nid: stolen@laptop\n")
    grant(server, "carol")
    with server:
        yield server, ca


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
                return subprocess.run(command, capture_output=True, timeout=scaled(PATIENCE), check=False)

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
        done = subprocess.run(command, input=data, capture_output=True, timeout=scaled(PATIENCE), check=False)
        assert (done.stdout, done.returncode) == (data, 0)

    @pytest.mark.parametrize("user", ["alice@corp.example", r"CORP\alice", "müller", "svc$"])
    def test_of_directory_services(self, plain: Server, user: str) -> None:
        """faults.md 32: these were accepted everywhere, and the login never worked."""
        key = plain.make_key(user)
        done = ssh(plain, "help", user=user, key=key)
        assert (done.returncode, done.stderr) == (0, b"")
        assert ssh(plain, "help", user=f"{user}+web1", key=key).returncode == 0

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
                    stream.settimeout(scaled(PATIENCE))
                    stream.connect(str(here))
                    assert stream.recv(1) == b""
                client.expect(rb"channel \d+: open failed: ", timeout=PATIENCE)
            with pytest.raises(BlockingIOError):
                target.accept()

    def test_x11(self, plain: Server) -> None:
        done = subprocess.run(
            plain.ssh("ls", options=("-Y", "-o", "LogLevel=INFO")), capture_output=True, timeout=scaled(PATIENCE),
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
