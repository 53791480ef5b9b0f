"""What a guest prints, without what makes a terminal answer or act outside its window. Sans I/O.

What is kept and what is not: docs/terminal.md. Runs of text, of noise and of what is dropped are taken whole,
whatever their length, so that a guest can make nobody else wait. Only what is cut into pieces is looked at byte by
byte.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from oobconsole.terminal.sequences import (
    PARAMETERS,
    PARAMETERS_MAX,
    SKIPPED,
    TOKEN,
    TOKEN_STRICT,
    end_of_inside,
    safe_csi,
    safe_escape,
    safe_junk,
)
from oobconsole.terminal.text import plain_output

#: After how many seconds without output a string that has not ended is given up.
SILENCE_SECONDS: Final = 1.0
_ESC, _BEL, _CAN, _SUB, _ENQ, _LF, _DEL = 0x1B, 0x07, 0x18, 0x1A, 0x05, 0x0A, 0x7F
_STRINGS: Final = b"P]X^_k"
#: How a title begins (OSC), and the bytes that end it, or begin its end, on every terminal.
_OSC: Final = b"\x1b]"
_TITLE_ENDS: Final = (_BEL, _ESC)
#: What is dropped and makes no difference: the beginning of a title; and LNM, if it is reset, because setting it is
#: dropped, too. Our own drawings of a screen reset it.
_HARMLESS: Final = (_OSC, b"\x1b[20l")
_UNSAFE_TEXT: Final = re.compile(rb"[^\x08\t\n\r\x20-\x7e]")
_REPLACEMENT: Final = "\ufffd".encode()
_C1: Final = re.compile(rb"[\x80-\x9f]")
#: The bytes that end whatever was begun before: line feed, ESC, CAN, SUB.
_KNOWN_BEHIND: Final = (b"\n", b"\x1b", b"\x18", b"\x1a")
#: How many bytes back such a byte is looked for. Mostly the first number is enough.
BEFORE: Final = (4096, 65536, 1 << 20)
_ABOVE_ASCII: Final = re.compile(rb"[\x80-\xff]")
_MIXED_MAX: Final = 32_768
#: How many bytes of a character or an escape sequence are put together with what comes.
_CUT_MAX: Final = 4
_LEADS: Final = re.compile(rb"[^\x80-\xbf]")
#: States: between two sequences, behind ESC, in a control sequence, in a string, behind an ESC that may begin the
#: string's ST, and within a character. Plain numbers, because they are compared for every byte of hostile output.
_GROUND, _ESCAPE, _CSI, _STRING, _STRING_ESCAPE, _UTF8 = range(6)
#: Which of the states above a filter is in; what has come of a sequence or character; whether that is too long; and
#: how many continuation bytes a character lacks.
State: TypeAlias = tuple[int, bytes, bool, int]


def says_where_it_ends(before: bytes) -> bool:
    """Return whether these bytes alone show whether their end is in the middle of a string."""
    return any(byte in before for byte in _KNOWN_BEHIND)


def _what_tells_the_state(before: bytes) -> bytes:
    """Return the last part of some output, as much as is needed to know whether its end is in the middle of a string.

    Each byte above 0x7F can begin a string and end it again, so reading such bytes takes time. Of what stands before
    the last of them, only `_MIXED_MAX` bytes are read. A longer string that contains such bytes, and no line feed, is
    taken for text. It is filtered like all text.
    """
    known = max(before.rfind(byte) for byte in _KNOWN_BEHIND)
    last = before[max(known, 0) :]
    above = _ABOVE_ASCII.search(last[::-1])
    return last if above is None else last[max(0, len(last) - above.start() - _MIXED_MAX) :]


class SafeFilter:
    """Passes output on, in pieces of any size. What it drops, it drops as a whole, however long that is.

    Args:
        strict: whether only text, tabs, line ends, backspaces and colours pass. This is for output that was printed
            some other time.

    Attributes:
        altered: whether anything was dropped or changed that may act on the screen of a terminal which gets it. A
            title (OSC) does not act on the screen, if every terminal agrees about where the title ends.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self._token = TOKEN_STRICT if strict else TOKEN
        self._state = _GROUND
        self._held = bytearray()  # what has come of a sequence or a character
        self._too_long = False  # whether that is longer than any terminal's, and so will be dropped
        self._more = 0  # how many continuation bytes a character lacks
        self._fed = 0.0  # when data came last
        self.altered = False

    @property
    def at_rest(self) -> bool:
        """Whether the output is between two characters, so that something else may be shown."""
        return self._state == _GROUND

    def feed(self, data: bytes, now: float = 0.0) -> bytes:
        """Return what may be shown of `data`, and of what was held back before.

        Args:
            data: some more output.
            now: when it came, in seconds of any clock. If that is not known, it is always the same number; then only
                a line feed gives up a string that does not end.
        """
        self._give_up(now)
        self._fed = now
        out = bytearray()
        if self._state in (_ESCAPE, _UTF8) and len(self._held) <= _CUT_MAX and data:
            data = self._release() + data  # together they are most probably whole
        self._read(data, self._token, out)
        return bytes(out)

    def passes(self, data: bytes, now: float = 0.0) -> int:
        """Return how many bytes at the beginning of `data` are text that is shown as it is. These bytes count as fed
        to the filter; the bytes behind them are still to be fed."""
        self._give_up(now)
        if self._strict or self._state != _GROUND:
            return 0
        found = self._token.match(data)
        if found is None or found.lastgroup != "plain":
            return 0
        self._fed = now
        return found.end()

    def state(self, now: float = 0.0) -> State:
        """Return everything on which the filter's answers depend. Two filters of the same kind in the same state
        answer the same data alike, and are in the same state afterwards."""
        self._give_up(now)
        return self._state, bytes(self._held), self._too_long, self._more

    def follow(self, state: State, now: float = 0.0) -> None:
        """Take over the state of another filter, which was fed the data that came now."""
        self._state, held, self._too_long, self._more = state
        self._held[:] = held
        self._fed = now

    def _give_up(self, now: float) -> None:
        if self._state in (_STRING, _STRING_ESCAPE) and now - self._fed >= SILENCE_SECONDS:
            self._release()

    def _read(self, data: bytes, token: re.Pattern[bytes], out: bytearray) -> None:
        at, end = 0, len(data)
        while at < end:
            if self._state == _GROUND and (found := token.match(data, at)):
                out += self._whole(found)
                at = found.end()
            elif self._state == _STRING:
                at = self._string(data, at, out)
            elif self._state == _CSI and (found := PARAMETERS.match(data, at)):
                self._hold_more(found[0])
                at = found.end()
            else:
                at += self._byte(data[at], out)

    def resume(self, before: bytes, now: float = 0.0) -> None:
        """Go on in the middle of output, behind `before`, which came at `now`. Nothing of `before` is shown. A string
        that has begun in it is dropped to its end."""
        self._release()
        self._fed, altered = now, self.altered
        self._read(_what_tells_the_state(before), SKIPPED, bytearray())
        self.altered = altered

    # -- what comes whole ---------------------------------------------------------------------------

    def _whole(self, found: re.Match[bytes]) -> bytes:
        """Return what is shown of a token that has come as a whole."""
        if found.lastgroup == "plain":
            return self._text(found[0])
        shown = self._shown(found)
        self._note(found[0], shown)
        return shown

    def _note(self, came: bytes, shown: bytes) -> None:
        """Note whether something else is shown than what came."""
        self.altered = self.altered or (shown != came and came not in _HARMLESS)

    def _shown(self, found: re.Match[bytes]) -> bytes:
        """Return what is shown of a token other than text, without a note whether it is something else than what
        came."""
        kind = found.lastgroup
        if kind == "csi":
            return safe_csi(found["body"], strict=self._strict)
        if kind == "junk":
            return self._junk(found)
        if kind == "halves":
            return _REPLACEMENT * len(_LEADS.findall(found[0])) if self._strict else _C1.sub(b"", found[0])
        if kind == "string":
            self._state = _STRING
        elif kind == "skipped":
            return b""
        elif not self._strict:
            return safe_escape(found[0])
        return b""

    def _junk(self, found: re.Match[bytes]) -> bytes:
        """Return what is shown of bytes that are no text. The byte behind them may end a sequence that is among them,
        so it is looked at, too."""
        end = found.end()
        behind = found.string[end : end + 1]
        shown = safe_junk(found[0] + behind, strict=self._strict)
        return shown[: len(shown) - len(safe_junk(behind, strict=self._strict))]

    def _text(self, text: bytes) -> bytes:
        if not self._strict:
            return text
        if text.isascii():
            return _UNSAFE_TEXT.sub(b"", text)
        return plain_output(text.decode()).encode()

    def _string(self, data: bytes, at: int, out: bytearray) -> int:
        """Drop a part of a string. Returns where reading goes on."""
        start = -len(self._held)  # the beginning of a character that was cut
        if start:
            data, at, start = bytes(self._held) + data[at:], 0, start + at
            self._held.clear()
        at = end_of_inside(data, at)
        if at == len(data):
            return start + at
        byte = data[at]
        if byte >= 0xC2 and data[at : at + 2] != b"\xc2\x9c":
            self._held += data[at:]  # a character whose end has not come
            return start + len(data)
        self.altered = self.altered or byte not in _TITLE_ENDS
        if byte == _ESC:
            self._state = _STRING_ESCAPE
        else:  # BEL, CAN, SUB, ST; or a line feed: noise on the line, most probably, and what follows is filtered
            self._state = _GROUND
            if byte == _LF:
                out.append(byte)
        return start + at + (2 if byte == 0xC2 else 1)

    # -- what comes in pieces -----------------------------------------------------------------------

    def _byte(self, byte: int, out: bytearray) -> bool:
        """Take one byte. Returns False if the byte has cancelled what was begun, and is to be looked at again for
        itself."""
        if self._state == _GROUND:
            self._ground(byte, out)
        elif self._state == _UTF8:
            return self._utf8(byte, out)
        elif self._state == _ESCAPE:
            return self._escape(byte, out)
        elif self._state == _CSI:
            return self._csi(byte, out)
        elif byte == 0x5C:  # the second half of ST
            self._release()
        else:  # the ESC before it has cancelled the string, and begins something else
            self.altered = True
            self._begin(_ESCAPE, _ESC)
            return False
        return True

    def _ground(self, byte: int, out: bytearray) -> None:
        """Take a byte that begins a sequence or a character."""
        if byte == _ESC:
            self._begin(_ESCAPE, byte)
        elif byte == 0x9B:
            self.altered = True
            self._begin(_CSI)
        elif 0xC2 <= byte <= 0xF4:
            self._more = 1 if byte < 0xE0 else 2 if byte < 0xF0 else 3
            self._begin(_UTF8, byte)
        else:
            raise AssertionError(f"{byte:#x} is a whole token")

    def _no_text(self, data: bytes) -> bytes:
        """Return what is shown of bytes that are not UTF-8: Latin-1, or noise. If only text may pass, a replacement
        character is shown, because dropping the bytes could make a character of what stands before and behind
        them."""
        shown = _REPLACEMENT if self._strict else _C1.sub(b"", data)
        self._note(data, shown)
        return shown

    def _utf8(self, byte: int, out: bytearray) -> bool:
        if not 0x80 <= byte <= 0xBF:
            out += self._no_text(self._release())
            return False
        self._held.append(byte)
        self._more -= 1
        if not self._more:
            found = self._token.match(self._release())
            if found is None:  # U+009B
                self.altered = True
                self._begin(_CSI)
            else:
                out += self._whole(found)
        return True

    def _escape(self, byte: int, out: bytearray) -> bool:
        alone = len(self._held) == 1
        if byte == 0x5B and alone:
            self._begin(_CSI)
        elif byte in _STRINGS and alone:
            self._release()
            self._state = _STRING
            self.altered = self.altered or byte != _OSC[1]
        elif 0x20 <= byte <= 0x2F:
            self._hold_more(bytes((byte,)))
        else:
            too_long, held = self._too_long, self._release()
            if not 0x30 <= byte <= 0x7E:
                self.altered = True
                return False
            sequence = held + bytes((byte,))
            shown = b"" if self._strict or too_long else safe_escape(sequence)
            self._note(sequence, shown)
            out += shown
        return True

    def _csi(self, byte: int, out: bytearray) -> bool:
        """Take a byte that stands behind the parameters of a control sequence."""
        if 0x40 <= byte <= 0x7E:
            too_long, body = self._too_long, self._release() + bytes((byte,))
            shown = b"" if too_long else safe_csi(body, strict=self._strict)
            self._note(b"\x1b[" + body, shown)
            out += shown
            return True
        self.altered = True  # terminals differ about what else may stand in a sequence
        if byte == _ESC or byte >= 0x80:
            self._release()
            return False
        if byte in (_CAN, _SUB, _DEL):
            self._release()
        elif byte != _ENQ:
            out += self._text(bytes((byte,)))  # a control within a sequence acts at once
        return True

    def _begin(self, state: int, *held: int) -> None:
        self._release()
        self._state = state
        self._held += bytes(held)

    def _hold_more(self, data: bytes) -> None:
        if len(self._held) + len(data) > PARAMETERS_MAX:
            self._too_long = True
        else:
            self._held += data

    def _release(self) -> bytes:
        held = bytes(self._held)
        self._held.clear()
        self._too_long = False
        self._state = _GROUND
        return held
