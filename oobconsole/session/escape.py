"""The escape keys of an interactive session, as OpenSSH's: recognized at the start of a line. Sans I/O.

A paste is never a command. Most terminals mark it (bracketed paste) when the guest has asked for that. Where they do
not, what came at once is looked at: nobody types several lines, or the name of a home directory (`~bob/`), within a
packet. So a command is the last thing of its packet, or what follows it there is what its question asks for. And a
letter counts only when no more is typed for a moment, so that `~bob/.profile` can be typed by hand, too.
"""

from __future__ import annotations

import re
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
    DRAW = b"d"


#: OpenSSH's client answers `~?` itself, so there is another key for help.
_COMMANDS: Final = {ord("h"): Command.HELP} | {command.value[0]: command for command in Command}
_LINE_ENDS: Final = b"\r\n"
_ESC: Final = 0x1B
_PARAMETERS: Final = b"0123456789;?"
#: What a terminal types by itself when the guest asks it, as many shells do before each line: CSI and one of these
#: (ECMA-48: CPR, DA, DSR).
REPORTS: Final = b"Rcn"
#: A letter that is followed by another key within so many seconds is none of our commands, but the guest's.
HOLD_SECONDS: Final = 0.4
#: A paste whose end did not come is over when nothing has come for so long, in seconds, and then a few keys do.
LOST_END_SECONDS: Final = 3.0
_FEW_KEYS: Final = 8
#: What comes at once and is longer was not typed, in bytes; a message may be sent by a program.
_BURST: Final = 64
_MESSAGE_BURST: Final = 512
_PASTE_PARAMETERS: Final = b"200"
_PASTE_END: Final = b"\x1b[201~"
_NAME: Final = re.compile(rb"[A-Za-z0-9._/\x80-\xff-]")
#: What a program may send at once with a command: the answers to its questions.
_ANSWERS: Final = {
    Command.SYSRQ: re.compile(rb"[^\r\n]"),
    Command.POWER: re.compile(rb"[^\r\n].?", re.DOTALL),
    Command.ROLE: re.compile(rb"[^\r\n]"),
    Command.SIZE: re.compile(rb"[^\r\n]"),
    Command.MESSAGE: re.compile(rb"[^\r\n\x1b\x03]*[\r\n\x1b\x03]"),
}


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
    Behind it, its own last character sends the prefix, and any key that is no command is sent with it.

    Args:
        prefix: of every command, one or more characters; empty: there are none.
    """

    def __init__(self, prefix: bytes = b"~") -> None:
        self._prefix = prefix
        self._line_start = True
        self._matched = 0  # bytes of the prefix, held back
        self._held: int | None = None  # the key of a command that is held back behind it
        self._report = _Report.NONE
        self._parameters = bytearray()  # of the control sequence that has begun
        self._line_start_before = True  # the report
        self._paste: bytes | None = None  # within one: the last bytes of it
        self._last = 0.0

    @property
    def holds(self) -> bool:
        """Is there a command that counts if nothing comes for `HOLD_SECONDS`?"""
        return self._held is not None

    def expire(self) -> Typed:
        """Nothing has come."""
        held, self._held, self._matched, self._line_start = self._held, None, 0, True
        return Typed(b"", None if held is None else _COMMANDS[held], b"")

    def feed(self, data: bytes, now: float = 0.0) -> Typed:
        """Look at what came at once, up to the first command that it completes; `now` is a monotonic time."""
        pause, self._last = now - self._last, now
        if self._paste is not None:
            if pause >= LOST_END_SECONDS and len(data) <= _FEW_KEYS:
                self._paste = None
            else:
                return self._pasted(data)
        if self._is_plain(data):
            self._line_start = data[-1:] in (b"\r", b"\n")
            return Typed(data, None, b"")
        return self._typed(data)

    def _is_plain(self, data: bytes) -> bool:
        held = self._matched or self._report is not _Report.NONE
        first = self._prefix[:1]
        return bool(data) and not held and not (first and first in data) and _ESC not in data

    def _pasted(self, data: bytes) -> Typed:
        """Within a paste: everything is the guest's, to its end and with it."""
        before = self._paste or b""
        end = (before + data).find(_PASTE_END)
        if end < 0:
            self._paste = (before + data)[1 - len(_PASTE_END) :]
            return Typed(data, None, b"")
        self._paste, self._line_start = None, False
        behind = end + len(_PASTE_END) - len(before)
        guest, command, rest = self.feed(data[behind:], self._last) if data[behind:] else Typed(b"", None, b"")
        return Typed(data[:behind] + guest, command, rest)

    def _typed(self, data: bytes) -> Typed:
        plain = bytearray()
        if self._held is not None and data:
            key, self._held = self._held, None
            if _NAME.match(data) or data[:1] in (b"\r", b"\n"):
                self._send_prefix(plain, key)
            else:
                self._line_start, self._matched = True, 0
                return Typed(b"", _COMMANDS[key], data)
        for at, byte in enumerate(data):
            if self._matched and self._matched == len(self._prefix) and byte in _COMMANDS:
                rest = data[at + 1 :]
                if self._is_alone(byte, data, at):
                    if not rest and (_is_letter(byte) or len(data) > _BURST):
                        self._held = byte
                        return Typed(bytes(plain), None, b"")
                    self._line_start, self._matched = True, 0
                    return Typed(bytes(plain), _COMMANDS[byte], rest)
                self._send_prefix(plain, byte)
                continue
            self._take(byte, plain)
            if self._paste is not None:
                guest, command, rest = self._pasted(data[at + 1 :])
                return Typed(bytes(plain) + guest, command, rest)
        return Typed(bytes(plain), None, b"")

    def _is_alone(self, key: int, data: bytes, at: int) -> bool:
        """Can this be a command by what came with it?"""
        rest = data[at + 1 :]
        if not rest:
            return True
        lines_before = data[:at].count(b"\r") + data[:at].count(b"\n")
        command = _COMMANDS[key]
        if len(data) > (_MESSAGE_BURST if command is Command.MESSAGE else _BURST) or lines_before > 1:
            return False
        if command in _ANSWERS:
            return bool(_ANSWERS[command].fullmatch(rest)) or not (_NAME.match(rest) or rest[:1] in (b"\r", b"\n"))
        if _is_letter(key) or command is Command.DETACH:
            behind = rest.lstrip(b"\r\n")
            return not behind or (behind == rest and not _NAME.match(rest))
        return True

    def _send_prefix(self, plain: bytearray, key: int) -> None:
        """It was no command."""
        plain += self._prefix + bytes((key,))
        self._matched = 0
        self._line_start = False

    def _take(self, byte: int, plain: bytearray) -> None:
        prefix = self._prefix
        if self._matched and self._matched == len(prefix):
            self._matched = 0
            plain += prefix
            self._line_start = False
            if byte == prefix[-1]:
                return
        elif self._line_start and prefix and byte == prefix[self._matched]:
            self._matched += 1
            return
        elif self._matched:
            plain += prefix[: self._matched]
            self._matched = 0
            self._line_start = False
        plain.append(byte)
        self._line_start = self._is_line_start_after(byte)

    def _is_line_start_after(self, byte: int) -> bool:
        report, self._report = self._report, _Report.NONE
        if byte == _ESC:
            self._report, self._line_start_before = _Report.ESC, self._line_start
        elif report is _Report.ESC and byte == 0x5B:
            self._report = _Report.CSI
            self._parameters.clear()
        elif report is _Report.CSI and byte in _PARAMETERS:
            self._report = _Report.CSI
            if len(self._parameters) <= len(_PASTE_PARAMETERS):
                self._parameters.append(byte)
        elif report is _Report.CSI and byte in REPORTS:
            return self._line_start_before
        elif report is _Report.CSI and byte == 0x7E and self._parameters == _PASTE_PARAMETERS:
            self._paste = b""
        return byte in _LINE_ENDS


def _is_letter(key: int) -> bool:
    return bytes((key,)).isalpha()
