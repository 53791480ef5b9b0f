"""Recordings of a real server: read through the real OpenSSH client, and gone on with after its end."""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from oobconsole.interceptors import wire
from tests.support.aio import until
from tests.support.native_half import NativeHalf, appeared, gap, posted
from tests.support.pace import scaled
from tests.support.server import Server
from tests.support.sync import eventually
from tests.support.terminal import Terminal

TCG_MACHINE = """
[[machine]]
name = "l1"
[[machine.guest]]
name = "web1"
[[machine.guest]]
name = "web2"
"""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


def output(server: Server, *words: str) -> str:
    done = server.run(*words)
    assert done.returncode == 0, done
    return done.stdout.decode()


# -- verbs -----------------------------------------------------------------------------------------


def test_log_gives_the_bytes_as_the_guest_printed_them(server: Server) -> None:
    data = b"\x1b]0;title\x07\xff\0" + "grüße\r\n".encode()
    server.run("web1", data=data)
    assert server.run("log", "web1", "--raw").stdout == b"memory guest 1 ready\r\n" + data
    assert server.run("log", "web1", "--lines", "1", "--raw").stdout == data
    assert server.run("log", "web1", "--since", "1h", "--raw").stdout == b"memory guest 1 ready\r\n" + data
    assert server.run("log", "web1", "--since", "2099-01-01T00:00").stdout == b""


def test_log_is_safe_unless_raw_is_said(server: Server) -> None:
    """security.md 17: `ssh HOST log web1` has no terminal here, but its user has one there."""
    data = b"a\x1b]52;c;aGk=\x07\x1b[c\x1b[2Jb\x1b[31mc\r\n"
    server.run("web1", data=data)
    assert server.run("log", "web1", "--lines", "1", "--raw").stdout == data
    assert server.run("log", "web1", "--lines", "1").stdout == b"ab\x1b[31mc\r\n\x1b[m"
    assert server.run("search", "web1", "abc").stdout.rstrip().endswith(b"abc")
    assert b"\x1b[c" not in server.run("replay", "web1", "--speed", "100").stdout
    assert b"not with" in server.run("log", "web1", "--typed", "--raw").stderr
    with Terminal(server.ssh("log", "web1", "--lines", "1", options=("-t",))) as terminal:
        terminal.expect(re.escape(b"ab\x1b[31mc\r\n"), timeout=10)
        assert terminal.wait(10) == 0


def test_log_says_who_typed_what(server: Server) -> None:
    server.run("web1", data=b"id\r")
    typed = output(server, "log", "web1", "--typed")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\S+  alice \(127\.0\.0\.1\)  ('id\\r'|3 bytes that .* echo)\n", typed)


def test_search_finds_lines_with_time_and_offset(server: Server) -> None:
    server.run("web1", data=b"one\r\n\x1b[1mtwo\x1b[0m\x07\r\nthree\r\n")
    found = output(server, "search", "web1", "^t[wh]")
    assert re.fullmatch(r"(?s)\d{4}\S+  27  two\n\d{4}\S+  41  three\n", found), found
    nothing = server.run("search", "web1", "four")
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (1, b"", b"")


def test_a_pattern_that_takes_for_ever_is_refused(server: Server) -> None:
    server.run("web1", data=b"a" * 3000 + b"\r\n")
    done = server.run("search", "web1", "(a|a|aa)+$x")
    assert done.returncode == 2
    assert b"takes too long to match" in done.stderr


def test_replay_into_a_pipe(server: Server) -> None:
    server.run("web1", data=b"hello\r\n")
    done = server.run("replay", "web1", "--speed", "100")
    assert done.stdout == b"memory guest 1 ready\r\nhello\r\n"
    assert b"the recording ends here" in done.stderr
    assert server.run("replay", "web1", "--at", "2099-01-01").returncode == 1


def test_replay_on_a_terminal_obeys_its_keys(server: Server) -> None:
    server.run("web1", data=b"hello\x1b[c\r\n")
    with Terminal(server.ssh("replay", "web1", "--speed", "0.1", options=("-t",))) as terminal:
        terminal.expect("space pauses", timeout=10)
        terminal.expect("memory guest 1 ready", timeout=10)
        terminal.send(" ")
        terminal.send("q")
        assert terminal.wait(10) == 0
        assert b"hello" not in terminal.seen


def test_what_is_wrong_is_said(server: Server) -> None:
    for words, said in (
        (("log", "web9"), "there is no console 'web9'"),
        (("log", "web1", "--since", "soon"), "'soon' is no time"),
        (("log", "web1", "--lines", "-1"), "--lines"),
        (("replay", "web1", "--speed", "0"), "is no speed"),
        (("search", "web1", "'('"), "is no regular expression"),
    ):
        done = server.run(*words)
        assert (done.returncode, done.stdout) == (2, b"")
        assert said in done.stderr.decode()


def test_asciinema_plays_what_is_recorded(server: Server) -> None:
    server.run("web1", data="grüße\r\n".encode())
    (cast,) = (server.folder / "state" / "recordings" / "web1").glob("*.cast")
    eventually(lambda: "grüße" in cast.read_text(), cast.read_text)  # a thread writes it
    played = subprocess.run(
        [sys.executable, "-m", "asciinema", "cat", str(cast)],
        capture_output=True,
        check=True,
        timeout=scaled(30),
        env={"LANG": "C.UTF-8", "HOME": str(server.folder)},
    )
    assert played.stdout.decode() == "memory guest 1 ready\r\ngrüße\r\n"


# -- over restarts ---------------------------------------------------------------------------------


#: What a native half has to intercept for a guest with one console.
COM1 = (wire.PortRange(0x3F8, 8, 1 << 4),)


class Guest:
    """What native/tcg does for one guest: keeps what it printed, and sends again what the server does not have."""

    def __init__(self, server: Server, number: int = 1) -> None:
        self._path = server.folder / "state" / "l1.sock"
        self._number = number
        self.printed = b""

    async def connect(self) -> int | None:
        """Returns how much the server says that it has; None: nothing."""
        self.half = NativeHalf(self._path, "l1", instance=0xFEDCBA98, ranges=COM1)
        await self.half.connect()
        has = (await self.half.announce(self._number)).get(self._number, {}).get(0x3F8)
        assert has is None or isinstance(has, int)
        self._post(self.printed[has or 0 :])
        return has

    def prints(self, data: bytes) -> None:
        self.printed += data
        self._post(data)

    def _post(self, data: bytes) -> None:
        for at in range(0, len(data), 2000):
            self.half.send(posted(data[at : at + 2000], context=self._number))


@pytest.fixture
async def tcg() -> AsyncIterator[Server]:
    server = Server(TCG_MACHINE)
    await asyncio.to_thread(server.__enter__)
    yield server
    await asyncio.to_thread(server.__exit__, None, None, None)


def log_of(server: Server, console: str = "web1") -> bytes:
    return b"".join(path.read_bytes() for path in sorted(_folder(server, console).glob("*.raw")))


def _folder(server: Server, console: str) -> Path:
    return server.folder / "state" / "recordings" / console


async def logged(server: Server, guest: Guest) -> None:
    def seen() -> object:
        return len(log_of(server)), len(guest.printed), log_of(server)[-50:]

    await until(lambda: log_of(server) == guest.printed, seen)


async def test_every_byte_is_there_once_after_a_clean_restart(tcg: Server) -> None:
    guest = Guest(tcg)
    assert await guest.connect() is None
    guest.prints(b"before\r\n")
    await guest.half.settle(1)
    await asyncio.to_thread(tcg.stop)
    guest.printed += b"meanwhile\r\n"
    await asyncio.to_thread(tcg.start)
    assert await guest.connect() == len(b"before\r\n")
    guest.prints(b"after\r\n")
    await logged(tcg, guest)
    done = await asyncio.to_thread(tcg.run, "log", "web1", "--raw")
    assert done.stdout == b"before\r\nmeanwhile\r\nafter\r\n"


async def test_every_byte_is_there_once_after_each_sigkill(tcg: Server) -> None:
    guest = Guest(tcg)
    await guest.connect()
    for turn in range(4):
        for line in range(random.randrange(200, 400)):
            guest.prints(f"{turn} {line} {'.' * 20}\r\n".encode())
            if line % 20 == 0:
                await guest.half.settle(1)
        await asyncio.to_thread(tcg.kill)
        await asyncio.to_thread(tcg.start)
        has = await guest.connect()
        assert has is None or 0 <= has <= len(guest.printed)
    await logged(tcg, guest)


async def test_a_restarted_server_knows_whose_console_it_was(tcg: Server) -> None:
    first, second = Guest(tcg, 1), Guest(tcg, 2)
    await first.connect()
    second.half = first.half
    first.half.send(appeared(2))
    first.prints(b"one")
    second.prints(b"two")
    await until(lambda: log_of(tcg) + log_of(tcg, "web2") == b"onetwo", lambda: log_of(tcg) + log_of(tcg, "web2"))
    await asyncio.to_thread(tcg.kill)
    await asyncio.to_thread(tcg.start)
    assert await second.connect() == 3  # announced alone and first: it is still web2
    second.prints(b" more")
    await until(lambda: log_of(tcg, "web2") == b"two more", lambda: log_of(tcg, "web2"))
    assert log_of(tcg) == b"one"


async def test_lost_output_counts_but_has_no_offsets(tcg: Server) -> None:
    guest = Guest(tcg)
    await guest.connect()
    guest.prints(b"abc")
    guest.half.send(gap(1, 1000))
    guest.prints(b"def")
    await logged(tcg, guest)
    await asyncio.to_thread(tcg.kill)
    await asyncio.to_thread(tcg.start)
    guest.printed = b"abc" + bytes(1000) + b"def"
    assert await guest.connect() == 1006
    guest.prints(b"ghi")
    await until(lambda: log_of(tcg) == b"abcdefghi", lambda: log_of(tcg))


async def test_another_qemu_is_another_guest(tcg: Server) -> None:
    guest = Guest(tcg)
    await guest.connect()
    guest.prints(b"abc")
    await logged(tcg, guest)
    await asyncio.to_thread(tcg.stop)
    await asyncio.to_thread(tcg.start)
    other = NativeHalf(tcg.folder / "state" / "l1.sock", "l1", instance=5, ranges=COM1)
    await other.connect()
    assert await other.announce(1) == {}


# -- consoles that are gone ------------------------------------------------------------------------


def test_what_a_console_printed_is_found_when_it_is_gone(server: Server) -> None:
    """faults.md 36: a crashed guest's last words, by the right `log` at its name."""
    server.run("web2", data=b"Kernel panic - not syncing\r\n")
    server.make_key("bob")
    server.stop()
    text = server.config.read_text().replace('[[machine.guest]]\nname = "web2"\n', "")
    server.config.write_text(text + '[[grant]]\nusers = ["bob"]\nconsoles = ["web1"]\nrights = "all"\n')
    server.start()
    assert b"web2" not in server.run("ls").stdout
    assert server.run("log", "web2").stdout.endswith(b"Kernel panic - not syncing\r\n")
    assert output(server, "search", "web2", "panic").endswith("Kernel panic - not syncing\n")
    assert b"Kernel panic" in server.run("replay", "web2", "--speed", "100").stdout
    for name in ("web3", "../recordings/web2", "..", "."):
        done = server.run("log", name)
        assert (done.returncode, b"there is no console" in done.stderr) == (2, True), done
    done = subprocess.run(
        server.ssh("log", "web2", user="bob", key=server.folder / "id_bob"), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, b"there is no console 'web2'" in done.stderr) == (2, b"", True)
    attached = server.run("web2")
    assert (attached.returncode, b"there is no console" in attached.stderr) == (2, True)
