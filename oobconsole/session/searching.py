"""Finds the lines of a recording in which a pattern is. It blocks, so it runs in threads, one turn of work at a time.

Where does a line end? At a line feed, or where a progress bar returns to the beginning of its line.

What if a limit keeps output from being searched? That is counted, and the user is told. "There is none" is only said
of what was searched.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from oobconsole.patterns import Match, Pattern, find, is_bounded, wants_line_end
from oobconsole.recording.frames import Begun, Frame, Item, Lost
from oobconsole.session.when import begins, shown
from oobconsole.terminal.plain import PlainText
from oobconsole.terminal.text import escaped

#: A longer line is searched in pieces of so many characters. Each piece begins with the last OVERLAP characters of
#: the piece before.
PIECE: Final = 65536
OVERLAP: Final = 4096
#: How much processor time a search of 4096 characters may take, in seconds.
MATCH_SECONDS: Final = 0.05
#: How long one turn of a search in a reader's thread takes, in seconds.
TURN_SECONDS: Final = 0.05
#: How many characters of a long line are shown.
SHOWN_MAX: Final = 4096
_END: Final = re.compile(rb"\r*\n|\r+")


class Line(NamedTuple):
    """A line, or a piece of a long line.

    Attributes:
        at: when the first byte of the line was printed, in seconds since 1970.
        offset: the offset of that byte in the output.
        text: the text. In a piece that is not the first one, one character of the piece before stands before it.
        is_begun: whether the text begins where the line does.
        is_ended: whether the text ends where the line does.
        guest: when the guest that printed the line appeared, in seconds since 1970; 0: it was there already.
    """

    at: float
    offset: int
    text: str
    is_begun: bool = True
    is_ended: bool = True
    guest: float = 0.0


class Lines:
    """Makes lines of what was printed.

    Args:
        before: what was printed before. It is needed because the output may begin in the middle of a string, such as
            a title.

    Attributes:
        missing: how many bytes are not in the recording although bytes before and after them are.
        divided: how many lines were too long to be looked at as a whole.
    """

    def __init__(self, before: bytes = b"") -> None:
        self.missing = 0
        self.divided = 0
        self._plain = PlainText()
        self._plain.resume(before)
        self._guest = 0.0
        self._text: list[str] = []
        self._length = 0
        self._at = 0.0
        self._offset = -1  # of the line that has begun; -1: none has
        self._is_begun = True
        self._returned = False  # a return has ended a line, and a line feed behind it ends the same line

    def of(self, frames: Iterator[Item]) -> Iterator[Line]:
        """Yield the lines, in order. The last line may not have been ended."""
        end = -1
        for frame in frames:
            if isinstance(frame, Begun):
                yield from self._end()
                self._plain, self._returned, self._guest = PlainText(), False, frame.at
                continue
            if isinstance(frame, Lost):
                yield from self._hole(frame.bytes)
                continue
            at = frame.part.offset
            if at != end and end >= 0:  # behind missing bytes another line begins
                yield from self._hole(max(0, at - end))
            end = at + len(frame.part.data)
            yield from self._of(frame, at)
        yield from self._end()

    def _hole(self, size: int) -> Iterator[Line]:
        """Note that `size` bytes are missing, and end the line that has begun."""
        self.missing += size
        yield from self._end()
        self._returned = False  # the parser stays as it is: the rest of a string that has begun is no text, either

    def _of(self, frame: Frame, offset: int) -> Iterator[Line]:
        """Yield the lines that a frame ends, and keep the line that it begins."""
        data, at = frame.part.data, 0
        while at < len(data):
            ending = _END.search(data, at)
            stop, behind = ending.span() if ending else (len(data), len(data))
            if stop > at:
                self._returned = False
            yield from self._add(frame, offset + at, data[at:behind], is_text=stop > at)
            if ending is None:
                return
            self._ends(frame.at, offset + stop, ending[0][-1:])
            yield from self._end()
            at = behind

    def _begin(self, time_: float, offset: int) -> None:
        self._at, self._offset, self._is_begun = time_, offset, True

    def _add(self, frame: Frame, offset: int, data: bytes, *, is_text: bool) -> Iterator[Line]:
        """Add bytes to the line that has begun, those that end the line included: half a character that was held back
        comes out with them. Yields pieces if the line gets too long."""
        if self._offset < 0 and is_text:
            self._begin(frame.at, offset)
        text = self._plain.feed(data, frame.clock).rstrip("\r\n")
        self._text.append(text)
        self._length += len(text)
        while self._length > PIECE + OVERLAP:
            whole = "".join(self._text)
            self.divided += self._is_begun
            yield Line(self._at, self._offset, whole[:PIECE], self._is_begun, False, self._guest)
            rest = whole[PIECE - OVERLAP - 1 :]
            self._text, self._length, self._is_begun = [rest], len(rest), False

    def _ends(self, time_: float, offset: int, ending: bytes) -> None:
        """Note the end of a line. If no line has begun, that is the end of an empty line, unless a return has ended
        the line just before."""
        if ending == b"\r":
            self._returned = self._returned or self._offset >= 0
            return
        if self._offset < 0 and not self._returned:
            self._begin(time_, offset)
        self._returned = False

    def _end(self) -> Iterator[Line]:
        """Yield the line that has begun, if there is one."""
        if self._offset >= 0:
            yield Line(self._at, self._offset, "".join(self._text), self._is_begun, True, self._guest)
        self._text, self._length, self._offset = [], 0, -1


class Search:
    """One search for a pattern.

    Args:
        pattern: what is searched for.
        before: what was printed before the output that is searched, as in `Lines`.

    Attributes:
        found: how many lines were found so far.
    """

    def __init__(self, pattern: Pattern, before: bytes = b"") -> None:
        self.found = 0
        self._pattern = pattern
        self._lines = Lines(before)
        self._last = (-1, False)  # the offset of the line that was looked at last, and whether the line was found
        self._guest = 0.0  # the guest (`Line.guest`) of the line that was found last

    def turns(self, frames: Iterator[Item]) -> Iterator[list[str]]:
        """Yield the lines to be shown, those of one turn at a time. A line of ours stands between what two guests
        have printed.

        Raises:
            TooSlow: the pattern takes too long.
        """
        until = time.monotonic() + TURN_SECONDS
        found: list[str] = []
        for line in self._lines.of(frames):
            if match := self._match(line):
                if self.found and line.guest != self._guest:
                    found.append(begins(line.guest))
                self.found, self._guest = self.found + 1, line.guest
                found.append(f"{shown(line.at)}  {line.offset}  {_excerpt(line.text, match)}")
            if time.monotonic() >= until:
                yield found
                found, until = [], time.monotonic() + TURN_SECONDS
        yield found

    def left_out(self) -> list[str]:
        """Return sentences about output that was not searched. A negative answer must tell them."""
        told = []
        if self._lines.missing:
            told.append(f"{self._lines.missing} bytes are missing in the recording, and were not searched")
        if self._lines.divided and not is_bounded(self._pattern):
            told.append(
                f"{self._lines.divided} lines are longer than {PIECE} characters: a match in them is found for "
                f"sure only if it has at most {OVERLAP}"
            )
        if not self.found and wants_line_end(self._pattern):
            told.append("lines are searched one by one: nothing is found that has a line end in it")
        return told

    def _match(self, line: Line) -> Match | None:
        """Look for the pattern in a line or piece. A line counts once, however many pieces it has."""
        if self._last == (line.offset, True):
            return None
        text = line.text if line.is_ended else line.text + "\0"  # so that `$` does not match where only a piece ends
        seconds = MATCH_SECONDS * (1 + len(text) / 4096)
        match = find(self._pattern, text, seconds=seconds, begin=0 if line.is_begun else 1)
        self._last = (line.offset, match is not None)
        return match


def _excerpt(text: str, match: Match) -> str:
    """Return the part of a line around a match, with everything escaped that would act on a terminal."""
    begin = max(0, match.start() - SHOWN_MAX // 2) if len(text) > SHOWN_MAX else 0
    cut = text[begin : begin + SHOWN_MAX]
    return f"{'…' if begin else ''}{escaped(cut)}{'…' if begin + SHOWN_MAX < len(text) else ''}"
