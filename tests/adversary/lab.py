"""Boots a hostile L1 of our own (`payload/`) under QEMU with the plugin, and looks at what came of it.

L1 reports on its own serial port, QEMU's, as lines `key=value`; the consoles are read over a real ssh client.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from oobconsole.config.load import load
from oobconsole.config.places import places_of
from oobconsole.interceptors.tcg import qemu_options
from tests.stack.nested import CACHE, PLUGIN, qemu
from tests.support.expect import Expect
from tests.support.server import Server

#: How many machines the server has: each boot takes one, so that its consoles are its own.
MACHINES = 120
#: What isa-debug-exit makes of the payload's 0x10: (n << 1) | 1.
DONE = 0x21
PAYLOAD = CACHE / "adversary" / "l1.elf"
BOOT_SECONDS = 20.0
#: What L2 prints while L1 interrupts it (payload/attacks_guest.c).
LONG_TEXT = bytes(ord(" ") + i * 7 % 90 if i % 64 else ord("\n") for i in range(0x2000))
_MACHINE = '[[machine]]\nname = "m{0}"\n[[machine.guest]]\nname = "a{0}"\n[[machine.guest]]\nname = "b{0}"\n'
_BYSTANDER = '[[machine]]\nname = "calm"\ninterceptor = "memory"\n[[machine.guest]]\nname = "bystander"\n'


@functools.cache
def build() -> Path:
    """Build the payload, if it is not up to date."""
    folder = Path(__file__).parent / "payload"
    done = subprocess.run(
        ["make", "-s", "-C", str(folder), f"OUT={PAYLOAD.parent}"], capture_output=True, check=False
    )
    if done.returncode:
        raise AssertionError(f"the payload does not compile:\n{done.stderr.decode()}")
    return PAYLOAD


@dataclass(frozen=True)
class Report:
    """What L1 said, line by line, and what its consoles carried."""

    lines: list[str]
    consoles: dict[str, bytes]
    log: str

    def value(self, key: str) -> str:
        """Return what L1 has said last about `key`."""
        found = [line.removeprefix(f"{key}=") for line in self.lines if line.startswith(f"{key}=")]
        assert found, f"L1 said nothing of {key!r}; it said: {self.lines}"
        return found[-1]

    def number(self, key: str) -> int:
        """Return the decimal number that L1 has said last about `key`."""
        return int(self.value(key))

    @property
    def exits(self) -> list[int]:
        """EXITINFO1 of each IOIO exit that L1 has got."""
        return [int(info, 16) for line in self.lines for info in re.findall(r"\bioio=([0-9a-f]+)", line)]

    def stat(self, name: str) -> int:
        """Return a counter of the native half, as the server logged it when QEMU ended."""
        found = re.findall(rf"native half away.* {name}=(\d+)", self.log)
        assert found, f"the log says nothing of {name!r}:\n{self.log}"
        return int(found[-1])


class HostileL1(Expect):
    """QEMU, which runs the payload. L1's own serial port is on its standard input and output."""

    def __init__(self, command: list[str], server: Server, number: int) -> None:
        super().__init__(command)
        self.number = number
        self._server = server

    def console(self, name: str) -> Expect:
        """Return an ssh client at console `a` or `b` of this machine."""
        return self._server.attach(f"{name}{self.number}", merge_stderr=False)

    def finish(self, timeout: float) -> Report:
        """Wait until the attack is over. Returns what was said and printed."""
        self.expect(rb"done=1\r?\n", timeout=timeout, fail=rb"died=[^\n]*\n")
        assert self.wait(10) == DONE
        with Expect(["tail", "-n", "+1", "-f", str(self._server.log)]) as log:
            log.expect(rf"native half away[^\n]*\bm{self.number}\b[^\n]*\n", timeout=10)
        return Report(
            report_lines(bytes(self.seen)),
            {name: printed_on(self._server, f"{name}{self.number}") for name in "ab"},
            "".join(
                line
                for line in self._server.log.read_text().splitlines(True)
                if re.search(rf"\bm{self.number}\b", line)
            ),
        )


def report_lines(said: bytes) -> list[str]:
    """Return what L1 has said, line by line."""
    return said.decode(errors="replace").replace("\r", "").splitlines()


def printed_on(server: Server, console: str) -> bytes:
    """Return everything that is kept of a console's output."""
    return server.run("attach", "--from-start", console).stdout


def machine(attack: str, module: Path | None, smp: int, memory: int, options: Mapping[str, int]) -> list[str]:
    """Return QEMU's command line, without serial ports and without the plugin."""
    words = [f"attack={attack}", *(f"{name}={value}" for name, value in options.items())]
    # Whatever becomes of us, QEMU ends with us.
    command = ["setpriv", "--pdeathsig", "TERM", str(qemu()), "-accel", "tcg,thread=multi"]
    command += ["-cpu", "qemu64,+svm,+npt,+cr8legacy", "-smp", str(smp), "-m", str(memory)]
    command += ["-nodefaults", "-no-reboot", "-display", "none"]
    command += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-kernel", str(build())]
    return [*command, "-append", " ".join(words), *(["-initrd", str(module)] if module else [])]


class Adversary:
    """A server with many machines to attack, and one that has nothing to do with it."""

    def __init__(self) -> None:
        machines = "".join(_MACHINE.format(n) for n in range(1, MACHINES + 1))
        self.server = Server(machines + _BYSTANDER, settings="tail_lines = 10000")
        self._numbers = itertools.count(1)
        self._exit = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.server)
            self.bystander = stack.enter_context(self.server.attach("bystander"))
            self.settings = load(self.server.config)
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._exit.__exit__(kind, error, tb)

    @contextlib.contextmanager
    def boot(
        self, attack: str, *, module: Path | None = None, smp: int = 1, memory: int = 64, **options: int
    ) -> Iterator[HostileL1]:
        """Start an attack; at the end, see that the bystander's console still answers.

        Args:
            attack: its name in the payload.
            module: a file that the payload finds in its memory.
            smp: vCPUs of L1.
            memory: of L1, in MiB.
            options: `name=number` for the payload.
        """
        number = next(self._numbers)
        command = [*machine(attack, module, smp, memory, options), "-serial", "stdio", *self._plugin(number)]
        with HostileL1(command, self.server, number) as l1:
            yield l1
        self.see_that_others_go_on()

    def run(
        self,
        attack: str,
        *,
        module: Path | None = None,
        smp: int = 1,
        memory: int = 64,
        timeout: float = BOOT_SECONDS,
        **options: int,
    ) -> Report:
        """Start an attack, and wait until it is over."""
        with self.boot(attack, module=module, smp=smp, memory=memory, **options) as l1:
            return l1.finish(timeout)

    def _plugin(self, number: int) -> list[str]:
        machine = self.settings.machine(f"m{number}")
        assert machine is not None, "MACHINES is too small"
        return qemu_options(machine.name, self.settings.socket_of(machine), PLUGIN, places_of(machine))

    def see_that_others_go_on(self) -> None:
        """Type at another machine's console, and wait for its echo."""
        word = secrets.token_hex(8)
        self.bystander.send(word)
        self.bystander.expect(word, timeout=5)
