"""Standard input and output that somebody else has made non-blocking.

O_NONBLOCK belongs to the open file and not to a process: node, ansible, an ssh or a CI runner that shares it with us
may set it at any time, and clearing it would break them. So whoever finds it full or empty waits (write(2), EAGAIN).
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
    """Standard output, or error, does not take what is written: a full disk, a terminal that hung up."""

    def __str__(self) -> str:
        return f"{_NAMES.get(self.filename, self.filename)} cannot be written: {self.strerror}"


_NAMES: Final = {1: "standard output", 2: "standard error"}


def write(descriptor: int, data: ReadableBuffer) -> None:
    """Write all of it, waiting for the reader. Raises `BrokenPipeError`: the reader is gone; or `CannotWrite`."""
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
    """Read at most `size` bytes, waiting for the first; empty at the end. Raises `OSError`."""
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
    """A descriptor that is written to as `write` does."""

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
    """What is still to be written to standard output goes nowhere: nobody fails by it once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def make_patient() -> None:
    """Have `sys.stdout` and `sys.stderr` wait: Python's own raise BlockingIOError and lose what was not written."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # it was closed by whoever started us
            continue
        patient = io.BufferedWriter(_Patient(stream.fileno()))
        kept = {"encoding": stream.encoding, "errors": stream.errors, "line_buffering": stream.line_buffering}
        setattr(sys, name, io.TextIOWrapper(patient, **kept))
