"""A guest that is a real program on a pseudo-terminal, behind a UNIX socket as QEMU's chardevs are."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.pace import scaled


class PtyGuest:
    """Listens at `path`; once somebody has connected and the test says so, runs the program; carries bytes both ways.

    Args:
        command: the program; None: there is none, and what the guest prints is what `prints` is told.
        rows, columns: of the terminal that the program has.

    Attributes:
        printed: every byte of its output so far.
        received: every byte of its input so far.
    """

    def __init__(
        self,
        path: Path,
        command: Sequence[str] | None = None,
        *,
        rows: int = 24,
        columns: int = 80,
        term: str = "xterm",
    ) -> None:
        self.printed = bytearray()
        self.received = bytearray()
        self._command = command
        self._size = rows, columns
        self._term = term
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._connection: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._stop_read, self._stop_write = os.pipe()
        self._connected = threading.Event()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        os.write(self._stop_write, b".")
        self._begun.set()
        self._thread.join()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):  # it has not got as far as to have a group of its own
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
            self._process.wait()
        for end in (self._connection, self._listener):
            if end is not None:
                end.close()
        os.close(self._stop_read)
        os.close(self._stop_write)

    def begin(self) -> None:
        """Start the program."""
        self._begun.set()

    def prints(self, data: bytes) -> None:
        """Print, as a program would."""
        assert self._connected.wait(scaled(30)), "nobody has connected"
        assert self._connection is not None
        self.printed += data
        self._connection.sendall(data)

    def _serve(self) -> None:
        if self._stopped([self._listener]):
            return
        self._connection, _ = self._listener.accept()
        self._connected.set()
        if self._command:
            self._begun.wait()
        master = self._start() if self._command else -1
        ends = [end for end in (self._connection.fileno(), master) if end >= 0]
        while not self._stopped(ends):
            for end in select.select(ends, [], [], 0)[0]:
                if not self._carry(end, master):
                    ends.remove(end)
        if master >= 0:
            os.close(master)

    def _carry(self, end: int, master: int) -> bool:
        assert self._connection is not None
        try:
            data = os.read(end, 4096)
        except OSError:
            return False  # the program has ended
        if end == master:
            self.printed += data
            self._connection.sendall(data)
        else:
            self.received += data
            if master >= 0:
                os.write(master, data)
        return bool(data)

    def _stopped(self, ends: Sequence[socket.socket | int]) -> bool:
        return self._stop_read in select.select([self._stop_read, *ends], [], [])[0]

    def _start(self) -> int:
        assert self._command is not None
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *self._size, 0, 0))
        environment = {**os.environ, "TERM": self._term, "LC_ALL": "C.UTF-8", "COLUMNS": "", "LINES": ""}
        del environment["COLUMNS"], environment["LINES"]
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *self._command], stdin=slave, stdout=slave, stderr=slave, env=environment
        )
        os.close(slave)
        return master
