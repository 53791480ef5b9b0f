"""The escape keys of an interactive session, as OpenSSH's: recognized at the start of a line. Sans I/O."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple


class Command(Enum):
    """What a user asks of the session rather than of the guest: the key after the prefix."""

    HELP = b"?"
    DETACH = b"."
    BREAK = b"b"
    SYSRQ = b"s"
    WHO = b"w"
    MESSAGE = b"m"
    ROLE = b"r"
    POWER = b"p"
    LAST = b"l"
    SIZE = b"z"


#: OpenSSH's client answers `~?` itself, so there is another key for help.
_COMMANDS: Final = {ord("h"): Command.HELP} | {command.value[0]: command for command in Command}
_LINE_ENDS: Final = b"\r\n"
_ESC: Final = 0x1B
_PARAMETERS: Final = b"0123456789;?"
#: What a terminal types by itself when the guest asks it, as many shells do before each line: CSI and one of these
#: (ECMA-48: CPR, DA, DSR).
REPORTS: Final = b"Rcn"


class Typed(NamedTuple):
    """What was typed, up to the first command.

    Attributes:
        guest: goes to the guest.
        command: was completed behind that.
        rest: stands behind the command, not looked at yet.
    """

    guest: bytes
    command: Command | None
    rest: bytes


class _Report(Enum):
    """How much of what may become a terminal's report has come."""

    NONE = 0
    ESC = 1
    CSI = 2


class EscapeFilter:
    """Splits what a user types into bytes for the guest and commands for us.

    The prefix counts only after a line end or at the very beginning, terminal reports between them not counted.
    Behind it, its own last character sends the prefix, and any key that is no command is sent with it. Keys may come
    split over any number of packets.

    Args:
        prefix: of every command, one or more characters; empty: there are none.
    """

    def __init__(self, prefix: bytes = b"~") -> None:
        self._prefix = prefix
        self._line_start = True
        self._matched = 0  # bytes of the prefix, held back
        self._report = _Report.NONE
        self._line_start_before = True  # the report

    def feed(self, data: bytes) -> Typed:
        """Look at what was typed, up to the first command that it completes."""
        if self._is_plain(data):
            self._line_start = data[-1:] in (b"\r", b"\n")
            return Typed(data, None, b"")
        plain = bytearray()
        for at, byte in enumerate(data):
            command = self._take(byte, plain)
            if command is not None:
                return Typed(bytes(plain), command, data[at + 1 :])
        return Typed(bytes(plain), None, b"")

    def _is_plain(self, data: bytes) -> bool:
        held = self._matched or self._report is not _Report.NONE
        first = self._prefix[:1]
        return bool(data) and not held and not (first and first in data) and _ESC not in data

    def _take(self, byte: int, plain: bytearray) -> Command | None:
        prefix = self._prefix
        if self._matched and self._matched == len(prefix):
            self._matched = 0
            if byte in _COMMANDS:
                self._line_start = True
                return _COMMANDS[byte]
            plain += prefix
            self._line_start = False
            if byte == prefix[-1]:
                return None
        elif self._line_start and prefix and byte == prefix[self._matched]:
            self._matched += 1
            return None
        elif self._matched:
            plain += prefix[: self._matched]
            self._matched = 0
            self._line_start = False
        plain.append(byte)
        self._line_start = self._is_line_start_after(byte)
        return None

    def _is_line_start_after(self, byte: int) -> bool:
        report, self._report = self._report, _Report.NONE
        if byte == _ESC:
            self._report, self._line_start_before = _Report.ESC, self._line_start
        elif (report is _Report.ESC and byte == 0x5B) or (report is _Report.CSI and byte in _PARAMETERS):
            self._report = _Report.CSI
        elif report is _Report.CSI and byte in REPORTS:
            return self._line_start_before
        return byte in _LINE_ENDS
