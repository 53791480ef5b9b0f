"""The escape keys, typed into the real OpenSSH client on a real pseudo-terminal."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from oobconsole.devices.uart16550 import Lsr
from oobconsole.interceptors.base import PortHandler, Publication
from oobconsole.interceptors.memory import MemoryGuest
from tests.loopback.lab import Lab
from tests.support.aio import soon, until
from tests.support.expect import run_to_end
from tests.support.person import person, typed
from tests.support.server import Server
from tests.support.terminal import Terminal

_SWITCH = """#!/bin/sh
echo "$1 of $2" >> "{folder}/switched"
[ "$1" != nmi ] || { echo "no NMI here" >&2; exit 7; }
echo "did $1"
"""
_MACHINE = """
[[machine]]
name = "mem"
interceptor = "memory"
[[machine.guest]]
name = "web1"
[[machine.guest]]
name = "web2"
power = { command = ["FOLDER/switch", "{action}", "{guest}"] }
[[machine.guest]]
name = "far"
console = { escape = "~~" }
[[machine.guest]]
name = "none"
console = { escape = "" }
[[grant]]
users = "bob"
rights = ["watch", "write"]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("power")
    switch = folder / "switch"
    switch.write_text(_SWITCH.replace("{folder}", str(folder)))
    switch.chmod(0o700)
    with Server(_MACHINE.replace("FOLDER", str(folder))) as running:
        yield running


@pytest.fixture
def switched(server: Server) -> Path:
    """What the power command was called for; begun anew for each test."""
    command = re.search(r'command = \["(.*?)/switch"', server.config.read_text())
    assert command is not None
    file = Path(command[1]) / "switched"
    file.unlink(missing_ok=True)
    return file


def asked(terminal: Terminal, keys: str) -> None:
    """Answer the questions of `~p`."""
    terminal.send("\r~p")
    for question, key in zip((rb"power of web2: r reset", rb"web2\? y does it"), keys, strict=False):
        terminal.expect(question, timeout=10)
        terminal.send(key)


class TestPower:
    def test_is_done_when_confirmed_and_everybody_is_told(self, server: Server, switched: Path) -> None:
        with person(server, "web2") as alice, person(server, "watch", "web2", user="bob") as bob:
            asked(alice, "ry")
            for terminal in (alice, bob):
                terminal.expect(rb"alice: reset of web2: did reset", timeout=10)
            assert switched.read_text() == "reset of web2\n"

    @pytest.mark.parametrize("keys", ["x", "rn", "r\x1b", "\x1b", "r\r"])
    def test_is_not_done_otherwise(self, server: Server, switched: Path, keys: str) -> None:
        with person(server, "web2") as alice:
            asked(alice, keys)
            alice.expect(rb"nothing was switched", timeout=10)
            typed(alice)
        assert not switched.exists()

    def test_that_fails_says_why(self, server: Server, switched: Path) -> None:
        with person(server, "web2") as alice:
            asked(alice, "ny")
            alice.expect(rb"nmi of web2 failed: \S+/switch failed with status 7: no NMI here", timeout=10)
        done = server.run("power", "web2", "nmi", "--yes")
        assert done.returncode == 1
        assert b"no NMI here" in done.stderr
        assert switched.read_text() == "nmi of web2\n" * 2

    def test_by_a_script(self, server: Server, switched: Path) -> None:
        assert server.run("power", "web2", "off").returncode == 2
        assert not switched.exists()
        done = server.run("power", "web2", "off", "--yes")
        assert (done.returncode, done.stdout) == (0, b"did off\n")

    def test_needs_its_right(self, server: Server, switched: Path) -> None:
        with person(server, "web2", user="bob") as bob:
            bob.send("~p")
            bob.expect(rb"you have no right to switch web2", timeout=10)
        assert not switched.exists()

    def test_of_a_guest_without_any_says_what_to_configure(self, server: Server) -> None:
        with person(server, "web1") as alice:
            alice.send("~p")
            alice.expect(rb"nothing is configured that could switch web1 \(power = ", timeout=10)


class TestKeys:
    def test_a_break_and_a_sysrq_key_reach_the_guest(self, server: Server) -> None:
        with person(server, "web1", "--raw") as alice:
            alice.send("~b")
            alice.expect(rb"\x00", timeout=10)  # what a UART receives with a break; the guest echoes it
            alice.send("~s")
            alice.expect(rb"SysRq key", timeout=10)
            alice.send("h")
            alice.expect(rb"SysRq h sent.*\x00h", timeout=10)

    def test_a_watcher_sends_no_break(self, server: Server) -> None:
        with person(server, "watch", "web1") as alice:
            alice.send("~b")
            alice.expect(rb"a break needs the keyboard", timeout=10)

    def test_a_message_is_read_by_everybody(self, server: Server) -> None:
        with person(server, "web1") as alice, person(server, "web1", user="bob") as bob:
            alice.send("~m")
            alice.expect(rb"message to everybody", timeout=10)
            alice.send("back in 5 min\x7f\x7f\x7futes\r")
            for terminal in (alice, bob):
                terminal.expect(rb"alice says: back in 5 utes", timeout=10)
            alice.send("~m")
            alice.expect(rb"message to everybody", timeout=10)
            alice.send("no\x1b")
            alice.expect(rb"cancelled", timeout=10)
            bob.send("~w")
            bob.expect(rb"bob +watches", timeout=10)
            assert b"says: no" not in bytes(bob.seen)

    def test_what_the_terminal_answers_is_no_answer_of_its_user(self, server: Server) -> None:
        with person(server, "web1", "--raw") as alice:
            alice.send("~s")
            alice.expect(rb"SysRq key", timeout=10)
            alice.send("\x1b[24;80Rt")
            alice.expect(rb"SysRq t sent", timeout=10)
            alice.expect(rb"\x1b\[24;80R", timeout=10)

    def test_the_size_is_typed_when_wanted(self, server: Server) -> None:
        with person(server, "web1", rows=31) as alice:
            alice.send("~z")
            alice.expect(rb"type 'stty rows 31 columns 80' into the guest\?", timeout=10)
            alice.send("n")
            alice.expect(rb"nothing was typed", timeout=10)
            alice.send("~z")
            alice.expect(rb"type 'stty rows 31 columns 80' into the guest\?", timeout=10)
            alice.send("y")
            alice.expect(rb"\nstty rows 31 columns 80", timeout=10)

    def test_the_last_lines(self, server: Server) -> None:
        word = secrets.token_hex(8)
        with person(server, "web1", "--raw") as alice:
            alice.send(f"{word}\r\n")
            alice.expect(f"{word}\r\n", timeout=10)
            alice.send("~l")
            alice.expect(rf"the last lines:\].*{word}.*end of the last lines".encode(), timeout=10)


class TestPastes:
    """faults.md 9 and 10: a paste is never a command, and never half a command."""

    def test_at_the_guest(self, server: Server) -> None:
        """faults.md 10: the guest gets it byte for byte, with its marks."""
        paste = "\x1b[200~cat <<E\r~bob/.profile\r~sam/bin\r~ops\r~.x\r~.\rE\r\x1b[201~"
        with person(server, "web1", "--raw") as alice:
            alice.send("\r" + paste + "end")
            alice.expect(re.escape(paste) + "end", timeout=10)
            assert b"break" not in alice.seen
            assert b"SysRq" not in alice.seen
            alice.send("\r~.")
            alice.expect(rb"detached from web1", timeout=10)

    def test_without_marks(self, server: Server) -> None:
        """faults.md 10."""
        paste = "cat <<E\r~bob/.profile\r~sam/bin\r~ops\r~.x\rE\r"
        with person(server, "web1", "--raw") as alice:
            alice.send("\r" + paste + "end")
            alice.expect(re.escape(paste) + "end", timeout=10)

    @pytest.mark.parametrize("text", ["~mary has a little lamb", "~pry", "~rf\r", "ls\r~.", "ls\r\n~.\r\n"])
    def test_of_one_line_without_marks(self, server: Server, text: str) -> None:
        """faults.md 10: it is the guest's, and what may have been meant is said."""
        with person(server, "web1", "--raw") as alice:
            alice.send("\r" + text)
            alice.expect(rf"~{re.escape(text[text.index('~') + 1])} came at once with other text", timeout=10)
            alice.send("end")
            alice.expect("end", timeout=10)
            typed = re.sub(rb"(\r\n)?\[oobconsole: [^]]*\]\r\n", b"", bytes(alice.seen))
            assert text.encode() + b"end" in typed

    @pytest.mark.parametrize("text", ["do not reboot, ticket 4711 https://x/y;z", "first line\rreboot"])
    def test_at_a_question(self, server: Server, text: str) -> None:
        """faults.md 9: the text is the message, and the guest gets nothing."""
        word = secrets.token_hex(8)
        with person(server, "web1", "--raw") as alice:
            alice.send("\r~m")
            alice.expect(rb"message to everybody", timeout=10)
            alice.send(f"\x1b[200~{text}\x1b[201~")
            alice.expect(text.replace("\r", " "), timeout=10)
            alice.send("\r")
            alice.expect("alice says: " + re.escape(text.replace("\r", " ")), timeout=10)
            alice.send(word)
            alice.expect(word, timeout=10)
            assert f"alice says: {text}".replace("\r", " ") + "]\r\n" + word in alice.seen.decode()

    def test_what_cancels_a_question(self, server: Server) -> None:
        """faults.md 9: the rest of an arrow key, or of a paste, was typed into the guest."""
        word = secrets.token_hex(8)
        with person(server, "web1", "--raw") as alice:
            begin = len(alice.seen)
            alice.send("\r~m")
            alice.expect(rb"message to everybody", timeout=10)
            alice.send("\x1b[A")
            alice.expect(rb"cancelled", timeout=10)
            alice.send("\r~r")
            alice.expect(rb"take it by force", timeout=10)
            alice.send("\x1b[200~khw\x1b[201~")
            alice.expect(rb"nothing has changed", timeout=10)
            alice.send(word)
            alice.expect(word, timeout=10)
            assert b"[A" not in bytes(alice.seen[begin:])
            assert b"khw" not in bytes(alice.seen[begin:])


def test_a_script_on_standard_input_detaches(server: Server) -> None:
    """`ssh -tt -e none HOST web1 <<EOF`: its last line is no paste's."""
    word = secrets.token_hex(8)
    command = server.ssh("web1", options=("-tt", "-e", "none"))
    done = run_to_end(command, data=f"{word}\n~.\n".encode(), timeout=60)
    assert (done.returncode, done.stderr) == (0, b""), done
    assert b"detached from web1" in done.stdout
    assert word.encode() in done.stdout
    assert b"~.\n" not in done.stdout


class TestOpenSshsOwn:
    """Its client has escapes of its own, and by default the same character."""

    def test_help_and_break(self, server: Server) -> None:
        with person(server, "web1", "--raw", escape="~") as alice:
            alice.send("\r~h")
            alice.expect(rb"\[oobconsole: ~\.  detach .*\]\r\n\[oobconsole: ~b  break", timeout=10)
            alice.send("\r~B")
            alice.expect(rb"break sent", timeout=10)


class TestPrefix:
    def test_a_longer_one_works_behind_the_clients_own(self, server: Server) -> None:
        """`~~` makes OpenSSH's client send `~`, and what follows is then none of its own escapes."""
        with person(server, "far", escape="~") as alice:
            alice.send("\r~~~?")
            alice.expect(rb"~~\.  detach", timeout=10)
            alice.send("\r~~~.")
            alice.expect(rb"detached from far", timeout=10)
            assert alice.wait(10) == 0

    def test_a_shorter_one_is_the_guests(self, server: Server) -> None:
        with person(server, "far") as alice:
            alice.send("\r~.")
            alice.expect(rb"\r~\.", timeout=10)

    def test_none(self, server: Server) -> None:
        with person(server, "none") as alice:
            alice.send("\r~.~?\r~.")
            alice.expect(rb"\r~\.~\?\r~\.", timeout=10)


def test_the_terminal_is_given_back(server: Server) -> None:
    with person(server, "web1") as alice:
        alice.send("\x1b[?1049h\x1b[?25lfull screen\r")
        alice.expect(rb"full screen", timeout=10)
        alice.send("~.")
        alice.expect(rb"\x1b\[\?1049l.*\x1b\[\?25h.*detached from web1", timeout=10)


class _Spy(PortHandler):
    """Notes what a guest reads of its LSR."""

    def __init__(self, handler: PortHandler) -> None:
        self._handler = handler
        self.lsr: list[int] = []

    def read(self, port: int, size: int) -> int:
        value = self._handler.read(port, size)
        if port == MemoryGuest.BASE + 5:
            self.lsr.append(value)
        return value

    def write(self, port: int, size: int, value: int) -> None:
        self._handler.write(port, size, value)

    def write_block(self, port: int, data: bytes) -> None:
        self._handler.write_block(port, data)

    def served(self, port: int, value: int, number: int) -> None:
        self._handler.served(port, value, number)

    def gap(self, port: int, lost: int) -> None:
        self._handler.gap(port, lost)

    def received(self) -> tuple[tuple[int, int], ...]:
        return self._handler.received()

    def publications(self) -> tuple[Publication, ...]:
        return self._handler.publications()


async def test_a_break_is_one_to_the_guests_uart(lab: Lab) -> None:
    handler = lab.interceptor.appear(1)
    assert handler is not None
    spy = _Spy(handler)
    guest = MemoryGuest(lab.interceptor, 1, spy)
    guest.boot(b"login: ")
    async with await soon(lab.connect()) as client:
        process = await soon(client.create_process("web1", encoding=None, term_type="xterm"))
        await soon(process.stdout.readuntil(b"helps]\r\n"))
        process.stdin.write(b"before\r")
        await until(lambda: guest.received == b"before\r", lambda: guest.received)
        process.stdin.write(b"~b")
        await until(lambda: guest.received == b"before\r\0", lambda: guest.received)
    assert any(value & Lsr.BI and value & Lsr.DR for value in spy.lsr)


async def test_the_clients_own_break_is_one_to_the_guest(lab: Lab) -> None:
    _, guest = lab.appear()
    async with await soon(lab.connect()) as client:
        process = await soon(client.create_process("web1", encoding=None, term_type="xterm"))
        await soon(process.stdout.readuntil(b"helps]\r\n"))
        process.send_break(500)
        await soon(process.stdout.readuntil(b"break sent]\r\n"))
        assert guest.received == b"\0"
        watcher = await soon(client.create_process("watch web1", encoding=None, term_type="xterm"))
        await soon(watcher.stdout.readuntil(b"helps]\r\n"))
        watcher.send_break(500)
        await soon(watcher.stdout.readuntil(b"a break needs the keyboard"))
        assert guest.received == b"\0"


async def test_a_right_that_is_taken_away_ends_or_demotes(lab: Lab) -> None:
    lab.appear()
    everything = lab.services.access.grants
    async with await soon(lab.connect()) as client:
        process = await soon(client.create_process("web1", encoding=None, term_type="xterm"))
        await soon(process.stdout.readuntil(b"helps]\r\n"))
        lab.services.access.grants = tuple(
            type(grant)(grant.users, grant.consoles, frozenset({*grant.rights} - {"write"})) for grant in everything
        )
        lab.services.seats.room(lab.console).recheck()
        await soon(process.stdout.readuntil(b"your right to write to web1 was taken away: you watch]\r\n"))
        lab.services.access.grants = ()
        lab.services.seats.room(lab.console).recheck()
        await soon(process.stdout.readuntil(b"your right to watch web1 was taken away]\r\n"))
        assert (await soon(process.wait())).exit_status == 1


async def test_a_guest_that_comes_and_goes_is_an_event(lab: Lab) -> None:
    async with await soon(lab.connect()) as client:
        process = await soon(client.create_process("events --json"))
        await until(lambda: bool(lab.services.events._sinks), lambda: "no subscription")
        lab.appear()
        row = json.loads(await soon(process.stdout.readline()))
        assert (row["kind"], row["console"], row["state"]) == ("console", "web1", "live")
