"""What a recording says of a guest's silences, and of where another guest begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from oobconsole.config.schema import RecordingConfig
from oobconsole.console.console import NEW_GUEST
from oobconsole.recording.entries import Entry, Printed, Record
from oobconsole.recording.frames import SLICE, Begun, Frame, Lost, before, frames, joined
from oobconsole.recording.past import past
from oobconsole.recording.rawlog import RawLog
from oobconsole.recording.retention import compress
from oobconsole.recording.segments import INDEX, Segment, segments

NOW = 1700000000.0


def recorded(folder: Path, *entries: tuple[float, bytes | str], mib: int = 64) -> list[Segment]:
    """Output (bytes), and what else happens (`gone`, `new`, `server`, `lost`), each so many seconds after `NOW`."""
    log, offset = RawLog(folder, RecordingConfig(rotate_mib=mib)), 0
    for at, what in entries:
        entry: Entry
        if isinstance(what, bytes):
            entry = Printed(NOW + at, offset, bytearray(what))
            offset += len(what)
        elif what == "server":
            entry = Record(NOW + at, offset, "server", ("started",))
        elif what == "lost":
            entry = Record(NOW + at, offset, "lost", (1000,))
        else:
            entry = Record(NOW + at, offset, "state", ("live", NEW_GUEST) if what == "new" else (what, "it ended"))
        log.write([entry])
    return segments(folder)


def shown(found: list[Segment], start: int = 0) -> list[tuple[float, bytes] | Begun | Lost]:
    """Silences, output, guests, and what was lost."""
    return [
        (item.clock, item.part.data) if isinstance(item, Frame) else item
        for item in frames(found, start)
        if not isinstance(item, Frame) or item.part.data
    ]


def test_a_silence_is_seen_wherever_one_begins(tmp_path: Path) -> None:
    found = recorded(tmp_path, (0, b"abc"), (0.9, b"def"), (3, b"ghi"), (3.2, b"jkl"))
    assert shown(found) == [(0, b"abc"), (0, b"def"), (1, b"ghi"), (1, b"jkl")]
    assert shown(found, 4) == [(0, b"ef"), (1, b"ghi"), (1, b"jkl")]
    assert shown(found, 6) == [(0, b"ghi"), (0, b"jkl")]
    assert [before(found, offset) for offset in (0, 2, 5, 6, 8, 12)] == [b"", b"ab", b"abcde", b"", b"gh", b"ghijkl"]


def test_another_guest_and_another_server_are_in_the_middle_of_nothing(tmp_path: Path) -> None:
    found = recorded(
        tmp_path, (0, b"old"), (0.1, "gone"), (0.2, "new"), (0.3, b"new"), (0.4, "server"), (0.5, b"later")
    )
    assert shown(found) == [(0, b"old"), Begun(3, NOW + 0.2), (1, b"new"), (2, b"later")]
    assert shown(found, 3) == [Begun(3, NOW + 0.2), (1, b"new"), (2, b"later")]
    assert shown(found, 4) == [(0, b"ew"), (1, b"later")]
    assert [before(found, offset) for offset in (2, 3, 5, 6, 8)] == [b"ol", b"", b"ne", b"", b"la"]


@pytest.mark.parametrize("packed", [False, True])
def test_a_guest_that_begins_where_a_segment_does_is_found(tmp_path: Path, packed: bool) -> None:
    full = b"x" * (1 << 20)
    found = recorded(tmp_path, (0, full), (0.1, "new"), (0.2, b"next"), mib=1)
    assert len(found) == 2
    if packed:
        compress(found[0], lambda: False)
    assert shown(found, 1 << 20) == [Begun(1 << 20, NOW + 0.1), (1, b"next")]


def test_what_never_came_is_told_where_it_is_missing(tmp_path: Path) -> None:
    """A native half keeps so much while no server is there; what did not fit has no offsets."""
    found = recorded(tmp_path, (0, b"a line\r\n"), (1, "lost"), (1.1, b"and the end of one\r\n"))
    assert shown(found)[1:] == [Lost(8, 1000), (1, b"and the end of one\r\n")]
    assert shown(found, 8)[0] == Lost(8, 1000)
    assert Lost(8, 1000) not in shown(found, 9)
    items = [item for item in joined(frames(found)) if not isinstance(item, Frame) or item.part.data]
    assert [isinstance(item, Lost) for item in items] == [False, True, False]


@pytest.mark.parametrize("count", [-1, 0, "1", None, 1.5, [1], 10**400])
def test_a_damaged_count_of_it_is_no_error(tmp_path: Path, count: object) -> None:
    log = RawLog(tmp_path, RecordingConfig())
    log.write([Printed(NOW, 0, bytearray(b"a")), Record(NOW, 1, "lost", (count,)), Printed(NOW, 1, bytearray(b"b"))])
    assert b"".join(item.part.data for item in frames(segments(tmp_path)) if isinstance(item, Frame)) == b"ab"


def test_a_clock_that_is_set_is_no_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment has the times of one clock; its header says which."""
    log = RawLog(tmp_path, RecordingConfig())
    log.write([Record(NOW, 0, "clock", (NOW - 100,)), Printed(NOW, 0, bytearray(b"a"))])
    set_to = NOW + 86400
    log.write([Record(set_to, 1, "clock", (set_to - 100.5,)), Printed(set_to, 1, bytearray(b"b"))])
    log.write([Printed(set_to + 7, 2, bytearray(b"c"))])
    assert len(segments(tmp_path)) == 2
    assert shown(segments(tmp_path)) == [(0, b"a"), (0, b"b"), (1, b"c")]


def test_frames_are_joined_up_to_silences_guests_and_holes(tmp_path: Path) -> None:
    recorded(tmp_path, (0, b"a"), (0.1, b"b"), (5, b"c"), (5.1, "new"), (5.2, b"d"), (5.3, b"e"))
    log = RawLog(tmp_path, RecordingConfig())
    log.recover()
    log.write([Printed(NOW + 5.4, 10, bytearray(b"f"))])
    items = [
        (item.clock, item.part.data or item.part.missing) if isinstance(item, Frame) else item
        for item in joined(frames(segments(tmp_path)))
        if not isinstance(item, Frame) or item.part.data or item.part.missing
    ]
    assert items == [(0, b"ab"), (1, b"c"), Begun(3, NOW + 5.1), (2, b"de"), (2, 5), (2, b"f")]


def test_much_is_joined_in_slices(tmp_path: Path) -> None:
    recorded(tmp_path, *[(n / 1000, b"x" * 1000) for n in range(200)])
    parts = [item.part for item in joined(frames(segments(tmp_path))) if isinstance(item, Frame)]
    assert sum(len(part.data) for part in parts) == 200_000
    assert max(len(part.data) for part in parts) <= SLICE
    assert len([part for part in parts if part.data]) < 6


def test_a_long_index_is_not_read_from_its_beginning(tmp_path: Path) -> None:
    """And what is found is what would have been."""
    log = RawLog(tmp_path, RecordingConfig(asciicast=False))
    log.write([Printed(NOW + n / 100, n, bytearray(b"x")) for n in range(20_000)])
    (segment,) = segments(tmp_path)
    assert segment.path(INDEX).stat().st_size > 5 << 16
    everything = list(segment.records())
    for start in (1, 5000, 12_345, 19_999, 30_000):
        found = list(segment.records(start))
        assert found == everything[-len(found) :]
        assert len(found) < max(0, 20_000 - start) + 5000
        assert found[0][1] < start or start == 0
        first = next(item for item in frames([segment], min(start, 19_999)) if item.part.data)  # type: ignore[union-attr]
        assert isinstance(first, Frame)
        assert (first.part.offset, first.at) == (min(start, 19_999), round(NOW + min(start, 19_999) / 100, 3))


def test_the_next_server_learns_of_guests_and_silences(tmp_path: Path) -> None:
    found = recorded(tmp_path, (0, b"old"), (0.1, "gone"), (0.2, "new"), (0.3, b"new"), (5, b"er"), (6, "off"))
    assert past(found, 0) == (((3, NOW + 0.2),), (6,), True)
    assert past(found, 4) == ((), (6,), True)
    assert past(found, 7) == ((), (), True)
    assert past([], 0) == ((), (), False)
    other = recorded(tmp_path / "other", (0, b"x"), (1, "gone"), (2, "new"))
    assert past(other, 0).ended is False
