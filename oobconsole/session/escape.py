"""The escape keys of an interactive session, as OpenSSH's: recognized at the start of a line. Sans I/O."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Command(Enum):
    """What a user asks of the session rather than of the guest."""

    DETACH = b"."
    HELP = b"?"


_COMMANDS: Final = {command.value[0]: command for command in Command}
_TILDE: Final = 0x7E
_LINE_ENDS: Final = b"\r\n"
_ESC: Final = 0x1B
_PARAMETERS: Final = b"0123456789;?"
#: What a terminal types by itself when the guest asks it, as many shells do before each line: CSI and one of these
#: (ECMA-48: CPR, DA, DSR).
_REPORTS: Final = b"Rcn"


class _Typed(Enum):
    """How much of what may become a terminal's report has come."""

    OTHER = 0
    ESC = 1
    CSI = 2


class EscapeFilter:
    """Splits what a user types into bytes for the guest and commands for us.

    `~` counts only after a line end or at the very beginning, terminal reports between them not
    counted; `~~` sends one `~`; `~` before any other key is sent with it. A key may come split over
    any number of packets.
    """

    def __init__(self) -> None:
        self._line_start = True
        self._tilde = False
        self._typed = _Typed.OTHER
        self._line_start_before = True  # the report

    def feed(self, data: bytes) -> list[bytes | Command]:
        """Return what `data` completes, in order."""
        if data and not self._tilde and self._typed is _Typed.OTHER and _TILDE not in data and _ESC not in data:
            self._line_start = data[-1] in _LINE_ENDS
            return [data]
        out: list[bytes | Command] = []
        plain = bytearray()
        for byte in data:
            if not self._tilde and self._line_start and byte == _TILDE:
                self._tilde = True
                continue
            command = _COMMANDS.get(byte) if self._tilde else None
            if command is None:
                if self._tilde and byte != _TILDE:
                    plain.append(_TILDE)
                plain.append(byte)
            else:
                if plain:
                    out.append(bytes(plain))
                    plain.clear()
                out.append(command)
            self._line_start = command is not None or self._is_line_start_after(byte)
            self._tilde = False
        return [*out, bytes(plain)] if plain else out

    def _is_line_start_after(self, byte: int) -> bool:
        typed, self._typed = self._typed, _Typed.OTHER
        if byte == _ESC:
            self._typed, self._line_start_before = _Typed.ESC, self._line_start
        elif (typed is _Typed.ESC and byte == 0x5B) or (typed is _Typed.CSI and byte in _PARAMETERS):
            self._typed = _Typed.CSI
        elif typed is _Typed.CSI and byte in _REPORTS:
            return self._line_start_before
        return byte in _LINE_ENDS
