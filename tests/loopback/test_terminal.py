"""A person: the real OpenSSH client on a real pseudo-terminal, looked at as a screen."""

from __future__ import annotations

import hashlib
import re
import secrets
import socket
from pathlib import Path

import pytest

from tests.loopback.access import wait_for_log, wait_for_who
from tests.support.guest import PtyGuest
from tests.support.pace import scaled
from tests.support.person import person
from tests.support.server import Server
from tests.support.sync import eventually
from tests.support.terminal import Terminal

#: The client's own `~.` would come first.
NO_ESCAPE = ("-t", "-e", "none")


def attached(server: Server, *words: str, term: str = "xterm") -> Terminal:
    return person(server, *(words or ("web1",)), term=term)


def test_typing_detaching_and_why(server: Server) -> None:
    with attached(server) as terminal:
        word = secrets.token_hex(8)
        terminal.send(f"\r\n{word}\r")  # a new line ends what a test before may have begun
        terminal.expect_screen(word, timeout=10)
        terminal.send("~?")
        terminal.expect_screen(re.escape("~.  detach"), timeout=10)
        terminal.send("~.")
        terminal.expect_screen(re.escape("[oobconsole: detached from web1]"), timeout=10)
        assert terminal.wait(10) == 0


def test_every_key_reaches_the_guest(server: Server) -> None:
    """A raw terminal: Ctrl-C, Ctrl-Z, Ctrl-S and all the others are bytes like any other."""
    with attached(server, "web1", "--raw") as terminal:
        data = bytes(range(256))
        terminal.send(data)
        terminal.expect(re.escape(data), timeout=10)


def test_a_window_that_changes_its_size_disturbs_nothing(server: Server) -> None:
    with attached(server, term="dumb") as terminal:  # bytes are compared
        for rows, columns in ((50, 132), (5, 20), (24, 80)):
            terminal.resize(rows, columns)
            word = secrets.token_hex(6)
            terminal.send(f"\n{word}")  # a line feed ends what the test before may have begun
            terminal.expect(word, timeout=10)


def test_a_paste_of_a_mebibyte_arrives_whole(server: Server) -> None:
    data = secrets.token_bytes(1 << 19).hex().encode()
    with attached(server, "web2", "--raw") as terminal:
        terminal.send(b"<" + data + b">")
        found = terminal.expect(rb"<([0-9a-f]+)>", timeout=60)
        assert hashlib.sha256(found[1]).digest() == hashlib.sha256(data).digest()


def test_a_command_line_acts_on_no_terminal(server: Server) -> None:
    """Neither on the one that it comes back to nor on one that shows the log."""
    done = server.run("\x1b]0;title\x07")
    assert done.returncode == 2
    assert rb"'\x1b]0;title\x07'" in done.stderr
    wait_for_log(server, r"\\x1b\]0;title")
    assert b"\x1b" not in done.stderr + server.log.read_bytes()


def test_several_addresses() -> None:
    with Server() as server:
        text = server.config.read_text()
        server.stop()
        server.config.write_text(text.replace('"127.0.0.1:0"', '["127.0.0.1:0", "127.0.0.2:0"]'))
        server.start()
        ports = (server.folder / "state" / "ssh_port").read_text().split()
        assert len(set(ports)) == 2
        wanted = f"listening on 127.0.0.1:{ports[0]} 127.0.0.2:{ports[1]}"
        eventually(lambda: wanted in server.log.read_text(), server.log.read_text)  # the log is written by a thread
        for host, port in zip(("127.0.0.1", "127.0.0.2"), ports, strict=True):
            with socket.create_connection((host, int(port)), timeout=scaled(10)) as connection:
                assert connection.recv(4) == b"SSH-"


def test_who_did_not_get_in_is_logged(server: Server) -> None:
    stranger = server.make_key("eve", authorize=False)
    with Terminal(server.ssh("ls", user="eve", key=stranger)) as terminal:
        terminal.expect(rb"Permission denied \(publickey\)", timeout=20)
        assert terminal.wait(10) == 255
    wait_for_log(server, r"left without a login +user='eve' address='127.0.0.1'")


def test_a_stopped_client_delays_nobody_and_is_told_what_it_missed(tmp_path: Path) -> None:
    """The guest prints more than the client's window (1 MiB with a terminal), our buffers and the scrollback. Each
    piece is printed when the other client has the one before it: so that one loses nothing, however late it is."""
    vm = f'[[vm]]\nname = "web1"\nchardev = "unix:{tmp_path}/serial"\n'
    data, piece = secrets.token_bytes(3 << 19), 1 << 16
    with (
        PtyGuest(tmp_path / "serial") as guest,
        Server(vm, settings="scrollback_kib = 256") as server,
        attached(server, "watch", "web1", "--raw") as stopped,
        server.attach("web1", merge_stderr=False) as other,
    ):
        wait_for_who(server, 2)
        stopped.stop()
        for start in range(0, len(data), piece):
            guest.prints(data[start : start + piece])
            other.expect(rb".{%d}" % piece, timeout=20)
        assert hashlib.sha256(other.seen).digest() == hashlib.sha256(data).digest()
        stopped.go_on()
        stopped.expect(rb"\[oobconsole: \d+ bytes of output are not kept any more, and skipped\]", timeout=60)
        word = secrets.token_hex(8)
        guest.prints(word.encode())
        stopped.expect(word, timeout=20)


@pytest.mark.parametrize("words", [("web1",), ()])
def test_a_server_that_stops_gives_the_terminal_back(words: tuple[str, ...]) -> None:
    with Server() as server, Terminal(server.ssh(*words, options=NO_ESCAPE)) as terminal:
        terminal.expect(rb"helps\]|C leave", timeout=20)
        assert server.stop() == 0
        terminal.expect_screen(r"\[oobconsole: the console server stops", timeout=10)
        assert terminal.wait(10) == 1
