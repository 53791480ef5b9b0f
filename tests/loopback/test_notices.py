"""What we say at a person's terminal leaves the guest's screen as it was: real-guests.md F2.

The terminal is tmux, attached by the real OpenSSH client; next to it another one gets the guest's bytes and nothing
else. When what we have said is gone, both are equal: cells with their attributes, cursor, margins, modes; and they
stay so with what the guest prints next.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.guest import PtyGuest
from tests.support.pace import scaled
from tests.support.pair import Pair, Visitor
from tests.support.server import Server
from tests.support.tmux import Tmux
from tests.unit.session.notices import agreed

_CONSOLES = """
[[vm]]
name = "web1"
chardev = "unix:{path}"
"""
#: Everything as at first.
RESET = b"\x1b[?1049l\x1bc\x1b[?25h"
#: RIS leaves in tmux what was saved before: the cursor with its colours, of either screen, and the origin mode.
FORGET = RESET + b"\x1b[?6l\x1b7\x1b[?1049h\x1b[?1049l\x1b7"
#: (Nothing here is erased in a colour: tmux does not say which one erased cells have.)
#: What a guest may have set, each to be as it was; and what it prints next shows whether it is.
STATES = {
    "pending wrap in the last row": (b"\x1b[24;1H" + b"x" * 80, b"NEXT"),
    "pending wrap": (b"\x1b[3;1H" + b"x" * 80, b"y"),
    "wide at the edge, pending wrap": (b"\x1b[3;1H" + b"x" * 78 + "世".encode(), b"y"),
    "no wrapping": (b"\x1b[?7l\x1b[24;1H" + b"x" * 90, b"yz"),
    "margins": (b"\x1b[5;20r\x1b[20;1Hlast\n", b"\nnext\n\n"),
    "margins and origin mode": (b"\x1b[5;20r\x1b[?6h\x1b[3;7Hx", b"\x1b[1;1Htop\x1b[99;1Hbottom\n\n"),
    "margins at the last row": (b"\x1b[20;24r\x1b[24;1Ha\nb\n", b"\nc\nd"),
    "line drawing": (b"\x1b(0lqqk", b"xmqqj"),
    "line drawing by SO": (b"\x1b)0\x0elqqk", b"x\x0fq"),
    "insert mode": (b"abcdef\x1b[3D\x1b[4h", b"XY"),
    "insert mode at the edge": (b"\x1b[24;1H" + b"x" * 79 + b"\x1b[4h\x1b[24;5H", b"XY"),
    "attributes": (b"\x1b[1;4;31;44m red on blue", b" more\r\n"),
    "256 colours": (b"\x1b[38;5;196;48;2;1;2;3mcolour", b" more"),
    "hidden cursor": (b"\x1b[?25l\x1b[12;40H", b"x"),
    "saved cursor": (b"\x1b[5;5H\x1b[32m\x1b7\x1b[0m\x1b[20;20H", b"a\x1b8b"),
    "nothing saved": (b"\x1b[20;20Hx", b"\x1b8y"),
    "alternate screen": (b"main\x1b[?1049h\x1b[2J\x1b[24;1Hlast row\x1b[1;1Hfirst", b"\x1b[?1049lback"),
    "alternate screen, 47": (b"main\x1b[?47h\x1b[24;1Hlast row", b"\x1b[?47lback"),
    "coloured to the edges": (b"\x1b[44m" + b" " * 80 * 24 + b"\x1b[24;70Hblue", b"\x1b[1;1Hx"),
    "tab stops": (b"\x1b[3g\r\x1b[5C\x1bH\r", b"\tx"),
    "a full last row": (b"\x1b[24;1H\x1b[7m" + b"s" * 79 + b"\x1b[m\x1b[1;1H", b"x"),
    "cursor in the middle of text": (b"line\r\n" * 40 + b"\x1b[10;3H", b"x\r\n"),
    "half a sequence": (b"\x1b[24;1Htext\x1b[3", b"1mred"),
    "half a character": (b"\x1b[24;1Htext\xe4\xb8", b"\x96ok"),
    "scripts": ("\x1b[24;1Hสวัสดี 한국어 mañana é ❤️ x".encode(), b"y"),
}


@contextlib.contextmanager
def pair(
    folder: Path,
    command: list[str] | None = None,
    *,
    rows: int = 24,
    columns: int = 80,
    guest_rows: int = 24,
    term: str = "xterm",
    words: tuple[str, ...] = ("web1",),
) -> Iterator[Pair[PtyGuest]]:
    """A guest of its own server, before it prints anything. The welcome has come, and is gone."""
    path, fifo = folder / "g.sock", folder / "fifo"
    os.mkfifo(fifo)
    config = _CONSOLES.format(path=path)
    with (
        PtyGuest(path, command, rows=guest_rows, columns=80, term=term) as guest,
        Server(config, folder=folder) as server,
        Tmux(server.ssh(*words, options=("-tt", "-e", "none")), rows=rows, columns=columns) as terminal,
        Tmux(["cat", str(fifo)], rows=rows, columns=columns) as plain,
        fifo.open("wb") as feed,
    ):
        terminal.expect("helps]")
        yield Pair(server, guest, terminal, plain, feed)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair[PtyGuest]]:
    """A guest that prints what it is told."""
    with pair(short(tmp_path_factory)) as both:
        yield both


@pytest.mark.parametrize("state", STATES)
def test_a_notice_leaves_everything_as_it_was(bare: Pair[PtyGuest], state: str) -> None:
    """real-guests.md F2."""
    before, after = STATES[state]
    bare.guest.prints(RESET + before)
    with Visitor(bare.server):
        bare.terminal.expect_written("alice is attached]")
    bare.terminal.expect_written("alice has left]")
    bare.terminal.gone("x")
    bare.equal()
    bare.guest.prints(after)
    bare.equal()


def short(factory: pytest.TempPathFactory) -> Path:
    """A folder whose sockets have short paths."""
    return factory.mktemp("n")


class TestKeys:
    def test_draw_anew(self, bare: Pair[PtyGuest]) -> None:
        """Whatever the terminal shows, it shows the guest's screen then."""
        bare.guest.prints(RESET + b"\x1b[5;20r\x1b[3;3H\x1b[32mgreen\x1b[24;1Hlast")
        bare.equal()
        bare.terminal.mess_up(b"\x1b[r\x1b[2J\x1b[?6h\x1b[31mmess")
        bare.terminal.send("\r~d")
        bare.terminal.gone("x")
        bare.equal()

    def test_a_question_and_its_answer(self, bare: Pair[PtyGuest]) -> None:
        bare.guest.prints(RESET + b"\x1b[24;1Hprompt$ ")
        bare.terminal.expect("prompt$")
        received = len(bare.guest.received)
        bare.terminal.send("\r~m")
        bare.terminal.expect("Escape cancels):] _")
        bare.guest.prints(b"more\r\n")
        bare.terminal.send("hello")
        bare.terminal.expect("Escape cancels):] hello_")
        bare.terminal.send("\r")
        bare.terminal.expect_written("alice says: hello]")
        assert bytes(bare.guest.received[received:]) == b"\r"
        bare.terminal.gone("x")
        bare.equal()


def test_a_notice_in_a_flood_comes_when_there_is_time(bare: Pair[PtyGuest]) -> None:
    """It never takes more than a part of the time; and the screen is right in the end."""
    bare.guest.prints(RESET)
    with Visitor(bare.server):
        for number in range(400):
            bare.guest.prints(b"".join(b"%d line of a flood\r\n" % (number * 20 + i) for i in range(20)))
        bare.terminal.expect_written("alice is attached]")
    bare.terminal.gone("x")
    bare.equal()


@pytest.mark.parametrize("seed", range(3))
def test_random_output_with_notices_in_it(bare: Pair[PtyGuest], seed: int) -> None:
    """Whatever is printed, and whenever somebody says something: it is as if nothing had been said. Only such output
    as all terminals agree about: in any other our lines wait, but not for ever (tests/unit/session/test_overlay.py).
    """
    chosen = random.Random(seed)
    parts = agreed(chosen, 150)
    bare.guest.prints(FORGET + next(parts))
    for _ in range(2):
        with Visitor(bare.server):
            for _ in range(15):
                bare.guest.prints(b"".join(itertools.islice(parts, chosen.randrange(1, 6))))
                assert bare.terminal.runs  # which takes its time: the output does not come all at once
            bare.terminal.expect_written("alice is attached]")
    bare.guest.prints(b"".join(parts) + b"\x1b[?6l\x1b[r\x1b[m\x0f\x1b(B\x1b[Hend of %d" % seed)
    bare.terminal.expect(f"end of {seed}")
    bare.terminal.gone("x")
    bare.equal()
    bare.guest.prints(b"after\n\n\x0fnext")
    bare.terminal.expect("next")
    bare.equal()


#: Full-screen programs, and what their screens show; keys that move in them, and one that ends them.
PROGRAMS = {
    "whiptail": (
        [
            "whiptail",
            "--menu",
            "Choose a country",
            "20",
            "60",
            "12",
            *(w for i in range(40) for w in (f"country{i}", "-")),
        ],
        "country3",
        "\x1bOB",
    ),
    "dialog": (
        ["dialog", "--menu", "Choose", "20", "60", "12", *(w for i in range(40) for w in (f"no{i}", "-"))],
        "no3",
        "\x1bOB",
    ),
    "vim": (["vim", "-u", "NONE", "-N", "/etc/services"], "services", "j"),
    # Both terminals are read while it draws nothing: the slower a machine is, the longer that takes.
    "top": (["top", "-d", str(round(scaled(1), 1))], "%Cpu", "M"),
    "mc": (["mc", "-a", "/etc", "/usr"], "Name", "\x1bOB"),
    "less": (["less", "/etc/services"], "services", "j"),
}


@pytest.mark.parametrize(
    ("program", "rows"), [*((name, 24) for name in PROGRAMS), ("vim", 50), ("mc", 25), ("whiptail", 50)]
)
def test_full_screen_programs(tmp_path_factory: pytest.TempPathFactory, program: str, rows: int) -> None:
    """real-guests.md F2: in the installer, the row that was marked was no longer the one that Enter chose."""
    command, shown, key = PROGRAMS[program]
    with pair(short(tmp_path_factory), command, rows=rows, guest_rows=min(rows, 25)) as both:
        both.guest.begin()
        both.terminal.expect(shown)
        for _ in range(3):
            with Visitor(both.server):
                both.terminal.expect_written("alice is attached]")
                both.terminal.send(key)
            both.terminal.send(key)
        both.terminal.gone(key)
        both.equal()


def test_a_full_screen_program_in_gnu_screen(tmp_path_factory: pytest.TempPathFactory) -> None:
    """real-guests.md F2, as in Debian's installer: a row of its own, margins, and a program in them."""
    folder = short(tmp_path_factory)
    settings = folder / "screenrc"
    settings.write_text("autodetach off\nstartup_message off\nhardstatus alwaysfirstline '[ %w ]'\n")
    inner = ["screen", "-c", str(settings), "vim", "-u", "NONE", "-N", "/etc/services"]
    with pair(folder, ["env", f"SCREENDIR={folder}/s", *inner]) as both:
        both.guest.begin()
        both.terminal.expect("services")
        for key in ("j", "\x06", "\x02"):  # also a page down and up, which scroll within margins
            with Visitor(both.server):
                both.terminal.expect_written("alice is attached]")
                both.terminal.send(key)
            both.terminal.send(key)
        both.terminal.gone("j")
        both.equal()
