"""A child process on a terminal of its own, as a person has it: a real pseudo-terminal, and a screen to look at."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Sequence

import pyte

from tests.support.expect import Expect, ExpectError
from tests.support.pace import Deadline


class Terminal(Expect):
    """An `Expect` that is typed at and read through a pseudo-terminal.

    Args:
        command: what to run; the terminal is its controlling one.
        rows, columns: size of the terminal.
        term: TERM; `dumb` gets our own lines between the guest's, where bytes can be compared.
    """

    def __init__(self, command: Sequence[str], *, rows: int = 24, columns: int = 80, term: str = "xterm") -> None:
        self.seen = bytearray()
        self.told = bytearray()
        self._at = 0
        self._told_at = 0
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self._drawn = 0
        self._master, slave = pty.openpty()
        _set_size(slave, rows, columns)
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": term},
        )
        os.close(slave)

    @property
    def lines(self) -> list[str]:
        """The rows that the screen shows."""
        self._draw()
        return [line.rstrip() for line in self.screen.display]

    def send(self, data: bytes | str) -> None:
        """Type, while reading what comes back."""
        rest = data.encode() if isinstance(data, str) else data
        while rest:
            readable, writable, _ = select.select([self._master], [self._master], [])
            if readable:
                self._read(0)
            if writable:
                rest = rest[os.write(self._master, rest[:512]) :]

    def resize(self, rows: int, columns: int) -> None:
        """Change the terminal's size, as a window manager does."""
        self._draw()
        self.screen.resize(rows, columns)
        _set_size(self._master, rows, columns)

    def stop(self) -> None:
        """Stop the process (SIGSTOP): it reads and answers nothing."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let the process run again (SIGCONT)."""
        os.kill(self._process.pid, signal.SIGCONT)

    def expect_screen(self, pattern: str, *, timeout: float) -> None:
        """Wait until a line of the screen matches.

        Raises:
            ExpectError: the time was up, or the child ended; with the screen as it was.
        """
        deadline = Deadline(timeout)
        while not any(re.search(pattern, line) for line in self.lines):
            left = deadline.left
            if not left or not self._read(left):
                screen = "\n".join(self.lines)
                raise ExpectError(f"{pattern!r} did not come on the screen in {deadline}:\n{screen}")

    def insist_on_screen(self, keys: bytes | str, pattern: str, *, timeout: float, every: float) -> None:
        """Type `keys` again and again, every so many seconds, until a line of the screen matches.

        Raises:
            ExpectError: as `expect_screen` does.
        """
        deadline = Deadline(timeout)
        while True:
            self.send(keys)
            again = time.monotonic() + every
            while (left := again - time.monotonic()) > 0:
                if any(re.search(pattern, line) for line in self.lines):
                    return
                if not self._read(left):
                    break
            if not deadline.left:
                break
        screen = "\n".join(self.lines)
        raise ExpectError(f"{pattern!r} did not come in {deadline}, though {keys!r} was typed again:\n{screen}")

    def rest(self, seconds: float) -> None:
        """Wait until nothing has come for so many seconds."""
        quiet = time.monotonic() + seconds
        before = len(self.seen)
        while (left := quiet - time.monotonic()) > 0 and self._read(left):
            if len(self.seen) != before:
                quiet, before = time.monotonic() + seconds, len(self.seen)

    def coloured(self, foreground: str, background: str) -> str:
        """Return what the screen shows in these two colours (pyte's names), from its first such row."""
        self._draw()
        for row in range(self.screen.lines):
            cells = [self.screen.buffer[row][column] for column in range(self.screen.columns)]
            text = "".join(cell.data for cell in cells if (cell.fg, cell.bg) == (foreground, background)).strip()
            if text:
                return text
        return ""

    @property
    def pid(self) -> int:
        """The process id of the child."""
        return self._process.pid

    def modes(self) -> list[object]:
        """Return how the terminal is set (termios(3))."""
        return termios.tcgetattr(self._master)

    def close(self) -> None:
        """End the child."""
        if self._process.poll() is None:
            self.go_on()
            self._process.kill()
        self._process.wait()
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def _read(self, timeout: float) -> bool:
        if not select.select([self._master], [], [], timeout)[0]:
            return True
        try:
            data = os.read(self._master, 1 << 16)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return False  # this is how Linux says that nobody has the other side open
        self.seen += data
        return bool(data)

    def _draw(self) -> None:
        """Draw what has come. This is only done when somebody looks, because pyte takes its time."""
        self._stream.feed(bytes(self.seen[self._drawn :]))
        self._drawn = len(self.seen)


def _set_size(descriptor: int, rows: int, columns: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
