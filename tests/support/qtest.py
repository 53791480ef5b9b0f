"""QEMU's own `isa-serial`, driven through the qtest protocol: the oracle of our UART."""

from __future__ import annotations

import fcntl
import socket
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.stack.nested import qemu

COM1 = 0x3F8
LINE = 4


class QtestSerial:
    """One QEMU with nothing but an isa-serial, whose far side, clock and interrupt line are in our hands."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="oob-")
        qtest_path, line_path = (Path(self._folder.name) / name for name in ("qtest", "line"))
        listeners = [self._listen(path) for path in (qtest_path, line_path)]
        self._process = subprocess.Popen(
            [
                *(str(qemu()), "-machine", "pc", "-accel", "qtest", "-display", "none", "-nodefaults", "-m", "16"),
                *("-qtest", f"unix:{qtest_path}", "-qtest-log", "none"),
                *("-chardev", f"socket,id=line,path={line_path}", "-device", "isa-serial,chardev=line"),
            ],
        )
        (qtest, _), (self._line, _) = (listener.accept() for listener in listeners)
        for listener in listeners:
            listener.close()
        qtest.settimeout(20)
        self._file = qtest.makefile("rwb", buffering=0)
        self._qtest = qtest
        self.irq_level = False
        self._command("irq_intercept_in ioapic")
        self._command("outb 0x43 0x30")  # PIT counter 0 waits for a count: no timer interrupts

    @staticmethod
    def _listen(path: Path) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.settimeout(20)
        listener.bind(str(path))
        listener.listen(1)
        return listener

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._file.close()
        self._qtest.close()
        self._line.close()
        self._folder.cleanup()

    def read(self, offset: int) -> int:
        """`inb`."""
        return int(self._command(f"inb {COM1 + offset:#x}"), 16)

    def write(self, offset: int, value: int) -> None:
        """`outb`."""
        self._command(f"outb {COM1 + offset:#x} {value:#x}")

    def step(self, ns: int) -> None:
        """Let QEMU's virtual clock, which stands still otherwise, advance."""
        self._command(f"clock_step {ns}")

    def receive(self, data: bytes) -> None:
        """Put bytes on the line that the UART has room for, and wait until it has taken them."""
        self._line.sendall(data)
        deadline = time.monotonic() + 10
        while self._unread():
            self._command("inb 0x80")
            if time.monotonic() > deadline:
                raise AssertionError(f"QEMU's UART did not take {len(data)} bytes for which ours has room")
        self._command("inb 0x80")  # what was read from the socket has been received when this is answered

    def _unread(self) -> int:
        """Not 0 while QEMU has not read all that was sent (SIOCOUTQ of unix(7))."""
        return int.from_bytes(fcntl.ioctl(self._line, termios.TIOCOUTQ, bytes(4)), sys.byteorder)

    def transmitted(self, count: int) -> bytes:
        """The next `count` bytes that the UART put on the line."""
        data = b""
        self._line.settimeout(5)
        while len(data) < count:
            data += self._line.recv(count - len(data))
        return data

    def _command(self, text: str) -> str:
        """Send a command; returns what follows OK. Interrupt changes on the way are noted."""
        self._file.write(text.encode() + b"\n")
        while True:
            line = self._file.readline().decode().strip()
            words = line.split()
            if not words or words[0] == "FAIL":
                raise AssertionError(f"qtest: {text!r} was answered {line!r}")
            if words[0] != "IRQ":
                return " ".join(words[1:])
            if int(words[2]) == LINE:
                self.irq_level = words[1] == "raise"
