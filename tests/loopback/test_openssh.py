"""A real server with guests in memory, and the real OpenSSH client."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading

import pytest

from tests.loopback.access import wait_for_log
from tests.support.expect import Expect
from tests.support.pace import scaled
from tests.support.person import role, typed
from tests.support.server import Server
from tests.support.sync import eventually


def tty(server: Server, *words: str, options: tuple[str, ...] = ("-e", "none")) -> Expect:
    """ssh with a terminal on the far side, as `ssh -t` gives a person."""
    return Expect(server.ssh(*words, options=("-tt", *options)))


def noise(size: int) -> bytes:
    """Random bytes. They may begin a string (OSC, DCS) that a person's terminal would not be shown: a line feed ends
    it, so that whoever comes next sees what is printed."""
    return secrets.token_bytes(size) + b"\n"


def attached(server: Server) -> Expect:
    """A person at web1, who is there already."""
    client = tty(server, "web1")
    client.expect(rb"detaches, ~h helps", timeout=10)
    return client


def test_ls_lists_the_consoles(server: Server) -> None:
    done = server.run("ls")
    assert done.returncode == 0
    assert re.search(rb"^web1 +live +0 +- +\d+s  mem +memory guest 1 ready$", done.stdout, re.MULTILINE)
    assert re.search(rb"^web2 +live", done.stdout, re.MULTILINE)


def test_an_unknown_console_costs_one_sentence(server: Server) -> None:
    done = server.run("nosuch")
    assert done.returncode == 2
    assert done.stdout == b""
    assert b"nosuch" in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("command", ["ls -l", "web1 web2", "'web1"])
def test_commands_that_make_no_sense_are_explained(server: Server, command: str) -> None:
    done = server.run(command)
    assert done.returncode == 2
    assert done.stderr


def test_a_pipe_carries_every_byte_both_ways_and_ends(server: Server) -> None:
    data = bytes(range(256)) * 40 + noise(10_000)
    done = server.run("web1", data=data)
    assert done.returncode == 0
    assert done.stderr == b""
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_a_pipe_whose_reader_leaves_ends(server: Server) -> None:
    command = f"{subprocess.list2cmdline(server.ssh('web1'))} | head -c 3"
    done = subprocess.run(
        ["sh", "-c", command], input=b"abc" * 100_000, capture_output=True, timeout=scaled(30), check=False
    )
    assert done.stdout == b"abc"


def test_attach_echo_and_detach(server: Server) -> None:
    with tty(server, "web1") as client:
        client.expect(rb"web1.*~\.", timeout=10)
        word = secrets.token_hex(6)
        client.send(word)
        client.expect(word, timeout=5)
        client.send(b"\r~.")
        client.expect(rb"detached", timeout=5)
        assert client.wait(5) == 0


def test_a_tilde_within_a_line_is_the_guests(server: Server) -> None:
    with tty(server, "web1") as client:
        client.expect(rb"~\.", timeout=10)
        client.send(b"a~.b")
        client.expect(rb"a~\.b", timeout=5)


def test_ctrl_c_and_utf8_pass(server: Server) -> None:
    with tty(server, "web2") as client:
        client.expect(rb"~\.", timeout=10)
        client.send("\x03\x1aäöü€𝄞".encode())
        client.expect("\x03\x1aäöü€𝄞".encode(), timeout=5)


def test_the_scrollback_is_shown_on_attach(server: Server) -> None:
    word = secrets.token_hex(8)
    server.run("web1", data=f"{word}\r\n".encode())
    with tty(server, "web1") as client:
        client.expect(word, timeout=10)


def test_several_people_see_the_same(server: Server) -> None:
    with attached(server) as one, attached(server) as two:
        word = secrets.token_hex(8)
        one.send(word)  # who is attached first has the keyboard
        for client in (one, two):
            client.expect(word, timeout=5)


def test_no_command_gives_a_menu(server: Server) -> None:
    with tty(server) as client:
        client.expect(rb"web1.*web2", timeout=10)
        client.send(b"\x03")
        assert client.wait(10) == 0


def test_no_command_and_no_terminal_gives_the_list_and_a_hint(server: Server) -> None:
    done = server.run()
    assert done.returncode == 2
    assert b"web1" in done.stdout
    assert b"ssh" in done.stderr


def test_a_paste_of_a_mebibyte_arrives_whole(server: Server) -> None:
    """It once lost its end at a load of 23: tests/unit/session/test_late.py says how, and that it does so no more."""
    data = noise(1 << 20)
    done = server.run("web2", data=data, timeout=100)
    assert (done.returncode, done.stderr, len(done.stdout)) == (0, b"", len(data))
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_an_answer_arrives_whole_though_the_server_gets_hardly_any_time(server: Server) -> None:
    """The same with a real server: it is stopped again and again for longer than a guest has to be quiet (`drain_ms`)
    before a pipe whose input has ended leaves."""
    over = threading.Event()

    def stop_again_and_again() -> None:
        while not over.wait(0.05):
            with server.stopped():
                over.wait(0.35)

    data = noise(1 << 15)
    thread = threading.Thread(target=stop_again_and_again)
    thread.start()
    try:
        done = server.run("web2", data=data, timeout=60)
    finally:
        over.set()
        thread.join()
    assert (done.returncode, done.stderr, done.stdout == data) == (0, b"", True)


def test_a_stopped_client_delays_nobody(server: Server) -> None:
    """Its own window fills; the guest and the others go on."""
    stopped = subprocess.Popen(
        server.ssh("watch", "web1", "--from-start"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert stopped.stdout is not None
        assert len(stopped.stdout.read(5)) == 5  # it is attached
        os.kill(stopped.pid, signal.SIGSTOP)
        data = noise(300_000)
        done = server.run("web1", data=data, timeout=60)
        assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
        stopped.kill()
        stopped.communicate()


def test_a_client_that_dies_leaves_nothing_behind(server: Server) -> None:
    with tty(server, "web2") as client:
        client.expect(rb"~\.", timeout=10)
    for _ in range(50):
        if re.search(rb"^web2 +live +0 ", server.run("ls").stdout, re.MULTILINE):
            return
    raise AssertionError(server.run("ls").stdout)


def test_wrong_keys_and_unknown_users_look_the_same(server: Server) -> None:
    stranger = server.make_key("mallory", authorize=False)
    for user in ("alice", "nobody", "../keys/alice"):
        done = subprocess.run(
            server.ssh("ls", user=user, key=stranger), capture_output=True, timeout=scaled(20), check=False
        )
        assert done.returncode == 255
        assert b"Permission denied (publickey)" in done.stderr


def test_a_bad_line_of_authorized_keys_costs_that_line(server: Server) -> None:
    key = server.make_key("bob")
    path = server.folder / "keys" / "bob"
    path.write_text("ssh-ed25519 not!base64 oops\n# a comment\n\n" + path.read_text())
    done = subprocess.run(server.ssh("ls", user="bob", key=key), capture_output=True, timeout=scaled(20), check=False)
    assert done.returncode == 0
    wait_for_log(server, re.escape(f"{path}:1"))


@pytest.mark.parametrize(
    "options",
    [("-o", "PreferredAuthentications=password"), ("-o", "PreferredAuthentications=keyboard-interactive")],
)
def test_nothing_but_public_keys(server: Server, options: tuple[str, ...]) -> None:
    done = subprocess.run(server.ssh("ls", options=options), capture_output=True, timeout=scaled(20), check=False)
    assert done.returncode == 255


def test_no_forwarding_no_subsystem(server: Server) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    remote = ("-o", "ExitOnForwardFailure=yes", "-R", f"{port}:127.0.0.1:1")
    done = subprocess.run(server.ssh("ls", options=remote), capture_output=True, timeout=scaled(20), check=False)
    assert done.returncode == 255
    done = subprocess.run(
        server.ssh(options=("-W", "127.0.0.1:1")), capture_output=True, timeout=scaled(20), check=False
    )
    assert done.returncode != 0
    assert b"prohibited" in done.stderr or b"refused" in done.stderr or b"failed" in done.stderr
    done = subprocess.run(server.ssh("sftp", options=("-s",)), capture_output=True, timeout=scaled(20), check=False)
    assert done.returncode != 0


def test_the_host_key_is_private_and_stays() -> None:
    with Server() as server:
        key = server.folder / "state" / "ssh_host_ed25519_key"
        assert key.stat().st_mode & 0o777 == 0o600
        before = key.read_bytes()
        server.stop()
        server.start()
        assert key.read_bytes() == before
        server.stop()
        key.chmod(0o644)
        with pytest.raises(AssertionError, match="others may read"):
            server.start()


def test_a_clean_stop_tells_whoever_is_attached() -> None:
    with Server() as server, tty(server, "web1") as client:
        client.expect(rb"~\.", timeout=10)
        assert server.stop() == 0
        client.expect(rb"the guest goes on", timeout=5)
        client.wait(10)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "server"),
        ("[server", "is not TOML"),
        ("[server]\nstate_dir = 3\n", "server.state_dir"),
        ("[server]\nstate_dir = 's'\nauthorized_keys = 'nosuch'\n", "nosuch"),
        ("[server]\nstate_dir = 's'\nauthorized_keys = 'keys'\ncolour = 1\n", "server.colour"),
        ("[server]\nstate_dir = 's'\nauthorized_keys = 'keys'\nlisten = 'here'\n", "server.listen"),
        ("[[machine]]\nname = 'a'\n[[machine.guest]]\nname = 'A b'\n", "A b"),
        ("[[machine]]\nname = 'a'\n[[machine.guest]]\nname = 'x'\n[[machine.guest]]\nname = 'x'\n", "'x'"),
        ("[[machine]]\nname = 'a'\ninterceptor = 'magic'\n[[machine.guest]]\nname = 'x'\n", "interceptor"),
        ("[[machine]]\nname = 'a'\n[[machine.guest]]\nname = 'x'\nuarts = ['com9']\n", "com9"),
        ("[[machine]]\nname = 'a'\n[[machine.guest]]\nname = 'x'\nuarts = [{port = 3, irq = 4}]\n", "port"),
    ],
)
def test_a_bad_configuration_gives_file_key_and_reason(server: Server, text: str, says: str) -> None:
    head = "" if "[server" in text or not text else "[server]\nstate_dir = 's'\nauthorized_keys = 'keys'\n"
    tail = (
        ""
        if "[[machine" in text or not text.endswith("\n")
        else "[[machine]]\nname='m'\n[[machine.guest]]\nname='g'\n"
    )
    file = server.folder / f"bad-{secrets.token_hex(4)}.toml"
    file.write_text(head + text + tail)
    command = [sys.executable, "-m", "oobconsole", "serve", "--config", str(file)]
    done = subprocess.run(command, capture_output=True, timeout=scaled(20), check=False, text=True)
    assert done.returncode == 2, done.stderr
    assert str(file) in done.stderr
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_killed_control_master_takes_its_sessions_with_it_and_nobody_else(server: Server) -> None:
    """faults.md 29: sessions that share a connection are told apart, and the keyboard goes to whoever is left."""

    def at_web1() -> int:
        return server.run("who", "--json").stdout.count(b'"console": "web1"')

    shared = ("-o", f"ControlPath={server.folder / 'master'}")
    with Expect(server.ssh(options=(*shared, "-M", "-N"))) as master, contextlib.ExitStack() as stack:
        eventually((server.folder / "master").exists, lambda: (master.running, bytes(master.told)))
        person = stack.enter_context(tty(server, "web1", options=("-e", "none", *shared)))
        person.expect(rb"you have the keyboard", timeout=20)
        watchers = [stack.enter_context(Expect(server.ssh("watch", "web1", options=shared))) for _ in range(6)]
        eventually(lambda: at_web1() == 7, at_web1)
        left = stack.enter_context(tty(server, "web1"))
        left.expect(rb"has the keyboard", timeout=20)
        master.kill()
        for ended in (person, *watchers):
            assert ended.wait(20) == 255
        eventually(lambda: at_web1() == 1, at_web1)  # the server learns of it by itself
        role(left, "k", rb"you have the keyboard", begin="\r")
        typed(left)
        assert at_web1() == 1
