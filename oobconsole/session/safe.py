"""What a guest prints, without what makes a terminal answer or act outside its window. Sans I/O.

Sequences are named as in ECMA-48 and xterm's "Control Sequences" (ctlseqs). What is kept and what is not:
docs/terminal.md.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

#: A control sequence, or one of the strings that are dropped, that is longer than this is no terminal's, in bytes.
_SEQUENCE_MAX: Final = 256
_STRING_MAX: Final = 1 << 16
_ESC, _BEL, _CAN, _SUB, _ENQ, _LF = 0x1B, 0x07, 0x18, 0x1A, 0x05, 0x0A
#: What needs no second look: no ESC, ENQ, or C1, but whole characters of UTF-8 (RFC 3629, section 4).
_TEXT: Final = (
    rb"[^\x1b\x05\x80-\xff]+|\xc2[\xa0-\xbf]|[\xc3-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]"
    rb"|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}"
    rb"|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}"
)
_PLAIN_STRICT: Final = re.compile(b"(?:" + _TEXT + b")*+")
#: And the sequences of which every screen is full: cursor, erasing, inserting, colours, character sets.
_PLAIN: Final = re.compile(
    b"(?:" + _TEXT + rb"|\x1b(?:[78=>DM]|[()][0AB]|\[(?:[0-9;]{0,64}[@-HJ-MPXdm]|\?25[hl])))*+"
)
#: A whole control sequence; those that come in pieces are put together first.
_CSI: Final = re.compile(rb"\x1b\[[ -?]{0,253}[@-~]")
#: ESC and one of these, and C1 forms: strings that end with ST (OSC also with BEL); k is GNU screen's title.
_STRINGS: Final = b"P]X^_k"
#: What makes a terminal answer (DECID), or take UTF-8 for single bytes, among which C1 would be found (DOCS).
_ESCAPES_DROPPED: Final = frozenset({b"\x1bZ", b"\x1b%@"})
#: Final bytes, behind their intermediates, of what makes a terminal answer (DA, DSR, DECREQTPARM, DECRQM, DECRQCRA,
#: XTREPORTSGR, …), test itself (DECTST), act on its window (XTWINOPS, DECSCPP, DECSNLS), or print (MC).
_CSI_DROPPED: Final = frozenset(
    {
        *("c", "n", "x", "t", "i", "y", "q", "S", "u", "$p", "*y", "$w", "$u", "&u"),
        *('"v', "'|", "'z", "'w", "#R", "#Q", "#|", "$|", "*|"),
    }
)
#: Of those, the ones that are harmless so: CSI u restores the cursor, CSI S scrolls, CSI q lights LEDs.
_CSI_PARTS: Final = re.compile(r"([<=>?]?[\d:;]*)([ -/]*)([@-~])", re.ASCII)
_CSI_HARMLESS: Final = re.compile(r"u|[\d;]*S|[\d;]*q", re.ASCII)
#: Modes that make a terminal send what nobody typed (reports of mouse, focus, size, theme), raise its window at a
#: bell, no longer know ECMA-48 (DECANM), or lock its keyboard (KAM).
_MODES_DROPPED: Final = {
    "?": frozenset({"2", "9", "1000", "1001", "1002", "1003", "1004", "1042", "1043", "2031", "2048"}),
    "": frozenset({"2"}),
}


class _State(Enum):
    GROUND = 0
    ESCAPE = 1
    CSI = 2
    STRING = 3
    STRING_ESCAPE = 4  # an ESC that may begin the string's ST
    UTF8 = 5


class SafeFilter:
    """Passes output on in any pieces; what it drops, it drops whole.

    Args:
        strict: only text, tabs, line ends, backspaces and colours: for what was printed some other time.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self._state = _State.GROUND
        self._held = bytearray()
        self._length = 0  # of a string that is dropped
        self._more = 0  # continuation bytes of a character

    @property
    def at_rest(self) -> bool:
        """Is the output between two characters, so that something else may be shown?"""
        return self._state is _State.GROUND

    def feed(self, data: bytes) -> bytes:
        """Return what may be shown of `data`, and of what was held back before."""
        out = bytearray()
        at, end = 0, len(data)
        while at < end:
            if self._state is _State.GROUND:
                plain = (_PLAIN_STRICT if self._strict else _PLAIN).match(data, at)
                assert plain is not None  # it matches nothing, too
                if plain.end() > at:
                    out += self._text(plain[0])
                    at = plain.end()
                    continue
                if sequence := _CSI.match(data, at):
                    out += self._control_sequence(sequence[0])
                    at = sequence.end()
                    continue
            self._byte(data[at], out)
            at += 1
        return bytes(out)

    def _text(self, text: bytes) -> bytes:
        if not self._strict:
            return text
        if text.isascii():
            return _UNSAFE_TEXT.sub(b"", text)
        return "".join(c for c in text.decode() if c.isprintable() or c in "\b\t\n\r").encode()

    def _no_text(self, data: bytes) -> bytes:
        """What is no UTF-8: Latin-1, or noise. Where only text may pass, it is replaced: what is dropped between two
        pieces could make a character of them."""
        return _REPLACEMENT if self._strict else _C1.sub(b"", data)

    def _byte(self, byte: int, out: bytearray) -> None:
        match self._state:
            case _State.GROUND:
                self._ground(byte, out)
            case _State.UTF8:
                self._utf8(byte, out)
            case _State.ESCAPE:
                self._escape(byte, out)
            case _State.CSI:
                self._csi(byte, out)
            case _State.STRING | _State.STRING_ESCAPE:
                self._string(byte, out)

    def _ground(self, byte: int, out: bytearray) -> None:
        if byte == _ESC:
            self._hold(_State.ESCAPE, byte)
        elif byte == _ENQ:
            pass  # makes a terminal send its answerback
        elif 0xC2 <= byte <= 0xF4:
            self._more = 1 if byte < 0xE0 else 2 if byte < 0xF0 else 3
            self._hold(_State.UTF8, byte)
        elif 0x80 <= byte <= 0x9F:
            self._hold(_State.ESCAPE, _ESC)  # an eight-bit control is ESC and the byte 0x40 below
            self._escape(byte - 0x40, out)
        elif byte < 0x80:
            out += self._text(bytes((byte,)))
        else:
            out += self._no_text(bytes((byte,)))

    def _utf8(self, byte: int, out: bytearray) -> None:
        if not 0x80 <= byte <= 0xBF:
            out += self._no_text(self._release())
            self._byte(byte, out)
            return
        self._held.append(byte)
        self._more -= 1
        if not self._more:
            character = self._release()
            is_c1 = character[0] == 0xC2 and character[1] < 0xA0  # a terminal may take U+0080 to U+009F for controls
            if is_c1:
                self._hold(_State.ESCAPE, _ESC)
                self._escape(character[1] - 0x40, out)
            elif _PLAIN_STRICT.fullmatch(character):
                out += self._text(character)  # one that UTF-8 forbids may be a control to a careless decoder

    def _escape(self, byte: int, out: bytearray) -> None:
        if byte in _STRINGS and len(self._held) == 1:
            self._drop(_State.STRING)
        elif byte == 0x5B and len(self._held) == 1:
            self._hold(_State.CSI, byte)
        elif byte == _ESC:
            self._drop(_State.ESCAPE)
            self._held.append(_ESC)
        elif 0x20 <= byte <= 0x2F and len(self._held) < _SEQUENCE_MAX:
            self._held.append(byte)
        else:
            held = self._release()
            if 0x30 <= byte <= 0x7E:
                sequence = held + bytes((byte,))
                if not self._strict and sequence not in _ESCAPES_DROPPED:
                    out += sequence
            else:
                self._byte(byte, out)  # a control in the middle cancels, and counts itself

    def _csi(self, byte: int, out: bytearray) -> None:
        if 0x20 <= byte <= 0x3F and len(self._held) < _SEQUENCE_MAX:
            self._held.append(byte)
        elif 0x40 <= byte <= 0x7E:
            self._held.append(byte)
            out += self._control_sequence(self._release())
        elif byte in (_ESC, _CAN, _SUB) or byte >= 0x7F or len(self._held) >= _SEQUENCE_MAX:
            self._release()
            if byte not in (_CAN, _SUB, 0x7F):
                self._byte(byte, out)
        else:
            out += self._text(bytes((byte,))) if byte != _ENQ else b""  # a control within a sequence acts at once

    def _control_sequence(self, sequence: bytes) -> bytes:
        """The sequence as it may be shown: whole, without some of its parameters, or not at all."""
        body = sequence[2:].decode("ascii")
        parts = _CSI_PARTS.fullmatch(body)
        if parts is None:
            return b""  # parameters behind intermediates: no terminal's
        parameters, intermediate, final = parts.groups()
        if final == "m" and parameters[:1] in ("<", "=", ">", "?"):
            return b""  # XTMODKEYS and its query
        if self._strict:
            return sequence if final == "m" and not intermediate else b""
        if final in "hl" and not intermediate:
            return _modes(parameters, final)
        if intermediate + final in _CSI_DROPPED and not _CSI_HARMLESS.fullmatch(body):
            return b""
        return sequence

    def _string(self, byte: int, out: bytearray) -> None:
        """Within a string, which is dropped to its end."""
        self._length += 1
        if self._state is _State.STRING_ESCAPE and byte != 0x5C:
            self._drop(_State.ESCAPE)
            self._held.append(_ESC)
            self._escape(byte, out)
        elif byte == _ESC:
            self._state = _State.STRING_ESCAPE
        elif byte == _LF:  # noise on the line, most probably: what follows is filtered like everything
            self._release()
            out.append(byte)
        elif self._state is _State.STRING_ESCAPE or byte in (_BEL, _CAN, _SUB, 0x9C) or self._length > _STRING_MAX:
            self._release()

    def _hold(self, state: _State, byte: int) -> None:
        self._state = state
        self._held.append(byte)

    def _drop(self, state: _State) -> None:
        self._release()
        self._state = state
        self._length = 0

    def _release(self) -> bytes:
        held = bytes(self._held)
        self._held.clear()
        self._state = _State.GROUND
        return held


def _modes(parameters: str, final: str) -> bytes:
    """Set or reset (SM, RM, DECSET, DECRST) those of the modes that a guest may."""
    private = "?" if parameters.startswith("?") else ""
    dropped = _MODES_DROPPED[private]
    kept = [mode for mode in parameters[len(private) :].split(";") if mode.lstrip("0") not in dropped]
    return f"\x1b[{private}{';'.join(kept)}{final}".encode() if kept else b""


_UNSAFE_TEXT: Final = re.compile(rb"[^\x08\t\n\r\x20-\x7e]")
_REPLACEMENT: Final = "\ufffd".encode()
_C1: Final = re.compile(rb"[\x80-\x9f]")
