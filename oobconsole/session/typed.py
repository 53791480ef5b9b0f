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
#: How a control sequence (CSI) begins, and a key's sequence of the other kind (SS3), in regular expressions. A
#: terminal may have been told to send C1 controls (S8C1T, DECSCL). Then xterm sends one byte for both, or the two
#: bytes that are this control in UTF-8. Behind a byte of a character, 0x9B and 0x8F are a part of that character: of
#: 雛, for example.
_C1_INTRODUCER: Final = rb"(?:\xc2\x9b|(?<![\x80-\xf4])\x9b)"
_SINGLE_SHIFT: Final = rb"(?:\x1bO|\xc2\x8f|(?<![\x80-\xf4])\x8f)"
#: The marks around a bracketed paste, as nearly all terminals send them; the beginnings and the ends of all three
#: forms; and for how many seconds the end of a paste is waited for when nothing comes.
PASTE, PASTE_END = b"\x1b[200~", b"\x1b[201~"
PASTES: Final = {PASTE: PASTE_END, b"\xc2\x9b200~": b"\xc2\x9b201~", b"\x9b200~": b"\x9b201~"}
LOST_END_SECONDS: Final = 3.0
#: What follows within so many seconds came at once, even if the network has cut it into packets. Nobody types as
#: fast. A program that waits for a guest's echo before it types more is slower, too: through OpenSSH and two
#: pseudo-terminals, the quickest of 300 such answers took 1.5 ms (2 processors, nothing else running).
AT_ONCE_SECONDS: Final = 0.0005
#: A whole sequence of a key, such as an arrow key's. Behind a C1 control these are only the keys that xterm has, and
#: the reports: a C1 control may also be a part of text.
SEQUENCE: Final = re.compile(
    rb"\x1b\[[0-?]{0,64}[ -/]{0,8}[@-~]|"
    + _C1_INTRODUCER
    + rb"[0-9;?]{0,64}[A-IO-SZcntu~]|"
    + _SINGLE_SHIFT
    + rb"[@-~]"
)
#: A whole report, as described at `REPORTS`.
REPORT: Final = re.compile(rb"(?:\x1b\[|" + _C1_INTRODUCER + rb")[0-9;?]{0,64}[" + REPORTS + rb"]")
_ESC: Final = 0x1B
_BRACKET: Final = 0x5B
_C1_CSI: Final = 0x9B
#: The byte before a C1 control in UTF-8.
_C1_LEAD: Final = 0xC2
_TILDE: Final = 0x7E
_PARAMETERS: Final = b"0123456789;?"
_PASTE_PARAMETERS: Final = b"200"
#: A character at the end of some bytes whose last bytes have not come.
_CUT: Final = re.compile(rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z")
#: What is told apart where C1 controls become sequences of seven bits: a mark with which a paste begins; a mark that
#: may be the beginning of one, at the end of what has come; controls; and whole characters, in which the bytes of
#: these controls are none.
_TOKEN: Final = re.compile(
    rb"(?P<mark>(?:\x1b\[|\xc2?\x9b)200~)|(?P<part>(?:\x1b\[|\xc2?\x9b)(?:20{0,2})?\Z|\x1b\Z)|\xc2?[\x8f\x9b]"
    rb"|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_C1: Final = re.compile(rb"\xc2?([\x8f\x9b])(.*)", re.DOTALL)


def is_only_text(data: bytes) -> bool:
    """Return whether no control sequence begins in these bytes, whatever comes behind them."""
    return b"\x1b" not in data and b"\x9b" not in data and not _CUT.search(data, max(0, len(data) - 3))


def ends_in_paste(data: bytes) -> bool:
    """Return whether a marked paste has begun in these bytes and has not ended in them."""
    return any(data.rfind(begin) > data.rfind(end) for begin, end in PASTES.items())


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


class Characters:
    """Follows UTF-8 byte by byte. The bytes within a character have the same values as C1 controls."""

    def __init__(self) -> None:
        self.lacks = 0  # how many bytes the character lacks that has begun

    def take(self, byte: int) -> bool:
        """Take the next byte. Returns whether the byte goes on with a character."""
        if self.lacks and 0x80 <= byte <= 0xBF:
            self.lacks -= 1
            return True
        self.lacks = 0 if not 0xC2 <= byte <= 0xF4 else 1 if byte < 0xE0 else 2 if byte < 0xF0 else 3
        return False


class Sequences:
    """Follows what is typed, byte by byte."""

    def __init__(self) -> None:
        self._at = _At.TEXT
        self._parameters = bytearray()
        self._characters = Characters()
        self._last = 0  # the byte before
        self._introducer = b""  # how the last control sequence began

    @property
    def within(self) -> bool:
        """Whether a sequence or a character has begun and not ended."""
        return self._at is not _At.TEXT or bool(self._characters.lacks)

    @property
    def paste_end(self) -> bytes:
        """The mark that ends the paste whose beginning was taken last. Both marks have the same form, because the
        other forms may be a part of the pasted text."""
        return self._introducer + b"201~"

    def take(self, byte: int) -> Is:
        """Take the next typed byte. Returns what it is part of."""
        before, self._at = self._at, _At.TEXT
        last, self._last = self._last, byte
        in_character = self._characters.take(byte)
        if byte == _ESC:
            self._at = _At.ESC
        elif introducer := _introducer(before, last, byte, in_character):
            self._at, self._introducer = _At.CSI, introducer
            self._parameters.clear()
        elif before is _At.CSI and byte in _PARAMETERS:
            self._at = _At.CSI
            if len(self._parameters) <= len(_PASTE_PARAMETERS):
                self._parameters.append(byte)
        elif before is _At.CSI and byte in REPORTS:
            return Is.REPORT
        elif before is _At.CSI and byte == _TILDE and self._parameters == _PASTE_PARAMETERS:
            return Is.PASTE
        elif byte != _C1_LEAD:
            return Is.LINE_END if byte in b"\r\n" else Is.TEXT
        return Is.PART


def _introducer(at: _At, last: int, byte: int, in_character: bool) -> bytes:
    """Return how a control sequence begins of which `byte` is the last byte; empty: none begins here."""
    if at is _At.ESC and byte == _BRACKET:
        return b"\x1b["
    if byte != _C1_CSI or (in_character and last != _C1_LEAD):
        return b""
    return b"\xc2\x9b" if in_character else b"\x9b"


class SevenBit:
    """Makes sequences of seven bits of the C1 controls CSI and SS3, for a reader that knows no others. The bytes of
    characters stay what they are, and so does what is pasted.

    Attributes:
        held: bytes that have come and not been returned: the beginning of a character, or of a paste's end mark.
    """

    def __init__(self) -> None:
        self.held = b""
        self._begun = b""  # the beginning of a paste's mark: that has been returned, because it may be a key
        self._end = b""  # the mark that ends the paste which is coming; empty: no paste is coming

    def translate(self, data: bytes) -> bytes:
        """Return the bytes that have come, with sequences of seven bits. It may be nothing, although `data` is
        something."""
        data, self.held = self.held + data, b""
        shown = b""
        while data:
            part, data = self._pasted(data) if self._end else self._typed(data)
            shown += part
        return shown

    def end_paste(self) -> bytes:
        """Note that the paste which is coming has no end. Returns what was held."""
        held, self.held, self._end = self.held, b"", b""
        return held

    def _typed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take keys up to a mark with which a paste begins. Returns these keys with that mark, and what is behind."""
        before, self._begun = self._begun, b""
        data = before + data
        if cut := _CUT.search(data, max(len(before), len(data) - 3)):
            data, self.held = data[: cut.start()], cut[0]
        shown, at = b"", 0
        for found in _TOKEN.finditer(data):
            shown += data[at : found.start()] + _seven_bits(found[0])
            at = found.end()
            if found["mark"]:
                behind, self.held = data[at:] + self.held, b""
                self._end = PASTES[found[0]]
                return shown[len(_seven_bits(before)) :], behind
            self._begun = found["part"] or b""
        return (shown + data[at:])[len(_seven_bits(before)) :], b""

    def _pasted(self, data: bytes) -> tuple[bytes, bytes]:
        """Take a paste up to its end. Returns what is pasted, with the mark, and what is behind. An ESC in a paste
        whose marks are C1 controls becomes NUL, so that nothing in the paste ends it for the reader."""
        mark = self._end
        end = data.find(mark)
        if end < 0:
            size = next((size for size in range(len(mark) - 1, 0, -1) if data.endswith(mark[:size])), 0)
            self.held, data = data[len(data) - size :], data[: len(data) - size]
            return _without_end(data, mark), b""
        self._end = b""
        return _without_end(data[:end], mark) + PASTE_END, data[end + len(mark) :]


def _seven_bits(token: bytes) -> bytes:
    """Return the token with the escape sequence that means the same, if it begins with a C1 control."""
    found = _C1.match(token)
    return token if found is None else bytes((_ESC, found[1][0] - 0x40)) + found[2]


def _without_end(pasted: bytes, mark: bytes) -> bytes:
    return pasted if mark == PASTE_END else pasted.replace(b"\x1b", b"\0")
