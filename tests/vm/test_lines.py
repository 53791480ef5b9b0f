"""Guests of a stock QEMU, at QEMU's own emulated serial port, with real QEMU, real Linux and the real OpenSSH
client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.nested import PROMPT, L2Console
from tests.stack.plain import PlainGuest
from tests.support.server import Server
from tests.support.terminal import Terminal

pytestmark = pytest.mark.vm

#: `chardev` of the configuration and `-serial` of QEMU, for two cases: we connect to QEMU, or QEMU connects to us.
SIDES = {
    "we connect": ("unix:serial", "unix:{folder}/serial,server=on,wait=off"),
    "QEMU connects": ("unix-listen:serial", "unix:{folder}/serial,server=off,reconnect-ms=200"),
}


@pytest.fixture(params=SIDES)
def side(request: pytest.FixtureRequest) -> tuple[str, str]:
    return SIDES[request.param]


@pytest.fixture
def server(side: tuple[str, str]) -> Iterator[Server]:
    with Server(f'[[vm]]\nname = "db2"\nchardev = "{side[0]}"\nqmp = "qmp"\n') as running:
        yield running


def guest_of(folder: Path, side: tuple[str, str]) -> PlainGuest:
    return PlainGuest(folder, side[1].format(folder=folder))


def test_a_guest_that_comes_goes_and_comes_again(server: Server, side: tuple[str, str]) -> None:
    guest = guest_of(server.folder, side)
    with guest, L2Console(server, "db2") as console:
        console.wake(90)
        assert b"Linux" in console.run("uname -a")
        text = console.run("seq 1 3000")
        assert text.replace(b"\r", b"").split() == [str(i).encode() for i in range(1, 3001)]
        console.expect(PROMPT, timeout=20)  # if this prompt were left, it would be taken for that of the next boot
        guest.stop()
        console.expect_told(rb"db2: the other end closed the connection", timeout=20)
        assert b"fault" in server.run("ls").stdout
        guest.start()
        console.wake(90)
        assert b"Linux" in console.run("uname -a")


def test_power_and_break_by_the_monitor(server: Server, side: tuple[str, str]) -> None:
    with guest_of(server.folder, side):
        with L2Console(server, "db2") as console:
            console.wake(90)
            assert server.run("power", "db2", "reset").returncode == 2  # nothing is switched without --yes
            done = server.run("power", "db2", "reset", "--yes")
            assert (done.returncode, done.stdout) == (0, b"the guest is reset\n"), done
            console.expect_told(rb"db2: the guest is reset \(host-qmp-system-reset\)", timeout=20)
            console.expect(rb"L2 is ready", timeout=90)
            console.expect(PROMPT, timeout=20)
        with Terminal(server.ssh("db2", options=("-t", "-e", "none")), term="dumb") as person:
            person.expect(rb"you have the keyboard", timeout=20)
            person.send("\r~s")
            person.expect(rb"SysRq key", timeout=20)
            person.send("h")
            person.expect(rb"sysrq: HELP", timeout=20)
