"""A server that reads its configuration again."""

from __future__ import annotations

import os
import re
import signal
import socket

import pytest

from tests.loopback.access import (
    CA,
    PATIENCE,
    certify,
    grant,
    make_ca,
    refused,
    ssh,
    wait_for_log,
    wait_for_who,
)
from tests.support.expect import Expect
from tests.support.pace import scaled
from tests.support.server import Server


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

    @pytest.mark.parametrize("words", [("--timeout", "60", "web1", "needle"), ("web1", "needle")])
    def test_a_right_that_is_taken_away_ends_a_wait(self, words: tuple[str, ...]) -> None:
        """security.md 22, variation: whoever waited for a pattern was shown what matched it, long after that."""
        server = Server()
        key = server.make_key("bob")
        grant(server, "bob", "watch")
        with server, Expect(server.ssh("wait", *words, user="bob", key=key, options=("-v",))) as bob:
            bob.expect("Sending command", timeout=PATIENCE)
            wait_for_log(server, "session begins.*user='bob'")
            server.config.write_text(server.config.read_text().replace('users = "bob"', 'users = "carol"'))
            self.hup(server, "configuration reloaded.*grant")
            server.run("send", "web1", "needle-and-secret")
            bob.expect("there is no console 'web1'", timeout=PATIENCE)
            assert bob.wait(PATIENCE) == 2

    def test_limits(self) -> None:
        server = Server(limits='penalties = false\nmax_startups = "1:100:1"')
        with server, socket.create_connection(("127.0.0.1", server.port)) as waiting:
            waiting.settimeout(scaled(PATIENCE))
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
            done = server.run_local("reload")
            assert (done.returncode, done.stderr) == (0, b"")
            assert done.stdout == b"reloaded: nothing in the file; keys and certificates were read again\n"
            server.config.write_text(
                server.config.read_text().replace("authorized_keys", "tail_lines = 7\nauthorized_keys")
            )
            assert server.run_local("reload").stdout == b"reloaded: server.tail_lines\n"
            server.config.write_text(
                server.config.read_text().replace("tail_lines", 'user_ca = "nosuch"\ntail_lines')
            )
            done = server.run_local("reload")
            assert (done.returncode, done.stdout) == (1, b"")
            assert b"nothing was changed: " in done.stderr
            assert b"nosuch: user_ca cannot be read: No such file or directory" in done.stderr

    def test_is_no_business_of_users(self, plain: Server) -> None:
        for words in (("reload",), ("audit", "head")):
            done = ssh(plain, *words)
            assert (done.returncode, done.stdout) == (3, b"")
            assert b"is for the server's own user" in done.stderr


def test_a_configuration_that_has_become_a_pipe_is_refused() -> None:
    """faults.md 27, variation: a reload that nobody ends kept each later one waiting, and the server from ending."""
    with Server() as server:
        good = server.config.read_text()
        server.config.unlink()
        os.mkfifo(server.config)
        os.kill(server.pid, signal.SIGHUP)
        wait_for_log(server, "is no file, and cannot be read again")
        server.config.unlink()
        server.config.write_text(good.replace('rights = "all"', 'rights = "watch"'))
        os.kill(server.pid, signal.SIGHUP)
        wait_for_log(server, "configuration reloaded")
        assert server.stop() == 0
