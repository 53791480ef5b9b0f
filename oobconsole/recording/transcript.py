"""Reads a recording by offset, time and lines, from segments that are compressed or not. It blocks, so it runs in
threads.

Everything is read in slices. A generator does no more than the work of one slice between two items, so that whoever
reads may stop there, and others get their turn.
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

#: How many lines are counted backwards at most.
LINES_MAX: Final = 100_000


class Transcript:
    """The recording of one console.

    Args:
        folder: the folder in which the segments are.
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
        """Yield the output from an absolute offset up to the end, as the end is when it is reached."""
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
        """Return what was printed before that offset: enough to know whether the offset is in the middle of a
        string."""
        return before(self.segments(), offset)

    def tail(self, lines: int) -> int:
        """Return the offset at which the last `lines` lines begin. A line that has not ended is not counted. If there
        are fewer lines, this is the offset of the oldest byte."""
        wanted = min(lines, LINES_MAX) + 1
        for segment in reversed(self.segments()):
            ends = _line_ends(segment, wanted)
            if len(ends) >= wanted:
                return ends[-wanted] + 1
            wanted -= len(ends)
        return self.start

    # -- time ---------------------------------------------------------------------------------------

    def offset_at(self, time: float, *, elapsed: bool = False) -> int | None:
        """Return the offset of what was printed first from that time on; None: nothing was.

        What if the clock was set, so that it showed a time more than once? Then the last passage counts: what was
        printed before the last moment at which the clock showed an earlier time is left out, whatever its own time
        is.

        Args:
            time: in seconds since 1970.
            elapsed: whether the time is meant as "so long ago", whatever the clock showed then. Otherwise it is a
                time that a clock showed: either the clock as it was set then, or as it is set now, whichever gives
                more output.
        """
        found = self.segments()
        by_todays = _offset_at(found, shifts(found), time)
        if elapsed:
            return by_todays
        return min((at for at in (by_todays, _offset_at(found, [], time)) if at is not None), default=None)

    def frames(self, start: int = 0) -> Iterator[Item]:
        """Yield what was printed and when, from an absolute offset on, and where another guest's output begins."""
        return frames(self.segments(), start)

    def began(self) -> float:
        """Return when the oldest segment with a time was begun, in seconds since 1970; 0: there is none."""
        return next((at for segment in self.segments() if (at := began(segment))), 0.0)

    def typed(self, since: float = 0.0) -> Iterator[list[object]]:
        """Yield who typed what since that time (in seconds since 1970), as lists: time, offset, user, address, and
        the text or the number of bytes that were not echoed."""
        found = self.segments()
        for segment, shift in zip(found, shifts(found), strict=True):
            for record in segment.typed():
                if max(record[0], record[0] + shift) >= since and len(record) == 5:
                    yield record


def shifts(found: list[Segment]) -> list[float]:
    """Return, for each segment, how many seconds to add to its times so that they are by the clock as it is set now.
    For an earlier boot of the machine, that is the clock as it was set at the end of that boot. 0: unknown."""
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
    """Return the offset of what was printed first from that time on. `shifted` is what `shifts` returns, or empty."""
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
    """Skip `size` bytes; a compressed file has to be read for that. Returns False if the file ends before."""
    return file.seek(size) == size


def _line_ends(segment: Segment, wanted: int) -> list[int]:
    """Return the offsets of the last `wanted` line ends of a segment. A file that is not compressed is read from its
    end."""
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
