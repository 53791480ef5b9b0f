"""The local command at a server that is stopped, or hangs: whoever wants to leave can, and gets the terminal back."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator

import pytest

from oobconsole.cli.silence import Leaving
from tests.loopback.access import wait_for_log
from tests.support.expect import run_to_end
from tests.support.pace import scaled
from tests.support.server import Server
from tests.support.sync import eventually
from tests.support.terminal import Terminal

#: The guest hides the cursor and switches the cursor keys. Both must be undone.
MESS = "\x1b[?25l\x1b[?1h"
#: Runs a verb that loses patience sooner, so that the end comes in time for a test.
IMPATIENT = """
import sys
from pathlib import Path
from oobconsole.cli import connecting, remote, silence
connecting.KEEPALIVE_SECONDS, silence.TOLD_SECONDS = 0.5, 1.0
sys.exit(remote.run(Path(sys.argv[1]), sys.argv[2:]))
"""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def attached(server: Server) -> Terminal:
    """A person who is attached by the local command, whose terminal the guest has changed."""
    terminal = Terminal(server.local("attach", "web1"))
    terminal.expect(rb"helps\]", timeout=20)
    terminal.send(MESS)
    terminal.expect(rb"\x1b\[\?1h", timeout=20)
    return terminal


def type_slowly(terminal: Terminal, keys: str) -> None:
    """Type each key by itself, as a person does."""
    for key in keys:
        terminal.send(key)
        select.select([], [], [], 0.05)


class TestWhoLeaves:
    def test_leaves_without_a_server_that_is_stopped(self, server: Server) -> None:
        """faults.md 19, variation: the terminal was raw, and no key did anything, for as long as the server hung."""
        with attached(server) as terminal:
            with server.stopped():
                terminal.send("x")
                terminal.expect(rb"has not answered for 10 s; Enter, ~ and \. leave\r\n", timeout=30)
                begin = len(terminal.seen)
                type_slowly(terminal, "\r~.")
                terminal.expect(rb"oobconsole: the server does not answer: left without it\r\n", timeout=20)
                assert terminal.wait(20) == 255
            left = bytes(terminal.seen[begin:])
            assert b"\x1b[?25h" in left
            assert b"\x1b[?1l" in left
            assert not _is_raw(terminal)

    def test_is_heard_by_a_server_that_is_late(self, server: Server) -> None:
        with attached(server) as terminal:
            terminal.send("\r")
            terminal.expect(rb"\r", timeout=20)
            with server.stopped():
                type_slowly(terminal, "~.")
                select.select([], [], [], 2)
            terminal.expect(rb"detached from web1", timeout=20, fail=rb"does not answer")
            assert terminal.wait(20) == 0

    def test_leaves_a_verb_by_ctrl_c(self, server: Server) -> None:
        with Terminal(server.local("wait", "--timeout", "1000", "web1", "never")) as terminal:
            eventually(lambda: _is_raw(terminal), lambda: bytes(terminal.seen))
            wait_for_log(server, "session begins")
            with server.stopped():
                terminal.send("\x03")
                terminal.expect(rb"oobconsole: the server does not answer: left without it\r\n", timeout=20)
                assert terminal.wait(20) == 255

    def test_no_ctrl_c_for_a_guest_leaves(self, server: Server) -> None:
        """Late is not away: what is typed for the guest is the guest's."""
        with attached(server) as terminal:
            with server.stopped():
                type_slowly(terminal, "\x03late")
                terminal.expect(rb"has not answered", timeout=30, fail=rb"left without it")
            terminal.expect(rb"\x03?late", timeout=20)
            terminal.send("\r~.")
            terminal.expect(rb"detached from web1", timeout=20)


@pytest.mark.parametrize("words", [["wait", "--timeout", "1000", "web1", "never"], ["watch", "web1"]])
def test_a_command_ends_at_last_if_the_server_does_not_answer(server: Server, words: list[str]) -> None:
    """faults.md 19, variation: verbs waited for ever."""
    socket = str(server.folder / "state" / "admin.sock")
    command = [sys.executable, "-c", IMPATIENT, socket, *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=-1, stderr=-1) as running:
        wait_for_log(server, "session begins")
        with server.stopped():
            _, said = running.communicate(timeout=scaled(30))
    assert (running.returncode, said) == (255, b"oobconsole: the server does not answer: left without it\n")


def test_one_that_begins_while_the_server_is_stopped_ends_as_well(server: Server) -> None:
    with server.stopped():
        done = run_to_end(server.local("ls"), timeout=30)
    assert done.returncode == 1
    assert done.stderr.endswith(b"admin.sock: the server does not answer\n")


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGTERM])
def test_a_signal_gives_the_terminal_back(server: Server, number: signal.Signals) -> None:
    """faults.md 11, variation: SIGQUIT left the terminal as the guest had set it, and raw."""
    with attached(server) as terminal:
        os.kill(terminal.pid, number)
        terminal.expect(rb"\x1b\[\?25h", timeout=20)
        assert terminal.wait(20) == 128 + number
        assert not _is_raw(terminal)


def test_a_signal_ends_a_command_whose_reader_hangs(server: Server) -> None:
    """faults.md 19, variation: a thread that could not write kept the process for ever."""
    assert server.run("web1", data=b"x" * 200_000 + b"\r\n").returncode == 0
    command = server.local("watch", "web1", "--from-start")
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.read(1)
        running.terminate()
        assert running.wait(scaled(20)) == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("reads", "leaves"),
    [
        ([b"\r", b"~", b"."], True),
        ([b"~", b"."], True),  # at the beginning
        ([b"\r~."], True),
        ([b"x", b"\r~", b"~", b"~."], True),
        ([b"x", b"~", b"."], False),
        ([b"\r", b"~", b"x", b"."], False),
        ([b"\r", b".", b"~", b"."], False),
        ([b"x\r~."], False),  # pasted
        ([b"\x1b[200~\r~.\x1b[201~"], False),
        ([b"\x03"], False),
    ],
)
def test_which_keys_mean_to_leave(reads: list[bytes], leaves: bool) -> None:
    keys = Leaving(by_ctrl_c=False)
    assert [keys.feed(read) for read in reads][-1] is leaves


def _is_raw(terminal: Terminal) -> bool:
    """Whether the local command passes every key on."""
    flags = terminal.modes()[3]
    assert isinstance(flags, int)
    return not flags & termios.ICANON
