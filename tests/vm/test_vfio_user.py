"""Our serial card in guests of a stock QEMU, with real QEMU, real Linux, the OpenSSH client, and a server that is
killed."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from oobconsole.recording.segments import INDEX, is_record, parse
from tests.stack.nested import PROMPT, L2Console
from tests.stack.plain import PlainGuest
from tests.support.server import Server
from tests.support.sync import eventually
from tests.support.terminal import Terminal
from tests.support.vfio import end_keeper

pytestmark = pytest.mark.vm

KILLS = 20
#: The kinds of cards and machines: BAR, number of ports, machine type.
CARDS = {
    "io, i440fx": ("io", 1, "pc"),
    "io, q35, 2 ports": ("io", 2, "q35"),
    "memory, q35": ("memory", 1, "q35"),
    "memory, i440fx, 2 ports": ("memory", 2, "pc"),
}


class Lab:
    """A server with one VM that has our card. The VM is started with the options that `oobconsole qemu-options`
    prints."""

    def __init__(self, bar: str, ports: int, machine: str = "pc") -> None:
        self.server = Server(
            f'[[vm]]\nname = "web"\nqmp = "qmp"\n'
            f'vfio_user = {{ socket = "web.vfio", bar = "{bar}", ports = {ports} }}\n',
            settings="tail_lines = 10000\nscrollback_kib = 4096",
        )
        self.machine = machine

    def guest(self) -> PlainGuest:
        words = [sys.executable, "-m", "oobconsole", "qemu-options", "web", "--config", str(self.server.config)]
        options = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        return PlainGuest(self.server.folder, "none", ["-machine", self.machine, *shlex.split(options)])

    def end(self) -> None:
        end_keeper(self.server.folder / "state" / "web.keeper")


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    made = Lab(*getattr(request, "param", ("io", 1)))
    with made.server:
        yield made
        made.end()


@pytest.mark.parametrize("lab", CARDS.values(), ids=CARDS, indirect=True)
def test_a_shell_a_reset_and_another_guest(lab: Lab) -> None:
    ports = 2 if "port2" in lab.server.run("ls").stdout.decode() else 1
    with lab.guest() as guest, L2Console(lab.server, "web") as console:
        console.wake(90)
        text = console.run("seq 1 3000", timeout=60)
        assert text.split() == [str(i).encode() for i in range(1, 3001)]
        assert re.search(rb"ttyS0", console.run("cat /proc/interrupts"))
        if ports == 2:
            console.run("stty -F /dev/ttyS1 raw -echo; echo second port >/dev/ttyS1")
            # The other port has a connection of its own, which may be slower.
            second = partial(lab.server.run, "log", "web.port2")
            eventually(lambda: b"second port" in second().stdout, lambda: second())
        assert lab.server.run("power", "web", "reset", "--yes").returncode == 0
        console.expect(rb"L2 is ready", timeout=90)
        console.expect(PROMPT, timeout=20)
        assert b"Linux" in console.run("uname -a")
        console.expect(PROMPT, timeout=20)  # if this prompt were left, it would be taken for that of the next boot
        guest.stop()
        console.expect_told(rb"web: the VMM is gone", timeout=20)
        assert b"fault" in lab.server.run("ls").stdout
        guest.start()
        console.wake(90)
        assert b"Linux" in console.run("uname -a")


def test_what_is_typed_arrives_whole(lab: Lab) -> None:
    data = b"".join(b"%04d %s\n" % (i, b"x" * 40) for i in range(300))
    with lab.guest(), L2Console(lab.server, "web") as console:
        console.wake(90)
        console.send(b"stty -echo; echo rea''dy; cat >/tmp/typed; stty echo; echo ty''ped\n")
        console.expect(rb"ready\r?\n", timeout=20)  # from now on the shell does not read the keys itself
        console.send(data + b"\x04")
        console.expect(rb"typed\r?\n", timeout=60)
        assert console.run("cat /tmp/typed", timeout=60) == data


def test_break_is_sysrq(lab: Lab) -> None:
    with lab.guest():
        with L2Console(lab.server, "web") as console:
            console.wake(90)
        # On a dumb terminal, no notice is drawn in the middle of the words that are waited for.
        with Terminal(lab.server.ssh("web", options=("-t", "-e", "none")), term="dumb") as person:
            person.expect(rb"you have the keyboard", timeout=20)
            person.send("\r~s")
            person.expect(rb"SysRq key", timeout=20)
            person.send("h")
            person.expect(rb"sysrq: HELP", timeout=20)


@pytest.mark.parametrize("lab", [("io", 1), ("memory", 1)], ids=["io", "memory"], indirect=True)
def test_a_server_that_is_killed_20_times_under_load_costs_nothing(lab: Lab) -> None:
    """The guest counts without a pause. Each number must be in the recording, once and in order, whenever the server
    is killed."""
    with lab.guest() as guest:
        with L2Console(lab.server, "web") as console:
            console.wake(90)
            console.send(b"stty -opost; i=0; while :; do i=$((i+1)); echo n$i; done\n")
            console.expect(rb"n300\n", timeout=60)
        for _ in range(KILLS):
            lab.server.kill()
            lab.server.start()
            with L2Console(lab.server, "web") as console:
                console.expect(rb"n\d+\n.*n\d+\n", timeout=60)
        with L2Console(lab.server, "web") as console:
            console.send(b"\x03")
            console.wake(60)
            assert b"Linux" in console.run("uname -a")
        assert guest.running
    check_numbers(lab.server.folder / "state" / "recordings" / "web")


def check_numbers(folder: Path) -> None:
    """Check a recording. No number is there twice, and none is missing except where the recording says that bytes are
    lost."""
    text, lost = b"", []
    for raw in sorted(folder.glob("*.raw")):
        text += raw.read_bytes()
        records = map(parse, raw.with_suffix(INDEX).read_bytes().splitlines(keepends=True))
        lost += [record[1] for record in records if is_record(record) and record[2:3] == ["lost"]]
    pieces = [text[begin:end] for begin, end in itertools.pairwise([0, *lost, len(text)])]
    runs = [[int(n) for n in re.findall(rb"(?<=\n)n(\d+)(?=\n)", piece)] for piece in pieces]
    assert sum(map(len, runs)) > 300 + KILLS
    for run in filter(None, runs):
        assert run == list(range(run[0], run[0] + len(run)))
    numbers = list(itertools.chain(*runs))
    assert numbers == sorted(numbers)
