"""What comes from a terminal: which bytes belong together, and which bytes nobody has typed. Sans I/O."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

#: The last bytes of control sequences (CSI) that a terminal sends by itself. Some of them answer questions of the
#: guest's, which many shells ask before each line (ECMA-48: CPR, DA, DSR; ctlseqs: XTWINOPS). Others come when the
#: terminal's window gets or loses the focus, if nothing is kept from the terminal (ctlseqs: mode 1004). No key sends
#: any of these.
REPORTS: Final = b"RcntIO"
#: The marks around a bracketed paste; and for how many seconds its end is waited for when nothing comes.
PASTE, PASTE_END = b"\x1b[200~", b"\x1b[201~"
LOST_END_SECONDS: Final = 3.0
#: What follows within so many seconds came at once, even if the network has cut it into packets. Nobody types as
#: fast. A program that waits for a guest's echo before it types more is slower, too: through OpenSSH and two
#: pseudo-terminals, the quickest of 300 such answers took 1.5 ms (2 processors, nothing else running).
AT_ONCE_SECONDS: Final = 0.0005
#: A whole sequence of a key, such as an arrow key's.
SEQUENCE: Final = re.compile(rb"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|O[@-~])")
_ESC: Final = 0x1B
_BRACKET: Final = 0x5B
_TILDE: Final = 0x7E
_PARAMETERS: Final = b"0123456789;?"
_PASTE_PARAMETERS: Final = b"200"


def came_at_once(pause: float) -> bool:
    """Return whether bytes with so many seconds between them belong together."""
    return pause <= AT_ONCE_SECONDS


class Is(Enum):
    """What a typed byte is part of."""

    TEXT = 0
    LINE_END = 1
    PART = 2  # part of a control sequence, but not its end
    REPORT = 3  # the end of a report, which the terminal sends by itself
    PASTE = 4  # the end of the mark with which a paste begins


class _At(Enum):
    """How much of a control sequence has come."""

    TEXT = 0
    ESC = 1
    CSI = 2


class Sequences:
    """Follows what is typed, byte by byte."""

    def __init__(self) -> None:
        self._at = _At.TEXT
        self._parameters = bytearray()

    @property
    def within(self) -> bool:
        """Whether a sequence has begun and not ended."""
        return self._at is not _At.TEXT

    def take(self, byte: int) -> Is:
        """Take the next typed byte. Returns what it is part of."""
        before, self._at = self._at, _At.TEXT
        if byte == _ESC:
            self._at = _At.ESC
        elif before is _At.ESC and byte == _BRACKET:
            self._at = _At.CSI
            self._parameters.clear()
        elif before is _At.CSI and byte in _PARAMETERS:
            self._at = _At.CSI
            if len(self._parameters) <= len(_PASTE_PARAMETERS):
                self._parameters.append(byte)
        elif before is _At.CSI and byte in REPORTS:
            return Is.REPORT
        elif before is _At.CSI and byte == _TILDE and self._parameters == _PASTE_PARAMETERS:
            return Is.PASTE
        else:
            return Is.LINE_END if byte in b"\r\n" else Is.TEXT
        return Is.PART
