"""Compares what is typed with what the guest prints, so that passwords are not recorded. Pure.

A line that was typed is recorded as text only if the guest has echoed each of its bytes, in order, with nothing in
between, within `ECHO_SECONDS`. If anything else comes in the place of an echo, such as an asterisk or a message of
the kernel, only the number of bytes is recorded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from oobconsole.access import Principal

#: How long after a key its echo may come, in seconds. Later output is not taken for the echo.
ECHO_SECONDS: Final = 2.0
#: After how many seconds a line that nobody ends is recorded as far as it was echoed.
LINE_SECONDS: Final = 60.0
#: How many typed bytes may wait for their echo or for the end of their line, and in how many lines. Of a line beyond
#: that only the length is recorded.
WAITING_MAX: Final = 4096
LINES_MAX: Final = 64
_ENDS: Final = b"\r\n\x03\x04\x1a\x1c"  # Enter, and what makes a terminal drop or end a line


@dataclass(slots=True)
class _Line:
    who: Principal | None
    at: float
    latest: float
    size: int = 0
    typed: bytearray = field(default_factory=bytearray)  # emptied once it is certain that the text is not recorded
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


#: Is told when the line began (by the clock of `now`, in seconds), who typed it, and the text, or how many bytes were
#: not echoed.
Record = Callable[[float, Principal | None, "str | int"], object]


class Keystrokes:
    """Compares what is typed with what the guest prints.

    Args:
        record: told of every line, once it is known whether it is recorded as text.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._lines: deque[_Line] = deque()
        self._partial = b""  # the bytes of an echo that has more than one, and has not come as a whole
        self._waiting = 0  # how many typed bytes are kept
        self._returned = False  # whether the guest's last byte was a return

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
        if self._lines and self._lines[0].ended:
            self._finish()

    def output(self, data: bytes, now: float) -> None:
        """The guest printed `data`, which may be the echo of what was typed. `now` is as in `typed`."""
        if not self._lines:
            return
        self.expire(now)
        for byte in data:
            line = self._first_that_waits()
            if line is None:
                break
            self._compare(line, byte)
        if self._lines[0].ended:
            self._finish()

    def expire(self, now: float) -> None:
        """Give up what has waited for too long. The caller calls this now and then while `pending`."""
        if not self._lines or now - self._lines[0].latest <= ECHO_SECONDS:
            return  # the first line is the oldest one
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
            former = self._lines[-1].who
            if former is who or former == who:  # almost always it is the same object, which is compared at once
                return self._lines[-1]
            self._lines[-1].ended = True
        if len(self._lines) >= LINES_MAX:
            self._hide_all()
            self._finish()
        self._lines.append(_Line(who, now, now))
        return self._lines[-1]

    def _first_that_waits(self) -> _Line | None:
        """Return the line whose echo comes next. None: no line waits for an echo."""
        for line in self._lines:
            if line.waits:
                return line
        return None

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
        """Record only the length of what was typed so far: something else came in the place of an echo, so it may be
        a password."""
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
