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
        if data and not self._tilde and _TILDE not in data:
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
            self._line_start = command is not None or byte in _LINE_ENDS
            self._tilde = False
        return [*out, bytes(plain)] if plain else out
