"""`ssh -t HOST`: the menu, with the real OpenSSH client on a real terminal."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.support.server import Server
from tests.support.terminal import Terminal

#: Something that is switched, somebody who may only watch, and more consoles than fit on a screen.
MACHINES = """
[[machine]]
name = "rack7"
interceptor = "memory"
[[machine.guest]]
name = "db1"
power = {{ command = ["echo", "{{guest}} had", "{{action}}"] }}
[[machine.guest]]
name = "db2"
{many}
[[grant]]
users = ["eve"]
consoles = "db?"
rights = ["watch"]
"""
HOSTILE = b"\x1b]52;c;cHduZWQ=\x07\x1b]0;pwned\x07\x1b[21t\x1b[5n\x05\xc2\x9b6n\x1b[?1003h"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    many = "".join(f'[[machine.guest]]\nname = "node{i:03}"\n' for i in range(1000))
    with Server(MACHINES.format(many=many)) as running:
        yield running


def menu(server: Server, user: str = "alice", *, rows: int = 24, columns: int = 80) -> Terminal:
    command = server.ssh(user=user, key=server.make_key(user), options=("-t", "-e", "none"))
    terminal = Terminal(command, rows=rows, columns=columns)
    terminal.expect_screen("^search:", timeout=20)
    return terminal


def test_search_attach_and_back(server: Server) -> None:
    with menu(server) as terminal:
        terminal.expect_screen("^1002 consoles", timeout=10)
        terminal.send("de98")
        terminal.expect_screen("^10 consoles", timeout=10)
        terminal.send("7\r")
        terminal.expect(rb"node987 is live, you have the keyboard", timeout=10)
        word = secrets.token_hex(8)
        terminal.send(f"{word}\r")
        terminal.expect_screen(word, timeout=10)  # our own lines may come and go while it is echoed
        terminal.send("~.")
        terminal.expect_screen("^detached from node987", timeout=10)
        terminal.expect_screen(f"^> node987 +live .*{word}", timeout=10)
        terminal.send("\x1b")
        terminal.expect_screen("^1002 consoles", timeout=10)
        terminal.send("\x03")
        assert terminal.wait(10) == 0


def test_a_paste_chooses_nothing_and_reaches_no_guest(server: Server) -> None:
    """faults.md 10: as it might be keys that a slow link has joined, it is said."""
    word = secrets.token_hex(8)
    with menu(server) as terminal:
        terminal.send(f"node123\r{word}\r~.")
        terminal.expect_screen("^nothing is chosen by what comes at once.* 20 bytes of it were dropped", timeout=10)
        terminal.expect_screen("^search: node123$", timeout=10)
        assert word.encode() not in server.run("log", "node123").stdout
        terminal.send("\r")
        terminal.expect(rb"node123 is live, you have the keyboard", timeout=10)


def test_a_large_marked_paste_chooses_nothing_and_ends_nothing(server: Server) -> None:
    """Whoever pasted a file into the menu was thrown out."""
    with menu(server) as terminal:
        terminal.send("\x1b[200~" + "node123\r" * 2000 + "\x1b[201~")
        terminal.expect_screen("^a paste of 16000 bytes was dropped", timeout=10)
        terminal.send("node45")
        terminal.expect_screen("^search: node45$", timeout=10)
        terminal.expect_screen("^10 consoles", timeout=10)


def test_a_thousand_consoles_hold_nobody_up(server: Server) -> None:
    """The watchdog's log names the functions in which the event loop was held: none of these is."""
    listed = server.run("ls")
    assert len(listed.stdout.splitlines()) == 1003
    assert len(server.run("ls", "--names").stdout.splitlines()) == 1002
    assert len(server.run("ls", "--json").stdout.splitlines()) == 1002
    assert server.run("who").returncode == 0
    assert b"at most 256" in server.run("send", "node*", "text").stderr
    with menu(server) as terminal:
        terminal.expect_screen("^1002 consoles", timeout=10)
    held = [line for line in server.log.read_text().splitlines() if "something held the event loop" in line]
    ours = ("listing.py", "lastline.py", "catalogue.py", "state.py", "access.py", "sending.py", "plain.py")
    assert not [line for line in held if any(name in line for name in ours)]


def test_whatever_cancels_a_question_says_what_it_dropped(server: Server) -> None:
    """faults.md 9: `n`, Enter and `~.` at once."""
    with menu(server) as terminal:
        terminal.send("db1\x10")
        terminal.expect(rb"power of db1: r reset", timeout=10)
        terminal.send("n\r~.")
        terminal.expect_screen("^nothing was switched; 3 bytes that came at once behind it were dropped", timeout=10)
        terminal.send("\x12")
        terminal.expect(rb"replay db1 since", timeout=10)
        terminal.send("\x1bq\rx")
        terminal.expect_screen("^cancelled; 3 bytes that came at once behind it were dropped", timeout=10)
        terminal.expect_screen("^search: db1$", timeout=10)


def test_everything_is_live(server: Server) -> None:
    """Who comes and what is printed shows up without a key."""
    with menu(server) as terminal:
        terminal.send("db2")
        terminal.expect_screen("^> db2 +live +[0-9]+[smh]  +memory guest", timeout=10)
        with server.attach("watch", "db2"):
            terminal.expect_screen("^> db2 +live +[0-9]+[smh]  alice  +memory guest", timeout=10)
        assert server.run("send", "db2", "'news at eleven\n'").returncode == 0
        terminal.expect_screen("^> db2 +live +[0-9]+s  +news at eleven", timeout=10)


def test_watch(server: Server) -> None:
    with menu(server) as terminal:
        terminal.send("db1\x17")
        terminal.expect(rb"db1 is live, you watch", timeout=10)
        terminal.send("~.")
        terminal.expect_screen("^detached from db1", timeout=10)


def test_keys_behind_a_detach_are_the_menus(server: Server) -> None:
    """faults.md 10: what came in one packet with `~.` was dropped."""
    with menu(server) as terminal:
        terminal.send("db1\x17")
        terminal.expect(rb"db1 is live, you watch", timeout=10)
        terminal.send("~.\x15db2")
        terminal.expect_screen("^search: db2", timeout=10)


def test_power(server: Server) -> None:
    with menu(server) as terminal:
        terminal.send("db1\x10")
        terminal.expect(rb"power of db1: r reset", timeout=10)
        terminal.send("r")
        terminal.expect(rb"reset db1\? y does it", timeout=10)
        terminal.send("n")
        terminal.expect_screen("^nothing was switched", timeout=10)
        terminal.send("\x10")
        terminal.expect(rb"power of db1: r reset", timeout=10)
        terminal.send("ry")
        terminal.expect_screen("^nothing was switched; 1 bytes", timeout=10)
        terminal.send("\x10")
        terminal.expect(rb"power of db1: r reset", timeout=10)
        terminal.send("r")
        terminal.expect(rb"reset db1\? y does it", timeout=10)
        terminal.send("y")
        terminal.expect_screen("^reset of db1: db1 had reset", timeout=10)


def test_replay(server: Server) -> None:
    word = secrets.token_hex(8)
    assert server.run("send", "db1", word).returncode == 0
    with menu(server) as terminal:
        terminal.send("db1\x12")
        terminal.expect(rb"replay db1 since", timeout=10)
        terminal.send("yesteryear\r")
        terminal.expect(rb"'yesteryear' is no time", timeout=10)
        terminal.expect(rb"any key goes back", timeout=10)
        terminal.send("x")
        terminal.expect_screen("^> db1", timeout=10)
        terminal.send("\x12")
        terminal.expect(rb"replay db1 since", timeout=10)
        terminal.send("\r")
        terminal.expect(word, timeout=10)
        terminal.expect(rb"the recording ends here", timeout=20)
        terminal.expect(rb"any key goes back", timeout=10)
        terminal.send("x")
        terminal.expect_screen("^> db1", timeout=10)
        terminal.send("\x12")
        terminal.expect(rb"replay db1 since", timeout=10)
        terminal.send("\x1b")
        terminal.expect_screen("^cancelled", timeout=10)


def test_what_one_may_not(server: Server) -> None:
    """Neither seen nor done, and the menu goes on."""
    with menu(server, "eve") as terminal:
        terminal.expect_screen("^2 consoles", timeout=10)
        assert not any("node" in line for line in terminal.lines)
        terminal.send("\x10")
        terminal.expect_screen("^you have no right to switch db1", timeout=10)
        terminal.send("\x12")
        terminal.expect(rb"replay db1 since", timeout=10)
        terminal.send("\r")
        terminal.expect(rb"you have no right to log at db1", timeout=10)
        terminal.send("x")
        terminal.expect_screen("^2 consoles", timeout=10)
        terminal.send("\r")
        terminal.expect(rb"db1 is live, you watch", timeout=10)


def test_a_hostile_last_line_acts_on_nothing(server: Server) -> None:
    assert server.run("node500", data=HOSTILE + b"gotcha").returncode == 0
    with menu(server) as terminal:
        terminal.send("node500")
        terminal.expect_screen("^> node500 .*gotcha", timeout=10)
        for sequence in (b"]52", b"]0;", b"[21t", b"[5n", b"\x05", b"\x9b", b"?1003"):
            assert sequence not in terminal.seen


def test_a_window_of_any_size(server: Server) -> None:
    with menu(server, rows=6, columns=30) as terminal:
        terminal.send("node77")
        terminal.expect_screen("^> node770", timeout=10)
        for rows, columns in ((50, 200), (2, 10), (1, 4), (24, 80)):
            terminal.resize(rows, columns)
            terminal.expect_screen("^> node770"[: columns + 1], timeout=10)
        terminal.expect_screen("^search: node77$", timeout=10)


@pytest.mark.parametrize("keys", [b"", b"\x12", b"\x12\r", b"\x10", b"\x14", b"\r"])
def test_a_server_that_stops_says_so(keys: bytes) -> None:
    """In the menu, at a question, behind a replay, and at a console."""
    shows = {
        b"": "^2 consoles",
        b"\x12": "replay web1 since",
        b"\x12\r": "any key goes back",
        b"\x10": "nothing is conf",
        b"\x14": "text for web1",
    }
    with Server() as server, menu(server) as terminal:
        terminal.send(keys)
        terminal.expect_screen(shows.get(keys, "web1 is live"), timeout=20)
        assert server.stop() == 0
        terminal.expect_screen(r"\[oobconsole: the console server stops", timeout=10)
        assert terminal.wait(10) == 1


def test_the_terminal_is_given_back(server: Server) -> None:
    with menu(server) as terminal:
        terminal.send("\x04")
        assert terminal.wait(10) == 0
        for mode in (b"1049", b"2004"):
            assert terminal.read_to_end(10).rindex(b"\x1b[?%sl" % mode) > 0


def test_a_client_that_dies_in_the_menu_ends_its_session(server: Server) -> None:
    ended = "command='menu' terminal=True status=0"
    before = server.log.read_text().count(ended)
    with menu(server) as terminal:
        terminal.expect_screen("^1002 consoles", timeout=10)
    for _ in range(50):  # round trips, each of which ends a session itself
        if server.log.read_text().count(ended) > before:
            return
        server.run("ls", "--json")
    raise AssertionError(server.log.read_text()[-1000:])
