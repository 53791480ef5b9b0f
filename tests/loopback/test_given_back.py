"""The terminal is given back as it was, whatever the guest did, by every way out: faults.md 11."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.server import Server
from tests.support.terminal import Terminal
from tests.support.tmux import Tmux

#: What a guest may leave a terminal in, all at once: insert and origin mode, margins, no wrapping, a hidden cursor,
#: keypad and cursor keys, line drawing by SO; the shape of the cursor, reverse screen, LNM, local echo, side margins.
MESS = b"\x1b[2;9r\x1b[?6h\x1b[4h\x1b[?7l\x1b[?25l\x1b[?1h\x1b=\x1b)0\x0e\x1b[5 q\x1b[?5h\x1b[20h\x1b[12l\x1b[?69h"
MOUSE = b"\x1b[?1003h\x1b[?1006h\x1b[?2004h"
#: As a new terminal is (tmux's own words).
SANE = {
    **{"cursor_flag": "1", "wrap_flag": "1", "insert_flag": "0", "origin_flag": "0", "keypad_flag": "0"},
    **{"keypad_cursor_flag": "0", "alternate_on": "0", "scroll_region_upper": "0", "scroll_region_lower": "23"},
    **{"mouse_all_flag": "0", "mouse_button_flag": "0", "mouse_standard_flag": "0", "mouse_sgr_flag": "0"},
}
_MACHINE = """
[[machine]]
name = "mem"
interceptor = "memory"
[[machine.guest]]
name = "web1"
[[machine.guest]]
name = "open"
console = { filter = false }
"""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(_MACHINE) as running:
        yield running


def ssh(server: Server, *words: str, escape: str = "none") -> list[str]:
    return server.ssh(*words, options=("-tt", "-e", escape))


def messed_up(terminal: Tmux, mess: bytes) -> None:
    """The guest echoes what is typed: so it sets those modes."""
    terminal.expect("helps]")
    terminal.send(mess)
    terminal.wait(lambda t: t.modes()["cursor_flag"] == "0" and t.modes()["insert_flag"] == "1")


def given_back(terminal: Tmux) -> None:
    terminal.expect("left ")
    modes = terminal.modes()
    assert {mode: modes[mode] for mode in SANE} == SANE
    shown = "\n".join(terminal.lines)
    assert "left " in shown, "the user's own shell writes line drawing"


def revoke(server: Server) -> None:
    """Take alice's key away."""
    (server.folder / "keys" / "alice").write_text("")
    done = server.run_local("reload")
    assert done.returncode == 0, done.stderr


WAYS = ["openssh", "openssh's own escape", "local", "unfiltered", "raw", "alternate screen"]


@pytest.mark.parametrize("way", WAYS)
def test_by_detaching(server: Server, way: str) -> None:
    """faults.md 11: insert=0 origin=0 mouse=0000, and everything else."""
    commands = {
        "openssh's own escape": ssh(server, "web1", escape="~"),
        "local": server.local("attach", "web1"),
        "unfiltered": server.local("attach", "open"),
        "raw": server.local("attach", "web1", "--raw"),
    }
    mess = MESS
    if way in ("unfiltered", "raw"):
        mess = MOUSE + MESS.removesuffix(b"\x1b[?69h")
    elif way == "alternate screen":
        mess = b"\x1b[?1049h" + MESS
    with Tmux(commands.get(way) or ssh(server, "web1")) as terminal:
        messed_up(terminal, mess)
        if way in ("unfiltered", "raw"):
            terminal.wait(lambda t: t.modes()["mouse_sgr_flag"] == "1")
        terminal.send("\r~~." if way == "openssh's own escape" else "\r~.")
        given_back(terminal)


def test_by_a_server_that_stops(server: Server) -> None:
    """faults.md 11."""
    with Tmux(ssh(server, "web1")) as terminal:
        messed_up(terminal, b"\x1b[?1049h" + MESS)
        assert server.stop() == 0
        given_back(terminal)


def test_by_a_key_that_counts_no_longer(server: Server) -> None:
    """faults.md 11."""
    with Tmux(ssh(server, "web1")) as terminal:
        messed_up(terminal, MESS)
        revoke(server)
        terminal.expect("counts no longer")
        given_back(terminal)


def test_by_a_server_that_is_killed_to_a_local_terminal(server: Server) -> None:
    """faults.md 11: it gets to say nothing; `oobconsole attach` does it then. (ssh's own terminal cannot be.)"""
    with Tmux(server.local("attach", "web1")) as terminal:
        messed_up(terminal, b"\x1b[?1049h" + MESS)
        server.kill()
        given_back(terminal)


@pytest.mark.parametrize("keys", [b"", b"q"])
def test_by_a_replay(server: Server, keys: bytes) -> None:
    """faults.md 11: at its end, and before. (Terminals that do not know DECSTR are the reason: no test has one.)"""
    done = server.run("web1", data=b"\x1b[?1049h" + MESS + b"\r\nmess\r\n")
    assert done.returncode == 0
    assert server.run("web1", data=b"later\r\n").returncode == 0
    with Tmux(ssh(server, "replay", "web1", "--speed", "100" if not keys else "0.1")) as terminal:
        if keys:
            terminal.wait(lambda t: t.modes()["insert_flag"] == "1")
            terminal.send(keys)
        given_back(terminal)


@pytest.mark.parametrize("way", ["^C", "stop", "key"])
def test_by_the_menu(server: Server, way: str) -> None:
    """faults.md 11: it draws on the alternate screen, and hides the cursor."""
    with Tmux(ssh(server)) as terminal:
        terminal.expect("Enter attach")
        assert terminal.modes()["alternate_on"] == "1"
        if way == "^C":
            terminal.send("\x03")
        elif way == "stop":
            server.stop()
        else:
            revoke(server)
        given_back(terminal)


def test_the_bytes_that_faults_11_names(server: Server) -> None:
    """faults.md 11: byte by byte, for terminals that are not tmux."""
    for words, more in ((["web1"], []), (["open"], [b"\x1b[?1000;1002;1003;1004;1006l"])):
        with Terminal(ssh(server, *words)) as terminal:
            terminal.expect(rb"helps\]", timeout=20)
            begin = len(terminal.seen)
            terminal.send("\r~.")
            terminal.expect(rb"detached from", timeout=20)
            left = bytes(terminal.seen[begin:])
            for wanted in (
                b"\x1b[4l",
                b"\x1b[?6l",
                b"\x1b(B",
                b"\x0f",
                b"\x1b[?5l",
                b"\x1b[0 q",
                b"\x1b[20l",
                b"\x1b[12h",
            ):
                assert wanted in left
            for wanted in (b"\x1b[?69l", *more):
                assert wanted in left


class TestTheWelcome:
    """faults.md 11: it says the key that works for this client."""

    def test_to_openssh(self, server: Server) -> None:
        with Terminal(ssh(server, "web1", escape="~"), term="dumb") as terminal:
            terminal.expect(rb"; ~~\. \(with ssh -e none: ~\.\) detaches, ~h helps\]", timeout=20)
            terminal.send("\r~~.")
            terminal.expect(rb"detached from web1", timeout=20)
            assert terminal.wait(20) == 0

    def test_to_others(self, server: Server) -> None:
        with Terminal(server.local("attach", "web1"), term="dumb") as terminal:
            terminal.expect(rb"; ~\. detaches, ~h helps\]", timeout=20)
