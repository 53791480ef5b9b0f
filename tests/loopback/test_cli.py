"""The local command against a real server, over the admin socket; on a real terminal where it is about one."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loopback.access import wait_for_log
from tests.support.pace import scaled
from tests.support.server import Server
from tests.support.terminal import Terminal


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def test_the_verbs_say_what_ssh_says(server: Server) -> None:
    rows = [json.loads(line) for line in server.run_local("ls", "--json").stdout.splitlines()]
    assert [row["console"] for row in rows] == ["web1", "web2"]
    for words, status in ((("ls", "-l"), 2), (("attach", "nope"), 2), (("wait", "--timeout", "0.1", "web1", "x"), 4)):
        assert server.run_local(*words).returncode == server.run(*words).returncode == status


@pytest.mark.parametrize("words", [("status", "--help"), ("status", "-h"), ("power", "web1", "--help"), ("ls", "-h")])
def test_help_for_a_verb(server: Server, words: tuple[str, ...]) -> None:
    """Through ssh and locally; and locally also where there is no server and no configuration."""
    through_ssh = server.run(*words)
    assert (through_ssh.returncode, through_ssh.stderr) == (0, b"")
    assert through_ssh.stdout.startswith(b"usage: " + words[0].encode())
    alone = [sys.executable, "-m", "oobconsole", "--config", "/nonexistent", *words]
    for done in (server.run_local(*words), subprocess.run(alone, capture_output=True, check=False)):
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout == through_ssh.stdout


def test_help_for_the_local_commands() -> None:
    for words in (("-h",), ("serve", "-h"), ("audit", "verify", "-h")):
        done = subprocess.run([sys.executable, "-m", "oobconsole", *words], capture_output=True, check=False)
        assert (done.returncode, b"Usage: oobconsole" in done.stdout) == (0, True), done


def test_words_arrive_as_they_are(server: Server) -> None:
    text = "a  b'c\"d $HOME \\ -- --no-enter äöü"
    assert server.run_local("send", "web2", text).returncode == 0
    assert text.encode() in server.run_local("attach", "web2", "--from-start").stdout


def test_a_pipe_is_byte_exact(server: Server) -> None:
    data = bytes(range(256)) * 400 + b"\n"  # which ends the OSC that 0x9D begins
    done = server.run_local("attach", "web1", data=data)
    assert (done.returncode, done.stdout, done.stderr) == (0, data, b"")


def slowly(server: Server, *words: str) -> tuple[int | None, bytes, bytes]:
    """Run a command whose standard output does not block, and whose reader is slow; status, output, errors."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with tempfile.TemporaryFile() as errors:
        running = subprocess.Popen(server.local(*words), stdout=writer, stderr=errors, stdin=subprocess.DEVNULL)
        os.close(writer)
        seen = bytearray()
        while data := os.read(reader, 1000):
            seen += data
        os.close(reader)
        status = running.wait(scaled(30))
        errors.seek(0)
        return status, bytes(seen), errors.read()


def test_output_that_does_not_block_is_waited_for(server: Server) -> None:
    """faults.md 23: node, ansible and CI runners leave a pipe so; 65,536 of 1,620,000 bytes came."""
    data = b"a line of forty bytes, as it seems.\r\n" * 15_000
    assert server.run_local("attach", "web2", data=data).returncode == 0
    whole = server.run_local("log", "web2", "--lines", "100000")
    assert len(whole.stdout) > 500_000
    assert slowly(server, "log", "web2", "--lines", "100000") == (0, whole.stdout, b"")


def test_what_runs_here_waits_for_it_too(server: Server) -> None:
    """faults.md 23, its kind: not only what the server sends."""
    here = server.run_local("doctor", "--json")
    assert slowly(server, "doctor", "--json")[1:] == (here.stdout, here.stderr)


def test_input_that_does_not_block_has_not_ended(server: Server) -> None:
    """faults.md 23, its kind: nothing to read yet was taken for the end."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with subprocess.Popen(server.local("attach", "web1"), stdin=reader, stdout=subprocess.PIPE) as attached:
        assert attached.stdout is not None
        for word in (b"first", b"second"):
            os.write(writer, word)
            assert attached.stdout.read(len(word)) == word
        os.close(writer)
        os.close(reader)
        assert attached.wait(scaled(30)) == 0


@pytest.mark.parametrize("words", [("send", "web1"), ("wait", "web1"), ("search", "web1"), ("log",), ("attach",)])
def test_a_word_that_is_no_utf_8_costs_one_sentence(server: Server, words: tuple[str, ...]) -> None:
    """faults.md 34: a terminal or script that speaks Latin-1."""
    line = [os.fsencode(word) for word in server.local(*words)]
    done = subprocess.run([*line, b"caf\xe9"], capture_output=True, timeout=scaled(30), check=False)
    assert done.returncode == 2
    assert done.stderr == b"oobconsole: 'caf\\udce9' is no UTF-8: say it in this terminal's or script's UTF-8\n"


@pytest.mark.parametrize("words", [("send", "web1"), ("search", "web1"), ("log",), ()])
def test_nor_over_ssh(server: Server, words: tuple[str, ...]) -> None:
    """faults.md 34: the request failed on channel 0, with status 255 and no reason."""
    before = server.run("log", "web1", "--raw").stdout
    line = [os.fsencode(word) for word in server.ssh(*words)]
    done = subprocess.run([*line, b"caf\xe9"], capture_output=True, timeout=scaled(30), check=False)
    assert done.returncode == 2
    assert done.stderr == b"oobconsole: the command is no UTF-8: say it in this terminal's or script's UTF-8\n"
    assert server.run("log", "web1", "--raw").stdout == before


def test_a_terminal_of_no_ascii_is_a_dumb_one(server: Server) -> None:
    """faults.md 34, its kind: the connection was ended."""
    line = server.ssh("ls", options=("-tt",))
    environment = {**os.environb, b"TERM": b"caf\xe9"}
    done = subprocess.run(line, capture_output=True, timeout=scaled(30), env=environment, check=False)
    assert (done.returncode, b"web1" in done.stdout) == (0, True), done


@pytest.mark.parametrize(
    "words", [("ls",), ("log", "web1"), ("audit", "show"), ("doctor", "--json"), ("--help",), ("check",)]
)
def test_output_that_cannot_be_written_costs_one_sentence(server: Server, words: tuple[str, ...]) -> None:
    """faults.md 23, its kind: of a full disk there was a traceback."""
    if words[0] == "doctor":
        (server.folder / "keys" / "nobody~").touch()  # so that there is something to say
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            server.local(*words), stdout=full, stderr=subprocess.PIPE, timeout=scaled(30), check=False
        )
    assert done.returncode == 1
    assert done.stderr == b"oobconsole: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("words", [("ls",), ("audit", "show"), ("send", "web1", "x")])
def test_standard_descriptors_may_be_closed(server: Server, words: tuple[str, ...]) -> None:
    """faults.md 1, 23, their kind: what was opened next got the number, and what was to be printed."""
    for closed in (">&-", "2>&-", "<&-", "<&- >&- 2>&-"):
        line = ["sh", "-c", f'exec "$@" {closed}', "sh", *server.local(*words)]
        done = subprocess.run(line, capture_output=True, timeout=scaled(30), check=False)
        assert (done.returncode, done.stderr) == (0, b""), (closed, done)
        assert ">" in closed[:5] or done.stdout or words[0] == "send", (closed, done)


def test_a_reader_that_leaves_ends_it(server: Server) -> None:
    line = subprocess.list2cmdline(server.local("events", "--json"))
    with subprocess.Popen(["sh", "-c", f"{line} | grep -m1 attached"], stdout=subprocess.PIPE) as events:
        assert events.stdout is not None
        while events.poll() is None:
            server.run_local("attach", "web1")
        assert b'"user": "' in events.stdout.read()


def test_on_a_terminal(server: Server) -> None:
    with Terminal(server.local("attach", "web1"), term="dumb") as terminal:  # bytes are compared
        terminal.expect(rb"helps\]", timeout=20)
        word = secrets.token_hex(8)
        terminal.send(f"{word}\r")
        terminal.expect(word, timeout=10)
        terminal.resize(30, 100)
        terminal.send("~z")
        terminal.expect(rb"stty rows 30 columns 100", timeout=10)
        terminal.send("n")
        terminal.expect(rb"nothing was typed", timeout=10)
        terminal.send("\r~.")
        assert terminal.wait(10) == 0


def test_the_menu(server: Server) -> None:
    with Terminal(server.local("menu")) as terminal:
        cooked = terminal.modes()
        terminal.expect_screen("^2 consoles", timeout=20)
        terminal.send("web2\r")
        terminal.expect(rb"web2 is live.*helps\]", timeout=10)
        terminal.send("~.")
        terminal.expect_screen("^detached from web2", timeout=10)
        terminal.send("\x03")
        assert terminal.wait(10) == 0
        assert terminal.modes() == cooked


def test_a_resize_comes_before_what_is_typed_after_it(server: Server) -> None:
    """Whenever its signal comes: here, never."""
    with Terminal(["env", "--block-signal=WINCH", *server.local("attach", "web1")]) as terminal:
        terminal.expect(rb"helps\]", timeout=20)
        terminal.resize(31, 101)
        terminal.send("~z")
        terminal.expect(rb"stty rows 31 columns 101", timeout=10)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_given_back(server: Server, end: signal.Signals) -> None:
    with Terminal(server.local("attach", "web1")) as terminal:
        cooked = terminal.modes()
        terminal.expect(rb"helps\]", timeout=20)
        assert terminal.modes() != cooked
        os.kill(terminal.pid, end)
        assert terminal.wait(20) == 128 + end
        assert terminal.modes() == cooked


def test_no_server_costs_one_sentence(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "oobconsole", "--socket", str(tmp_path / "nowhere"), "ls"]
    done = subprocess.run(words, capture_output=True, timeout=scaled(30), check=False)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"nowhere: no server can be reached here" in done.stderr


def test_nobody_else_may_come_in(server: Server) -> None:
    path = server.folder / "state" / "admin.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    os.chmod(path, 0o666)  # noqa: PTH101 - as an attacker who got so far
    for folder in (server.folder, path.parent):
        folder.chmod(0o755)
    script = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({str(path)!r}); print(s.recv(100))"
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", "/usr/bin/python3", "-c", script],
        capture_output=True,
        timeout=scaled(20),
        check=False,
    )
    assert b"SSH-" not in done.stdout
    wait_for_log(server, "user 65534 is neither root nor the server's own")
