"""What a console has printed, as patterns see it. Nothing here reads or writes anything: text comes in by calls.

Patterns see words, not a terminal's sequences: a prompt is found whatever colours its shell closes behind it. The
server's verb `wait` leaves the same out.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Final

from oobconsole.terminal.safe import SILENCE_SECONDS

#: What is kept of the output, in characters; a pattern is looked for in it.
TRANSCRIPT_MAX: Final = 1 << 20
#: What is kept of it with its sequences, in characters: enough to draw a screen.
RAW_MAX: Final = 1 << 16
#: ECMA-48: a control sequence; the beginning of a string (DCS, OSC, SOS, PM, APC, and GNU screen's title); another
#: escape sequence; single controls, but for those that move within and between lines; and what is none of these, or
#: not whole. No terminal's sequence is longer than the limit here.
_SEQUENCE: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,4096}[ -/]{0,8}[@-~]"
    r"|(?P<string>\x1b[P\]X^_k]|[\x90\x9d\x98\x9e\x9f])"
    r"|\x1b(?:[ -/]{1,8}[0-~]|[0-OQ-WYZ\\`-jl-~])"
    r"|[\x00-\x07\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x8f\x91-\x97\x99\x9a\x9c]"
    r"|(?P<begun>\x1b\[?|\x9b)"
)
#: What may become one of these when more has come.
_BEGUN: Final = re.compile(r"(?:(?:\x1b\[|\x9b)[0-?]{0,4096}[ -/]{0,8}|\x1b[ -/]{0,8})\Z")
#: What ends a string: ST, BEL, CAN, SUB; and a line feed, as it was noise on the line then, and no string.
_STRING_END: Final = re.compile(r"\x1b\\?|[\x07\x18\x1a\x9c]|(?=\n)")


class Words:
    """Takes a terminal's escape sequences and control characters out of a text that comes in any pieces."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._fed = 0.0
        self._held = ""  # what may be the beginning of a sequence
        self._in_string = False

    def feed(self, text: str) -> str:
        """Return what is left of it; what may be the beginning of a sequence is held back until more has come."""
        now = self._clock()
        if self._in_string and now - self._fed >= SILENCE_SECONDS:
            self._in_string, self._held = False, ""
        self._fed = now
        text, self._held = self._held + text, ""
        kept: list[str] = []
        at = 0
        while at < len(text):
            if self._in_string:
                at = self._string(text, at)
                continue
            found = _SEQUENCE.search(text, at)
            if found is None:
                kept.append(text[at:])
                break
            kept.append(text[at : found.start()])
            if found["begun"] is not None and _BEGUN.match(text, found.start()):
                self._held = text[found.start() :]
                break
            self._in_string = found["string"] is not None
            at = found.end()
        return "".join(kept)

    def _string(self, text: str, at: int) -> int:
        """Skip a string; returns where it ends."""
        end = _STRING_END.search(text, at)
        if end is None:
            return len(text)
        if end[0] == "\x1b":
            if end.end() == len(text):  # the first half of ST, or of another sequence
                self._held = end[0]
                return len(text)
            self._in_string = False
            return end.start()  # another sequence begins: this string has no end of its own
        self._in_string = False
        return end.end()


class Transcript:
    """The last output. The position of a character stays what it is while older output is forgotten.

    Attributes:
        start: the position of the first character that is kept.
    """

    def __init__(self) -> None:
        self.start = 0
        self._words = Words()
        self._text = ""
        self._pieces: list[str] = []
        self._length = 0  # of text and pieces
        self._raw = ""

    @property
    def end(self) -> int:
        """The position behind the last character."""
        return self.start + self._length

    @property
    def text(self) -> str:
        """What is kept of the output, at most a mebibyte of characters."""
        if self._pieces:
            whole = "".join((self._text, *self._pieces))
            self._pieces.clear()
            self._text = whole[-TRANSCRIPT_MAX:]
            self.start += len(whole) - len(self._text)
            self._length = len(self._text)
        return self._text

    @property
    def raw(self) -> str:
        """The last 64 KiB of characters as they came, with a terminal's sequences."""
        return self._raw[-RAW_MAX:]

    def feed(self, text: str) -> None:
        """Add output that has come, as text with its escape sequences."""
        self._raw = (self._raw if len(self._raw) <= 2 * RAW_MAX else self.raw) + text[-RAW_MAX:]
        self.note(self._words.feed(text))

    def note(self, text: str) -> None:
        """Add a text that is ours, and no output of the guest's."""
        if text:
            self._pieces.append(text)
            self._length += len(text)
            if self._length > 2 * TRANSCRIPT_MAX:
                _ = self.text  # forgets what is too old
