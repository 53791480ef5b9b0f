"""Writes log lines to a descriptor that may be slow, full or closed. Whoever logs never waits, and gets no error.

A thread writes. What it cannot write is counted, and the next line that can be written is preceded by one that says
how many lines are missing, and why.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import stat
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

#: How many bytes may wait for the thread; lines beyond that are lost.
WAITING_MAX: Final = 1 << 20
#: How many seconds the end of the process waits for the thread.
CLOSE_SECONDS: Final = 1.0
_SLOW: Final = "nobody took them in time"


def append(descriptor: int) -> None:
    """Make a file be written at its end (open(2), O_APPEND), even if it was opened without that flag, as by `2>
    FILE`.

    Why? After logrotate's `copytruncate` has cut the file, each line would otherwise go to the offset at which the
    file was before, behind as many zero bytes. A descriptor that is not a file's is left as it is.
    """
    with contextlib.suppress(OSError):  # then the file is written as it was opened
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_APPEND)


class _Line(NamedTuple):
    """Bytes to write. `untold` is how many lost lines this line tells of; 0 for any other line."""

    data: bytes
    untold: int = 0


class LogSink:
    """A text stream for loggers, which a thread of its own writes.

    Args:
        descriptor: is written to, and never closed.
        tell: makes the line that says how many lines were lost, and why.

    Attributes:
        lost: how many lines were lost so far.
    """

    def __init__(self, descriptor: int, tell: Callable[[int, str], str]) -> None:
        self.lost = 0
        self._descriptor = descriptor
        self._tell = tell
        self._waiting: deque[_Line] = deque()
        self._bytes = 0
        self._untold = 0
        self._why = _SLOW
        self._torn = False  # a line's end could not be written
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        """Queue a line for the thread; returns its length at once, as a text stream does. Never raises."""
        data = text.encode("utf-8", "backslashreplace")
        with self._changed:
            if self._bytes + len(data) > WAITING_MAX:
                self._lose(_Line(data), _SLOW)
            else:
                self._tell_of_loss()
                self._add(_Line(data))
        return len(text)

    def flush(self) -> None:
        """Do nothing: the thread writes each line as soon as it can."""

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Write what waits, for `seconds` at most, and end the thread."""
        with self._changed:
            self._tell_of_loss()
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)

    def _tell_of_loss(self) -> None:
        if self._untold:
            untold, self._untold = self._untold, 0
            self._add(_Line(self._tell(untold, self._why).encode("utf-8", "backslashreplace"), untold))

    def _add(self, line: _Line) -> None:
        self._waiting.append(line)
        self._bytes += len(line.data)
        self._changed.notify()

    def _lose(self, line: _Line, why: str) -> None:
        self._untold += line.untold or 1
        self.lost += not line.untold
        self._why = why

    # -- the thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        while (line := self._next()) is not None:
            try:
                self._put(line.data)
            except OSError as error:
                with self._changed:
                    self._lose(line, error.strerror or str(error))

    def _next(self) -> _Line | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            if not self._waiting:
                return None
            line = self._waiting.popleft()
            self._bytes -= len(line.data)
            return line

    def _put(self, data: bytes) -> None:
        """Write all of `data`. If the end of the line before could not be written, begin a new line first."""
        data = b"\n" + data if self._torn else data
        while data:
            try:
                written = os.write(self._descriptor, data)
            except BlockingIOError:  # another process may have made the descriptor non-blocking
                select.select([], [self._descriptor], [])
                continue
            self._torn = True
            data = data[written:]
        self._torn = False
