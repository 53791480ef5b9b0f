"""security.md 18, end to end: whatever a QMP peer does, a person gets one clear sentence, and nobody else anything.

All of them misbehave at the same time, at one server; each monitor's guest has a console that goes on.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from oobconsole.power.qmp import LOG_LINES
from oobconsole.watchdog import HELD_SECONDS
from tests.support.expect import Expect
from tests.support.guest import PtyGuest
from tests.support.hostile_monitor import FLOODS, WAYS
from tests.support.monitor import EVIL_BYTES
from tests.support.pace import scaled
from tests.support.server import MEMORY_MACHINE, Server
from tests.support.sync import eventually
from tests.support.terminal import Terminal

PATIENCE = 30.0
NONE = "it is no QEMU monitor that can be used: it sent what is no message of QMP, or one of more than 64 KiB"
#: What `power NAME on` says, on one line.
SAID = {
    "silent": "it says nothing: somebody else may be connected to it|it has not been reached yet",
    "slow": "it says nothing: somebody else may be connected to it|it has not been reached yet",
    "garbled": NONE,
    "endless": NONE,
    "refusing": "it is no QEMU monitor that can be used: it refuses to begin",
    "leaving": "QEMU closed it|it has just ended|QEMU's monitor was lost: it ended before it had answered .*",
    "deaf": "QEMU did not answer query-status in 10 s",
    "mute": "QEMU did not answer query-status in 10 s",
    "dripping": "QEMU did not answer query-status in 10 s",
    "evil-errors": r"QEMU refuses query-status: (\?\]0;PWN\?\?2J\?){30,}[^\n]*…",
    "nonsense": "what QEMU answers to query-status cannot be understood",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A guest that echoes behind each monitor."""
    names = [*WAYS, *FLOODS]
    machines = "".join(
        f'[[vm]]\nname = "{name}"\nchardev = "unix:{name}.line"\nqmp = "{name}.qmp"\n' for name in names
    )
    with contextlib.ExitStack() as stack:
        server = Server(MEMORY_MACHINE + machines)
        command = [sys.executable, "-m", "tests.support.hostile_monitor", str(server.folder), *names]
        monitors = stack.enter_context(Expect(command))
        monitors.expect(b"ready", timeout=PATIENCE)
        for name in names:
            stack.enter_context(PtyGuest(server.folder / f"{name}.line", ["cat"])).begin()
        yield stack.enter_context(server)


@pytest.fixture
def honest(server: Server) -> Iterator[Expect]:
    """Somebody who types at another guest, before and after."""
    with server.attach("web1") as person:
        echoed(person, b"before")
        yield person
        echoed(person, b"after")


def echoed(person: Expect, text: bytes) -> None:
    person.send(text)
    person.expect(text, timeout=PATIENCE)


def is_harmless(shown: bytes | bytearray) -> bool:
    return not any(evil in shown for evil in EVIL_BYTES)


def test_each_is_one_clear_sentence(server: Server, honest: Expect) -> None:
    """security.md 18: of all ways at once, at `power`, which needs an answer."""
    asking = {name: Expect(server.ssh("power", name, "on", "--yes"), merge_stderr=False) for name in WAYS}
    with contextlib.ExitStack() as stack:
        for client in asking.values():
            stack.enter_context(client)
        for name, client in asking.items():
            echoed(honest, name.encode())
            assert client.read_to_end(PATIENCE) == b""
            assert client.wait(PATIENCE) == 1
            told = bytes(client.told).decode()
            pattern = rf"oobconsole: on of {name} failed: ([^\n]*: )?({SAID[name]})\r?\n"
            assert re.fullmatch(pattern, told), (name, told)
            assert is_harmless(client.told)


@pytest.mark.parametrize("name", [*WAYS, *FLOODS])
def test_the_guest_behind_it_goes_on(server: Server, honest: Expect, name: str) -> None:
    """security.md 18: its console is not the monitor's."""
    with server.attach(name) as person:
        echoed(person, b"here")


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_holds_nobody_up(server: Server, honest: Expect, name: str) -> None:
    """security.md 18: it is answered in its turn, all the same."""
    done = server.run("power", name, "reset", "--yes", timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (0, b"the guest is reset\n"), done.stderr


def test_events_without_end_are_told_now_and_then(server: Server, honest: Expect) -> None:
    """security.md 18: a person who watches sees that there is more, and still the guest."""
    watching = server.ssh("watch", "eventful", options=("-t", "-e", "none"))
    with Terminal(watching, columns=200, term="dumb") as person, server.attach("eventful") as other:
        person.expect(rb"eventful: the guest is paused \(\?\]0;PWN\?", timeout=PATIENCE)
        person.expect(rb"more than that happens, and is not told for \d+ s\]", timeout=PATIENCE)
        other.send(b"still here")
        person.expect(b"still here", timeout=PATIENCE)
        assert is_harmless(person.seen)
        assert person.seen.count(b"is paused") < 70, person.seen


def test_nothing_of_it_is_in_the_log(server: Server, honest: Expect) -> None:
    """security.md 18: what went before here has left a few lines, and no bug."""
    log = server.log.read_bytes()
    assert is_harmless(log)
    assert b"bug" not in log, log[-3000:]
    held = re.findall(rb"something held the event loop[^\n]*milliseconds=(\d+)[^\n]*(?:qmp|json)", log)
    assert all(int(milliseconds) < 1000 * scaled(HELD_SECONDS) for milliseconds in held), held
    started = (server.folder / "state" / "ssh_port").stat().st_mtime
    for name in ("garbled", "endless", "refusing", "leaving", "slow"):
        lines = partial(re.findall, rb"monitor is not connected[^\n]*console=.?%b\b" % name.encode())
        eventually(lambda: bool(lines(server.log.read_bytes())), lambda: server.log.read_text()[-3000:])  # noqa: B023
        minutes = (time.time() - started) / 60
        count = len(lines(server.log.read_bytes()))
        assert count <= LOG_LINES * (2 + minutes), (name, count, minutes)


def test_memory_stays(server: Server, honest: Expect) -> None:
    """security.md 18: lines without an end, and floods, are not kept."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    assert found is not None
    assert int(found[1]) < 200 << 10, status
