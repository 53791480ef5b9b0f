"""Reading a recording: by offset, time and lines, over segments that are compressed or not. Blocking: for threads.

Everything is read in slices, and a generator does no more than one slice's work between two items: whoever reads may
stop, and others get their turn.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from oobconsole import clock
from oobconsole.recording.frames import SLICE, Item, Part, before, began, frames, with_next
from oobconsole.recording.segments import RAW, Segment, segments

#: More lines are not counted backwards.
LINES_MAX: Final = 100_000


class Transcript:
    """The recording of one console.

    Args:
        folder: where its segments are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def segments(self) -> list[Segment]:
        """The segments that exist now."""
        return segments(self._folder)

    @property
    def start(self) -> int:
        """The offset of the oldest byte that is kept."""
        found = self.segments()
        return found[0].start if found else 0

    # -- bytes --------------------------------------------------------------------------------------

    def read(self, start: int = 0) -> Iterator[Part]:
        """From an absolute offset to the end, as it is then."""
        at: int | None = None
        for segment, last in with_next(self.segments()):
            if last is not None and last.start <= start:
                continue
            at = segment.start if at is None else at
            if segment.start > at:
                yield Part(at, b"", segment.start - at)
            at = max(segment.start, start)
            for part in _slices(segment, at - segment.start):
                at = part.offset + len(part.data)
                yield part

    def before(self, offset: int) -> bytes:
        """What was printed before that offset: enough to know whether it is in the middle of a string."""
        return before(self.segments(), offset)

    def tail(self, lines: int) -> int:
        """Offset at which the last lines begin, the unfinished one not counted; of the oldest byte when there are
        fewer."""
        wanted = min(lines, LINES_MAX) + 1
        for segment in reversed(self.segments()):
            ends = _line_ends(segment, wanted)
            if len(ends) >= wanted:
                return ends[-wanted] + 1
            wanted -= len(ends)
        return self.start

    # -- time ---------------------------------------------------------------------------------------

    def offset_at(self, time: float, *, elapsed: bool = False) -> int | None:
        """Offset of what was printed first from that time on (since 1970, in seconds); None: nothing was.

        Of a clock that was set, the last passage counts: what was printed before the last moment at which it showed
        an earlier time is left out, whatever time it has itself.

        Args:
            elapsed: the time is meant as so long ago, whatever the clock showed then. Else it is one that a clock
                showed: the one of then or the one of now, whichever gives more.
        """
        found = self.segments()
        by_todays = _offset_at(found, shifts(found), time)
        if elapsed:
            return by_todays
        return min((at for at in (by_todays, _offset_at(found, [], time)) if at is not None), default=None)

    def frames(self, start: int = 0) -> Iterator[Item]:
        """What was printed, and when, from an absolute offset on, and where another guest's output begins."""
        return frames(self.segments(), start)

    def began(self) -> float:
        """When the oldest segment that has a time was begun; 0: there is none."""
        return next((at for segment in self.segments() if (at := began(segment))), 0.0)

    def typed(self, since: float = 0.0) -> Iterator[list[object]]:
        """Who typed what: [time, offset, user, address, text or number of bytes]."""
        found = self.segments()
        for segment, shift in zip(found, shifts(found), strict=True):
            for record in segment.typed():
                if max(record[0], record[0] + shift) >= since and len(record) == 5:
                    yield record


def shifts(found: list[Segment]) -> list[float]:
    """How many seconds to add to each segment's times to have them by the clock as it is set now, or as it was set at
    the end of that boot of the machine. 0 where nobody knows."""
    latest, back = {clock.boot(): clock.read().booted}, []
    for segment in reversed(found):
        header = segment.header()
        if "boot" not in header or "booted" not in header:
            back.append(0.0)
            continue
        booted = float(header["booted"])
        last = latest.setdefault(header["boot"], booted)
        back.append(last - booted if clock.was_set(booted, last) else 0.0)
    return back[::-1]


def _offset_at(found: list[Segment], shifted: list[float], time: float) -> int | None:
    following: int | None = None
    for number, segment in reversed([*enumerate(found)]):
        since = time - (shifted[number] if shifted else 0.0)
        early = began(segment) < since
        for record in segment.records():
            if len(record) != 2 or (early and record[0] < since):
                continue
            following = int(record[1])
            break
        if early:
            return following
    return following


def _slices(segment: Segment, skip: int) -> Iterator[Part]:
    file = segment.open(RAW)
    if file is None:
        return
    with file:
        if not _skip(file, skip):
            return
        at = segment.start + skip
        while data := file.read(SLICE):
            yield Part(at, data)
            at += len(data)


def _skip(file: IO[bytes], size: int) -> bool:
    """Skip `size` bytes; a compressed file has to be read for that. False: the file ends before."""
    return file.seek(size) == size


def _line_ends(segment: Segment, wanted: int) -> list[int]:
    """Offsets of the segment's last line ends; a file that is not compressed is read from its end."""
    if segment.compressed:
        ends: deque[int] = deque(maxlen=wanted)
        for part in _slices(segment, 0):
            ends.extend(_ends_in(part.data, part.offset))
        return list(ends)
    found: list[int] = []
    file = segment.open(RAW)
    if file is None:
        return []
    with file:
        size = file.seek(0, os.SEEK_END)
        for at in range((size - 1) // SLICE * SLICE, -1, -SLICE):
            file.seek(at)
            found = [*_ends_in(file.read(SLICE), segment.start + at), *found]
            if len(found) >= wanted:
                break
    return found


def _ends_in(data: bytes, offset: int) -> list[int]:
    ends = []
    at = data.find(b"\n")
    while at >= 0:
        ends.append(offset + at)
        at = data.find(b"\n", at + 1)
    return ends
