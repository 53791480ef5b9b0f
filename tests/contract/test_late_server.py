"""A server that is late, and a link that breaks: the native half itself, under a guest without a CPU (guest.c).

A server that does not answer is not away. What a person types and what a guest prints meanwhile arrives, once and in
order; nobody is told that anything is not connected; and the guest waits no longer for any access than it may.
`OOB_LATE=500` makes it as often, and as late, as the promise is meant.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from oobconsole.interceptors import wire
from tests.stack.nested import ROOT
from tests.support.expect import Expect
from tests.support.pace import scaled
from tests.support.server import Server

SIZE: Final = 65536
#: How often the server is stopped, and for how long at most, in seconds.
TIMES: Final = int(os.environ.get("OOB_LATE", "25"))
LATE_S: Final = 2.0 if TIMES >= 500 else 0.5
#: How long a guest may wait for one access, in us: OOB_PATIENCE_MS of native/core/link.h.
PATIENCE_US: Final = 100_000
MACHINE: Final = '[console]\nshare = true\n[[machine]]\nname = "l1"\n[[machine.guest]]\nname = "web1"\n'

pytestmark = pytest.mark.timeout(120 + 3 * TIMES)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guest's program."""
    folder = tmp_path_factory.mktemp("guest")
    command = ["make", "-s", "-C", str(ROOT / "tests" / "contract" / "guest"), f"OUT={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "guest"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(MACHINE) as running:
        yield running


class Guest(Expect):
    """Prints `text`, a byte for each that it reads.

    Attributes:
        read: what it has read, as a file.
    """

    def __init__(self, program: Path, server: Server, text: bytes) -> None:
        prints, self.read = server.folder / "prints", server.folder / "reads"
        prints.write_bytes(text)
        words = [sys.executable, "-m", "oobconsole", "qemu-options", "l1", "--config", str(server.config)]
        done = subprocess.run([*words, "--plugin", "x"], check=True, capture_output=True, text=True)
        _, options = shlex.split(done.stdout)
        super().__init__([str(program), str(prints), str(self.read), *options.split(",")[1:]], merge_stderr=False)

    def break_link(self) -> None:
        """Its connection to the server is broken; it connects again."""
        self._process.send_signal(signal.SIGUSR1)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def assert_same(found: bytes, sent: bytes, what: str) -> None:
    """Compare by hash; where they differ, say where, and how much is missing or there twice."""
    if digest(found) == digest(sent):
        return
    at = next((i for i, (a, b) in enumerate(zip(found, sent, strict=False)) if a != b), min(len(found), len(sent)))
    goes_on = sent.find(found[at : at + 16])
    raise AssertionError(
        f"{what}: {len(found)} of {len(sent)} bytes; at {at} comes {found[at : at + 16].hex(' ')}, "
        f"which was sent at {goes_on}, instead of {sent[at : at + 16].hex(' ')}"
    )


def both_ways(server: Server, program: Path, disturb: Callable[[Guest, random.Random], None]) -> None:
    """Send random bytes each way, piece by piece, with a disturbance in the middle of each."""
    seed = secrets.randbits(32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    typed, printed = chance.randbytes(SIZE), chance.randbytes(SIZE)
    with Guest(program, server, printed) as guest, server.attach("web1", merge_stderr=False) as client:
        guest.expect(rb"ready\n", timeout=20)
        piece = SIZE // TIMES + 1
        for start in range(0, SIZE, piece):
            # Not too much at once: some comes while some is read.
            for at in range(start, min(start + piece, SIZE), 7):
                client.send(typed[at : min(at + 7, start + piece)])
            pause(chance.uniform(0, 0.01))
            disturb(guest, chance)
        found = guest.expect(
            rb"read \d+, longest wait (\d+) us, (\d+) of more than twice its patience\n", timeout=120
        )
        while len(client.seen) < SIZE:
            client.expect(rb".", timeout=60)
        assert_same(guest.read.read_bytes(), typed, "typed")
        assert_same(bytes(client.seen), printed, "printed")
        assert not re.search(rb"not connected|lost", client.told), client.told
        # Who shares a processor may be late in looking at the clock: now and then on any machine, and always a little
        # on a busy one. If only the server ended its waits, most of those while that was stopped would be too long.
        assert int(found[2]) <= max(3, TIMES // 10) or int(found[1]) < PATIENCE_US + scaled(PATIENCE_US), found[0]


def pause(seconds: float) -> None:
    """Let others go on: what is tested happens at any time."""
    threading.Event().wait(seconds)


def test_a_server_that_is_late_again_and_again_loses_nothing(server: Server, built: Path) -> None:
    def stop_and_go_on(guest: Guest, chance: random.Random) -> None:
        with server.stopped():
            pause(chance.uniform(0, LATE_S))

    both_ways(server, built, stop_and_go_on)


def test_an_interrupt_that_is_due_when_the_server_is_back_comes(
    server: Server, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guest asks for that of an empty THR, again and again, by its transmitter alone, and types nothing that
    would make up for one that is lost."""
    monkeypatch.setenv("RESTARTS", "2")
    chance = random.Random(seed := secrets.randbits(32))
    print(f"seed {seed}")
    with Guest(built, server, b".") as guest:
        guest.expect(rb"ready\n", timeout=20)
        for _ in range(15):
            with server.stopped():
                guest.expect(rb"served by nobody\n", timeout=10)  # it is late after 0.1 s
                pause(chance.uniform(0, 0.1))
            guest.expect(rb"served again\n", timeout=10)


def test_a_link_that_breaks_again_and_again_loses_and_doubles_nothing(server: Server, built: Path) -> None:
    both_ways(server, built, lambda guest, _: guest.break_link())


def test_a_link_that_breaks_while_the_server_is_late_loses_and_doubles_nothing(server: Server, built: Path) -> None:
    def both(guest: Guest, chance: random.Random) -> None:
        with server.stopped():
            pause(chance.uniform(0, LATE_S / 2))
            guest.break_link()
            pause(chance.uniform(0, LATE_S / 2))

    both_ways(server, built, both)


def test_a_server_that_is_started_again_serves_the_guest_as_before(server: Server, built: Path) -> None:
    """It knows its guests from the recordings, but nothing of what the one before it has handed over."""
    text = secrets.token_hex(1000).encode()
    with Guest(built, server, text) as guest:
        guest.expect(rb"ready\n", timeout=20)
        for start in range(0, 200, 20):
            with server.attach("web1", merge_stderr=False) as client:
                client.send(text[start : start + 20])  # before it knows of a guest
                client.expect(text[start : start + 20], timeout=20)
            assert guest.read.read_bytes() == text[: start + 20]
            server.kill()
            server.start()


def test_a_character_costs_the_guest_few_questions(server: Server, built: Path) -> None:
    """Its driver looks at LSR behind each, and finds there what it was told, not what a server must be asked for."""
    text = secrets.token_bytes(8192)
    with Guest(built, server, text) as guest:
        guest.expect(rb"ready\n", timeout=20)
        with server.attach("web1", merge_stderr=False) as client:
            client.send(text)
            guest.expect(rb"read 8192", timeout=60)
        assert guest.read.read_bytes() == text
        guest.send_eof()
        guest.wait(20)
    with Expect(["tail", "-n", "+1", "-f", str(server.log)]) as log:
        asked = log.expect(rb"native half away[^\n]*\breads=(\d+)", timeout=20)
    assert int(asked[1]) < len(text) / 2


def test_a_break_is_seen_at_the_character_that_it_is(server: Server, built: Path) -> None:
    """Among others that were typed at the same time; it is received as a 0, which nothing else here is."""
    said = []
    with Guest(built, server, b".") as guest, Expect(server.ssh("-tt", "-e", "~", "web1", "--raw")) as client:
        guest.expect(rb"ready\n", timeout=20)
        client.expect(rb"detaches", timeout=20)
        for number in range(40):
            client.send(b"x" * (number % 19) + b"\r~B" + b"y" * (number % 5) + b"\r")
            said.append(int(guest.expect(rb"break behind (\d+)\n", timeout=20)[1]))
        assert said == [at for at, byte in enumerate(guest.read.read_bytes()) if not byte]


def test_a_break_is_seen_though_the_server_is_late_again_and_again(server: Server, built: Path) -> None:
    """Whatever it is late with: reading LSR, which tells of a break, ends it at the server."""
    seed = secrets.randbits(32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    with Guest(built, server, b".") as guest, Expect(server.ssh("-tt", "-e", "~", "web1", "--raw")) as client:
        guest.expect(rb"ready\n", timeout=20)
        client.expect(rb"detaches", timeout=20)
        for _ in range(TIMES):
            client.send(b"x\r~B\r")
            pause(chance.uniform(0, 0.02))
            with server.stopped():
                pause(chance.uniform(0.1, 0.2))
            guest.expect(rb"break behind \d+\n", timeout=20)
        assert guest.read.read_bytes().count(b"\0") == TIMES


@pytest.mark.parametrize(
    ("version", "what_to_do"),
    [(7, rb"Restart this QEMU with the oob_tcg.so of the server's release"), (1, rb"Install the server of the")],
    ids=["newer", "older"],
)
def test_a_server_of_another_release_is_named_by_its_version(
    built: Path, tmp_path: Path, version: int, what_to_do: bytes
) -> None:
    """The server answers with a WELCOME of its own version, which may have another length, and hangs up. The native
    half tries again, and says once which versions the two speak, and which of them is to be updated."""
    text, path = tmp_path / "prints", tmp_path / "socket"
    text.write_bytes(b".")
    words = [str(built), str(text), str(tmp_path / "reads"), f"socket={path}", "machine=l1"]
    welcome = bytearray(wire.encode_welcome(0))
    welcome[12:14] = version.to_bytes(2, "little")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(scaled(20))
        with Expect(words, merge_stderr=False) as guest:
            for answer in (welcome[:24], welcome, welcome + bytes(100)):
                peer, _ = listener.accept()
                with peer:
                    assert len(peer.recv(wire.HELLO.size, socket.MSG_WAITALL)) == wire.HELLO.size
                    peer.sendall(answer)
            guest.expect_told(
                rb"the server speaks version %d of the protocol, this plugin version 2: both[^\n]* %s"
                % (version, what_to_do),
                timeout=20,
            )
            guest.expect(rb"ready\n", timeout=20)
            assert guest.told.count(b"version %d of" % version) == 1
