"""Reads what a guest printed, with the times, the silences, and the places where another guest's output begins.
Blocking.

To show what a console showed, a reader of a recording has to know both of these: a terminal gives up a string that
never ends when nothing comes for a while (terminal/safe.py), and the output of one guest does not go on in the next
guest's output.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import IO, Any, Final, NamedTuple

from oobconsole.console.console import NEW_GUEST
from oobconsole.recording.segments import RAW, Segment
from oobconsole.terminal.safe import BEFORE, SILENCE_SECONDS, says_where_it_ends

#: How many bytes of output are read at a time.
SLICE: Final = 65536
#: How many records of an index are looked through at a time.
RECORDS: Final = 1000
_NEW_GUEST: Final = ["state", "live", NEW_GUEST]


class Part(NamedTuple):
    """A piece of a recording.

    Attributes:
        offset: the absolute offset of the first byte of `data`, or of the first missing byte.
        data: the bytes; may be empty.
        missing: how many bytes were not recorded, or are no longer kept.
    """

    offset: int
    data: bytes
    missing: int = 0


class Frame(NamedTuple):
    """What was printed at one time. Now and then a frame is empty: it only says how far the reader has come.

    Attributes:
        at: the time by the wall clock, in seconds since 1970.
        clock: the time in seconds by a clock that only advances when the guest is silent for a while, as
            `Console.clock`. It does not depend on how the wall clock was set.
    """

    at: float
    part: Part
    clock: float = 0.0


class Begun(NamedTuple):
    """The output of another guest begins at that absolute offset. The guest appeared at that time, in seconds since
    1970."""

    offset: int
    at: float


class Lost(NamedTuple):
    """So many bytes of output never reached the server. They have no offsets. `offset` is that of the next byte."""

    offset: int
    bytes: int


Item = Frame | Begun | Lost


class _Clock:
    """A clock that goes on only when the guest was silent, as `Console.clock` does for live output."""

    def __init__(self) -> None:
        self.now = 0.0
        self._last: tuple[object, float] = "", math.inf

    def printed(self, boot: object, at: float, *, counts: bool) -> None:
        """Something was printed.

        Args:
            boot: the boot of this machine in which it was printed.
            at: how many seconds after that boot.
            counts: a silence before it makes the clock go on.
        """
        before, last = self._last
        if counts and last != math.inf and (before != boot or at - last >= SILENCE_SECONDS):
            self.now += SILENCE_SECONDS
        self._last = boot, at

    def cut(self) -> None:
        """Count a silence here: no string that was begun before goes on."""
        self.now += SILENCE_SECONDS
        self._last = "", math.inf


def with_next(found: list[Segment]) -> Iterator[tuple[Segment, Segment | None]]:
    """Return each segment together with the next one, which is None for the last segment."""
    for place, segment in enumerate(found, 1):
        yield segment, found[place] if place < len(found) else None


def began(segment: Segment) -> float:
    """Return when the segment was begun, in seconds since 1970; 0: unknown."""
    return float(segment.header().get("time", 0.0))


def frames(found: list[Segment], start: int = 0) -> Iterator[Item]:
    """Yield what these segments hold from an absolute offset on, in order."""
    clock = _Clock()
    for segment, after in with_next(found):
        if after is None or after.start >= start:
            yield from _frames(segment, start, clock, after.start if after is not None else 0)


def _frames(segment: Segment, start: int, clock: _Clock, end: int) -> Iterator[Item]:
    """Yield what a segment holds. Between two times in the index stands the output that was printed at the first of
    them. The output behind the last time, which a crash has left without a time, counts as printed at the last time.

    Args:
        segment: the segment.
        start: the absolute offset from which on.
        clock: counts the silences.
        end: where the next segment begins; 0: there is none.
    """
    file = segment.open(RAW)
    if file is None:
        return
    header = segment.header()
    boot, booted = header.get("boot", ""), float(header.get("booted", 0.0))
    with file:
        at, time = max(start, segment.start), float(header.get("time", 0.0))
        first, known = at, max(at, end)
        file.seek(at - segment.start)
        for number, record in enumerate(segment.records(start), 1):
            offset, counts = int(record[1]), record[1] > start
            known = max(known, offset)
            is_output, is_cut, lost = len(record) == 2, _is_cut(record), _lost(record)
            if is_output or is_cut or lost:
                yield from _frames_to(file, at, offset, time, clock)
                at = max(at, offset)
            if is_output:
                time = float(record[0])
                clock.printed(boot, time - booted, counts=counts)
            elif is_cut and (counts or record[1] == start):
                clock.cut()
                if record[2:] == _NEW_GUEST:
                    yield Begun(offset, float(record[0]))
            elif lost and (counts or record[1] == start):
                yield Lost(offset, lost)
            if number % RECORDS == 0:
                yield Frame(time, Part(at, b""), clock.now)
        yield from _frames_to(file, at, None, time, clock)
        reached = max(first, segment.start + file.tell())
        if segment.compressed and reached == first < known:  # nothing can be read: all of it is missing
            yield from (Frame(time, Part(offset, b""), clock.now) for offset in (reached, known))


def _is_cut(record: list[Any]) -> bool:
    """Return whether a string that was begun before this record ends here: another guest, or another server,
    begins."""
    return record[2:] == _NEW_GUEST or record[2:3] == ["server"]


def _lost(record: list[Any]) -> int:
    """Return how many bytes of output never reached the server at the place of a record."""
    return max(0, record[3]) if record[2:3] == ["lost"] and len(record) == 4 and isinstance(record[3], int) else 0


def _frames_to(file: IO[bytes], at: int, end: int | None, time: float, clock: _Clock) -> Iterator[Frame]:
    while end is None or at < end:
        data = file.read(SLICE if end is None else min(SLICE, end - at))
        if not data:
            return
        yield Frame(time, Part(at, data), clock.now)
        at += len(data)


def joined(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the same items, but with as few frames as the silences allow, and with the parts that are missing. This
    is for callers to whom times do not matter."""
    end, waiting = -1, bytearray()
    last = Frame(0.0, Part(0, b""))
    for number, item in enumerate(items, 1):
        part = item.part if isinstance(item, Frame) else Part(item.offset, b"")
        is_hole = 0 <= end < part.offset and isinstance(item, Frame)
        is_other = not isinstance(item, Frame) or is_hole or item.clock != last.clock
        if is_other or len(waiting) + len(part.data) > SLICE or number % RECORDS == 0:
            yield _taken(last, end, waiting)
        if is_hole:
            yield Frame(last.at, Part(end, b"", part.offset - end), last.clock)
        if not isinstance(item, Frame):
            yield item
            continue
        end = part.offset + len(part.data)
        waiting += part.data
        last = item
    yield _taken(last, end, waiting)


def _taken(last: Frame, end: int, waiting: bytearray) -> Frame:
    data = bytes(waiting)
    waiting.clear()
    return Frame(last.at, Part(end - len(data), data), last.clock)


def before(found: list[Segment], offset: int) -> bytes:
    """Return the output before that offset, as much as it takes to know whether the offset is in the middle of a
    string. Output before a silence, or of another guest, does not matter."""
    seen = b""
    for size in BEFORE:
        begin = max(0, offset - size)
        seen, is_all = _printed(frames(found, begin), offset)
        if is_all or not begin or says_where_it_ends(seen):
            break
    return seen


def _printed(items: Iterator[Item], offset: int) -> tuple[bytes, bool]:
    """Return the output up to an offset since the last silence, hole or beginning of a guest, and whether there was
    one."""
    seen, end, is_all, clock = bytearray(), -1, False, 0.0
    for item in items:
        at = item.part.offset if isinstance(item, Frame) else item.offset
        if at > offset:
            break
        if isinstance(item, Lost):
            continue
        if isinstance(item, Begun):
            seen.clear()
            is_all = True
            continue
        if not item.part.data:
            continue
        if end >= 0 and (item.clock != clock or at != end):
            seen.clear()
            is_all = True
        if at == offset:
            break
        end, clock = at + len(item.part.data), item.clock
        seen += item.part.data[: offset - at]
    return bytes(seen), is_all
