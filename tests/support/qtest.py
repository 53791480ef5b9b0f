"""QEMU's own `isa-serial`, driven through the qtest protocol: the oracle of our UART."""

from __future__ import annotations

import fcntl
import socket
import subprocess
import sys
import tempfile
import termios
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.stack.nested import qemu
from tests.support.expect import wait_for
from tests.support.pace import Deadline, scaled

COM1: Final = 0x3F8
LINE: Final = 4
PATIENCE: Final = 20.0  # seconds
HARMLESS_READ: Final = "inb 0x80"


class QtestSerial:
    """One QEMU with nothing but an isa-serial. Its far side, clock and interrupt line are in our hands.

    Attributes:
        irq_level: the present level of the interrupt line.
        rises: how often the line went from low to high.
    """

    def __init__(self) -> None:
        self.irq_level = False
        self.rises = 0
        with ExitStack() as resources:
            folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="oob-")))
            listeners = [self._listen(resources, folder / name) for name in ("qtest", "line")]
            process = self._start(folder)
            resources.callback(wait_for, process, PATIENCE)
            resources.callback(process.terminate)
            self._qtest, self._line = (resources.enter_context(listener.accept()[0]) for listener in listeners)
            self._qtest.settimeout(scaled(PATIENCE))
            self._answers = resources.enter_context(self._qtest.makefile("rb"))
            self._command("irq_intercept_in ioapic")
            self._command("outb 0x43 0x30")  # PIT counter 0 waits for a count: no timer interrupts
            self._resources = resources.pop_all()

    @staticmethod
    def _listen(resources: ExitStack, path: Path) -> socket.socket:
        listener = resources.enter_context(socket.socket(socket.AF_UNIX))
        listener.settimeout(scaled(PATIENCE))
        listener.bind(str(path))
        listener.listen(1)
        return listener

    @staticmethod
    def _start(folder: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(str(qemu()), "-machine", "pc", "-accel", "qtest", "-display", "none", "-nodefaults", "-m", "16"),
                *("-qtest", f"unix:{folder / 'qtest'}", "-qtest-log", "none"),
                *("-chardev", f"socket,id=line,path={folder / 'line'}", "-device", "isa-serial,chardev=line"),
            ],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._resources.close()

    def read(self, offset: int) -> int:
        """Read a register, as `inb` does."""
        return int(self._command(f"inb {COM1 + offset:#x}"), 16)

    def read_all(self, offsets: list[int]) -> list[int]:
        """Read several registers, as `inb` does, in one turn."""
        self._send(*(f"inb {COM1 + offset:#x}" for offset in offsets))
        return [int(self._answer(), 16) for _ in offsets]

    def write(self, offset: int, value: int) -> None:
        """Write to a register, as `outb` does."""
        self._command(f"outb {COM1 + offset:#x} {value:#x}")

    def step(self, ns: int) -> None:
        """Let QEMU's virtual clock advance by so many ns. Otherwise it stands still."""
        self._command(f"clock_step {ns}")

    def receive(self, data: bytes) -> None:
        """Put bytes on the line that the UART has room for, and wait until it has taken them."""
        self._line.sendall(data)
        deadline = Deadline(PATIENCE)
        while self._unread():
            self._command(HARMLESS_READ)
            if not deadline.left:
                raise AssertionError(f"QEMU's UART did not take {len(data)} bytes for which ours has room")
        self._command(HARMLESS_READ)  # when this is answered, the UART has received what QEMU has read

    def _unread(self) -> int:
        """Return 0 when QEMU has read all that was sent (SIOCOUTQ of unix(7))."""
        return int.from_bytes(fcntl.ioctl(self._line, termios.TIOCOUTQ, bytes(4)), sys.byteorder)

    def transmitted(self) -> bytes:
        """Return what the UART has put on the line since the last call. It is there when `outb` is answered."""
        try:
            return self._line.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""

    def _command(self, text: str) -> str:
        self._send(text)
        return self._answer()

    def _send(self, *commands: str) -> None:
        self._qtest.sendall("".join(f"{command}\n" for command in commands).encode())

    def _answer(self) -> str:
        """Return what follows the next OK. Changes of the interrupt line on the way are noted."""
        while True:
            line = self._answers.readline().decode().strip()
            words = line.split()
            if not words or words[0] == "FAIL":
                raise AssertionError(f"qtest answered {line!r}")
            if words[0] != "IRQ":
                return " ".join(words[1:])
            if int(words[2]) == LINE:
                self.irq_level = words[1] == "raise"
                self.rises += self.irq_level
