"""Who typed what, as far as the guest showed it: what a guest does not echo (a password) is only counted. Pure.

A line is recorded as text only if each of its bytes was echoed, in order, with nothing between, in `ECHO_SECONDS`.
Anything else in its place, an asterisk or a kernel message, and the line is recorded as a number of bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from oobconsole.access import Principal

#: How long after a key its echo may come, in seconds. Later output is not taken for the echo.
ECHO_SECONDS: Final = 2.0
#: A line that its typist does not end is recorded as far as it was echoed.
LINE_SECONDS: Final = 60.0
#: Typed bytes that wait for their echo or the end of their line; a line beyond it is counted.
WAITING_MAX: Final = 4096
LINES_MAX: Final = 64
_ENDS: Final = b"\r\n\x03\x04\x1a\x1c"  # Enter, and what makes a terminal drop or end a line


@dataclass(slots=True)
class _Line:
    who: Principal | None
    at: float
    latest: float
    size: int = 0
    typed: bytearray = field(default_factory=bytearray)  # empty again once it is certain that it is not recorded
    echoed: int = 0
    secret: bool = False
    ended: bool = False

    @property
    def waits(self) -> bool:
        """Whether bytes of the line still wait for their echo."""
        return not self.secret and self.echoed < len(self.typed)

    def hide(self) -> None:
        """Forget what was typed: it was not echoed, so that only its length may be recorded."""
        self.secret = True
        self.typed.clear()


def _echoes(byte: int) -> tuple[bytes, ...]:
    """Return the echoes with which Linux's line discipline and readline may answer a key."""
    if byte in b"\r\n":
        return (b"\r", b"\n")  # a line feed behind a return is skipped
    if byte in b"\x08\x7f":
        return (b"\b \b", b"\b\x1b[K")
    if byte < 0x20:
        return (bytes((ord("^"), byte ^ 0x40)),)
    return (bytes((byte,)),)


#: Time (since 1970, s), who, and the text, or how many bytes were not echoed.
Record = Callable[[float, Principal | None, "str | int"], object]


class Keystrokes:
    """Compares what is typed with what the guest prints.

    Args:
        record: told of every line, when it is known what it is.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._lines: deque[_Line] = deque()
        self._partial = b""  # of an echo of more than one byte
        self._waiting = 0
        self._returned = False  # the last echo was a return

    def typed(self, data: bytes, who: Principal | None, now: float) -> None:
        """Somebody typed `data`. `now` is in seconds of a clock that never goes back."""
        self.expire(now)
        for byte in data:
            line = self._line_of(who, now)
            line.size += 1
            line.latest = now
            line.ended = byte in _ENDS
            if self._waiting >= WAITING_MAX:
                self._hide(line)
            if not line.secret:
                line.typed.append(byte)
                self._waiting += 1
        self._finish()

    def output(self, data: bytes, now: float) -> None:
        """The guest printed `data`, which may be the echo of what was typed. `now` is as in `typed`."""
        if not self._lines:
            return
        self.expire(now)
        for byte in data:
            line = next((line for line in self._lines if line.waits), None)
            if line is None:
                break
            self._compare(line, byte)
        self._finish()

    def expire(self, now: float) -> None:
        """Give up what waits for too long. To be called now and then while `pending`."""
        for line in tuple(self._lines):
            if line.waits and now - line.latest > ECHO_SECONDS:
                self._hide_all()
            elif not line.waits and now - line.latest > LINE_SECONDS:
                line.ended = True
        self._finish()

    @property
    def pending(self) -> bool:
        """Whether typed text waits that is not recorded yet."""
        return bool(self._lines)

    def close(self) -> None:
        """Record the lines that are still waiting, as far as they were echoed."""
        self._hide_all()
        for line in self._lines:
            line.ended = True
        self._finish()

    def _line_of(self, who: Principal | None, now: float) -> _Line:
        if self._lines and not self._lines[-1].ended:
            if self._lines[-1].who == who:
                return self._lines[-1]
            self._lines[-1].ended = True
        if len(self._lines) >= LINES_MAX:
            self._hide_all()
            self._finish()
        self._lines.append(_Line(who, now, now))
        return self._lines[-1]

    def _compare(self, line: _Line, byte: int) -> None:
        returned, self._returned = self._returned, byte == ord("\r")
        if returned and byte == ord("\n"):
            return
        self._partial += bytes((byte,))
        wanted = _echoes(line.typed[line.echoed])
        if self._partial in wanted:
            line.echoed += 1
            self._partial = b""
        elif not any(echo.startswith(self._partial) for echo in wanted):
            self._hide_all()

    def _hide(self, line: _Line) -> None:
        self._waiting -= len(line.typed)
        line.hide()

    def _hide_all(self) -> None:
        """Something else came in the place of an echo: nothing typed so far can be told from a password."""
        self._partial = b""
        for line in self._lines:
            if line.waits:
                self._hide(line)

    def _finish(self) -> None:
        while self._lines and self._lines[0].ended and not self._lines[0].waits:
            line = self._lines.popleft()
            self._waiting -= len(line.typed)
            text = line.size if line.secret else line.typed.decode("utf-8", "replace")
            self._record(line.at, line.who, text)
