"""Standard input and output that another program may have made non-blocking.

O_NONBLOCK belongs to the open file and not to a process. A program that shares the file with us (node, ansible, an
ssh, a CI runner) may set it at any time, and clearing it would break that program. So we wait if the file is full or
empty (write(2), EAGAIN).
"""

from __future__ import annotations

import io
import os
import select
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class CannotWrite(OSError):
    """Standard output or error cannot be written, for example because a disk is full, or a terminal has hung up."""

    def __str__(self) -> str:
        return f"{_NAMES.get(self.filename, self.filename)} cannot be written: {self.strerror}"


_NAMES: Final = {1: "standard output", 2: "standard error"}


def write(descriptor: int, data: ReadableBuffer) -> None:
    """Write all bytes, and wait for the reader if necessary. Raises `BrokenPipeError` if the reader is gone, and
    `CannotWrite` for other errors."""
    rest = memoryview(data).cast("B")
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            _wait(descriptor, select.POLLOUT)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise CannotWrite(error.errno, error.strerror, descriptor) from error


def read(descriptor: int, size: int) -> bytes:
    """Wait for input, and return at most `size` bytes of it. Empty: the input has ended. Raises `OSError`."""
    while True:
        try:
            return os.read(descriptor, size)
        except BlockingIOError:
            _wait(descriptor, select.POLLIN)


def _wait(descriptor: int, event: int) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    poll.poll()


class _Patient(io.RawIOBase):
    """A file that writes to a descriptor by `write`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        write(self._descriptor, data)
        return memoryview(data).nbytes


def give_up() -> None:
    """Send the rest of standard output to /dev/null, so that it causes no second error."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def make_patient() -> None:
    """Make `sys.stdout` and `sys.stderr` wait for their reader. Python's own raise BlockingIOError, and lose the
    bytes that were not written."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # it was closed by whoever started us
            continue
        patient = io.BufferedWriter(_Patient(stream.fileno()))
        kept = {"encoding": stream.encoding, "errors": stream.errors, "line_buffering": stream.line_buffering}
        setattr(sys, name, io.TextIOWrapper(patient, **kept))
