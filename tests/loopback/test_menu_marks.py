"""Marked consoles in the menu and one text for them, with the real OpenSSH client on a real terminal."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

import pytest

from tests.loopback.test_menu import menu
from tests.support.server import Server
from tests.support.terminal import Terminal

MACHINES = """
[[machine]]
name = "rack7"
interceptor = "memory"
[[machine.guest]]
name = "db1"
[[machine.guest]]
name = "db2"
[[machine.guest]]
name = "db3"
{many}
[[grant]]
users = ["bob"]
consoles = ["db2"]
rights = ["watch", "write"]
[[grant]]
users = ["eve"]
consoles = ["db1", "db2"]
rights = ["watch"]
[[grant]]
users = ["eve"]
consoles = "db3"
rights = ["watch", "write"]
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    many = "".join(f'[[machine.guest]]\nname = "node{i:03}"\n' for i in range(200))
    with Server(MACHINES.format(many=many)) as running:
        yield running


def ends(server: Server) -> dict[str, int]:
    """How much each guest has printed: it prints what is typed."""
    rows = map(json.loads, server.run("ls", "--json").stdout.splitlines())
    return {row["console"]: row["offset"] for row in rows}


def ask(terminal: Terminal, text: str) -> None:
    """Up to the question whether it is meant."""
    terminal.send("\x14")
    terminal.expect(rb"text for ", timeout=20)
    terminal.send(text)
    terminal.expect(text, timeout=20)
    terminal.send("\r")
    terminal.expect(rb"any other key: nothing", timeout=20)


def test_one_text_for_all_that_are_marked(server: Server) -> None:
    """Each answer by its name; who has the keyboard of one is named, and that one left out; marks stay."""
    word = secrets.token_hex(8)
    command = server.ssh("db2", user="bob", key=server.make_key("bob"), options=("-t", "-e", "none"))
    with Terminal(command) as bob, menu(server) as terminal:
        bob.expect_screen("db2 is live, you have the keyboard", timeout=20)
        terminal.send("db\x01")
        terminal.expect_screen(r"^search: db   \[3 marked\]", timeout=20)
        terminal.expect_screen(r"^>\*db1 ", timeout=20)
        terminal.expect_screen(r"^ \*db3 ", timeout=20)
        terminal.send("\x1b[A\t")
        terminal.expect_screen(r"\[2 marked\]", timeout=20)
        terminal.send("\x1b[A\t")
        terminal.expect_screen(r"\[3 marked\]", timeout=20)
        ask(terminal, word)
        terminal.send("y")
        terminal.expect_screen("^typed into 2 of 3 consoles", timeout=30)
        terminal.expect_screen(f"^db1: {word}", timeout=20)
        terminal.expect_screen(f"^db3: {word}", timeout=20)
        terminal.expect_screen("^bob has the keyboard of db2: nothing was typed", timeout=20)
        terminal.send("\r")
        terminal.expect_screen(r"^search: db   \[3 marked\]", timeout=20)
        terminal.expect_screen("^typed into 2 of 3 consoles", timeout=20)
        terminal.send("\x03")
        assert terminal.wait(20) == 0


def test_by_right(server: Server) -> None:
    with menu(server, "eve") as terminal:
        terminal.send("\x01")
        terminal.expect_screen(r"\[3 marked\]", timeout=20)
        ask(terminal, "ls")
        before = ends(server)
        terminal.send("y")
        terminal.expect_screen("^typed into 1 of 3 consoles", timeout=30)
        for name in ("db1", "db2"):
            terminal.expect_screen(f"^you have no right to write at {name}", timeout=20)
        after = ends(server)
        assert [name for name in after if after[name] != before[name]] == ["db3"]


def test_who_cancels_sends_nothing_whatever_the_terminal_does(server: Server) -> None:
    """A paste at the question, another size of the terminal, one row."""
    before = ends(server)
    with menu(server) as terminal:
        terminal.send("db\x01")
        terminal.expect_screen(r"\[3 marked\]", timeout=20)
        terminal.send("\x14")
        terminal.expect(rb"text for 3 consoles \(db1, db2, db3\)", timeout=20)
        for rows, columns in ((1, 5), (50, 200), (24, 80)):
            terminal.resize(rows, columns)
        terminal.send("\x1b[200~reboot\ry\r\x1b[201~")
        terminal.expect(rb"reboot y ", timeout=20)
        terminal.send("\x1b")
        terminal.expect_screen(r"^search: db   \[3 marked\]", timeout=20)
        terminal.expect_screen("^cancelled", timeout=20)
        terminal.resize(1, 20)
        terminal.expect_screen(r"^>\*db1", timeout=20)
        terminal.resize(24, 80)
        ask(terminal, "reboot")
        terminal.send("yes")
        terminal.expect_screen("^nothing was typed", timeout=20)
        terminal.send("\x03")
        assert terminal.wait(20) == 0
    assert ends(server) == before


def test_two_hundred(server: Server) -> None:
    """They scroll, and whoever hangs up leaves a server that goes on."""
    word = secrets.token_hex(8)
    with menu(server) as terminal:
        terminal.send("node\x01")
        terminal.expect_screen(r"\[200 marked\]", timeout=20)
        ask(terminal, word)
        terminal.send("y")
        terminal.expect_screen("^typed into 200 of 200 consoles", timeout=60)
        terminal.send("\x1b[H")
        terminal.expect_screen(f"^node[0-9]+: {word}", timeout=20)
        terminal.send("\x1b[6~\x1b[6~")
        terminal.expect_screen("^typed into 200 of 200 consoles", timeout=20)
        terminal.resize(1, 30)
        terminal.expect_screen("^node", timeout=20)
        terminal.resize(24, 80)
        terminal.send("\x1b[F")
        terminal.expect_screen("^typed into 200 of 200 consoles", timeout=20)
        terminal.send("q")
        terminal.expect_screen(r"\[200 marked\]", timeout=20)
        ask(terminal, "again")
        terminal.send("y")
        # It may be over before anybody has looked at the screen.
        terminal.expect(rb"typing 'again' into 200 consoles|typed into \d+ of 200 consoles", timeout=20)
    assert server.run("send", "--no-enter", "db1", "x").returncode == 0
