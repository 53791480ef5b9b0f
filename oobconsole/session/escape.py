"""The escape keys of an interactive session, as OpenSSH's: recognized at the start of a line. Sans I/O."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Command(Enum):
    """What a user asks of the session rather than of the guest."""

    DETACH = b"."
    HELP = b"?"


_TILDE: Final = 0x7E
_LINE_ENDS: Final = b"\r\n"


class EscapeFilter:
    """Splits what a user types into bytes for the guest and commands for us.

    `~` counts only after a line end or at the very beginning; `~~` sends one `~`; `~` before any
    other key is sent with it. A key may come split over any number of packets.
    """

    def __init__(self) -> None:
        self._line_start = True
        self._tilde = False

    def feed(self, data: bytes) -> list[bytes | Command]:
        """Return what `data` completes, in order."""
        out: list[bytes | Command] = []
        plain = bytearray()
        for byte in data:
            if self._tilde:
                self._tilde = False
                command = self._command(byte)
                if command is not None:
                    if plain:
                        out.append(bytes(plain))
                        plain.clear()
                    out.append(command)
                    self._line_start = True
                    continue
                plain.append(_TILDE)
                if byte == _TILDE:
                    self._line_start = False
                    continue
            elif self._line_start and byte == _TILDE:
                self._tilde = True
                continue
            plain.append(byte)
            self._line_start = byte in _LINE_ENDS
        if plain:
            out.append(bytes(plain))
        return out

    @staticmethod
    def _command(byte: int) -> Command | None:
        try:
            return Command(bytes((byte,)))
        except ValueError:
            return None
