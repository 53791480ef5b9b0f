from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from oobconsole.config.schema import RecordingConfig
from oobconsole.recording import ending, rawlog
from oobconsole.recording.entries import Binding, Entry, Printed, Record
from oobconsole.recording.rawlog import Outcome, RawLog
from oobconsole.recording.segmentfiles import SegmentFiles
from oobconsole.recording.segments import CAST, INDEX, RAW, Segment, segments
from oobconsole.recording.transcript import Transcript
from tests.support.disk import Disk

NOW = 1700000000.0


def printed(offset: int, data: bytes, at: float = NOW) -> Printed:
    return Printed(at, offset, bytearray(data))


def recorded(folder: Path) -> bytes:
    return b"".join(part.data for part in Transcript(folder).read())


def lines(segment: Segment, kind: str) -> list[object]:
    return [json.loads(line) for line in segment.path(kind).read_bytes().splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "recordings" / "web1"


def test_bytes_are_as_the_guest_printed_them(folder: Path) -> None:
    log = RawLog(folder, RecordingConfig())
    assert log.write([printed(0, b"a\0\xff"), printed(3, b"\x1b[2J\r\n", NOW + 1)]) == Outcome()
    (segment,) = segments(folder)
    assert segment.path(RAW).read_bytes() == b"a\0\xff\x1b[2J\r\n"
    assert lines(segment, INDEX)[1:] == [[NOW, 0], [NOW + 1, 3]]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in segment.files())
    assert folder.stat().st_mode & 0o777 == 0o700


def test_it_goes_on_where_it_ended(folder: Path) -> None:
    RawLog(folder, RecordingConfig()).write([printed(0, b"abc")])
    again = RawLog(folder, RecordingConfig())
    again.recover()
    assert (again.end, again.history(2)) == (3, b"bc")
    again.write([printed(3, b"def", NOW + 9)])
    assert recorded(folder) == b"abcdef"
    (segment,) = segments(folder)
    assert lines(segment, CAST)[1:] == [[0, "o", "abc"], [9, "o", "def"]]


def test_a_hole_begins_another_segment_that_says_its_size(folder: Path) -> None:
    log = RawLog(folder, RecordingConfig())
    log.write([printed(0, b"abc")])
    assert log.write([printed(10, b"def")]).hole == 7
    assert [segment.start for segment in segments(folder)] == [0, 10]
    assert segments(folder)[1].header()["hole"] == 7
    assert [tuple(part) for part in Transcript(folder).read()] == [(0, b"abc", 0), (3, b"", 7), (10, b"def", 0)]


def test_a_large_or_old_segment_is_followed_by_another(folder: Path) -> None:
    log = RawLog(folder, RecordingConfig(rotate_mib=1, rotate_hours=1))
    log.write([printed(0, bytes(1 << 20))])
    assert log.write([printed(1 << 20, b"x")]).rotated
    assert log.write([printed((1 << 20) + 1, b"y", NOW + 3600)]).rotated
    assert [segment.start for segment in segments(folder)] == [0, 1 << 20, (1 << 20) + 1]


# -- a crash ---------------------------------------------------------------------------------------


class Writes:
    """Every write(2), and every opening, which may make a file, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[tuple[Path, bytes]] = []
        real = os.write

        def write(fd: int, data: bytes) -> int:
            path = Path(f"/proc/self/fd/{fd}").readlink()
            self.done.append((path, bytes(data)))
            return real(fd, data)

        real_open = os.open

        def opens(path: Path, flags: int, mode: int = 0o777) -> int:
            self.done.append((path, b""))
            return real_open(path, flags, mode)

        monkeypatch.setattr(os, "write", write)
        monkeypatch.setattr(os, "open", opens)

    @property
    def steps(self) -> int:
        """Bytes, and openings."""
        return sum(len(data) or 1 for _, data in self.done)

    def crashed_at(self, count: int, folder: Path) -> None:
        """The files, had the last bytes never been written."""
        folder.mkdir()
        for path, data in self.done:
            if count <= 0:
                return
            with (folder / path.name).open("ab") as file:
                file.write(data[:count])
            count -= len(data) or 1


def test_a_crash_at_any_byte_leaves_files_that_open(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = Writes(monkeypatch)
    log = RawLog(folder, RecordingConfig())
    log.write([Record(NOW, 0, "binding", (7, 1, 0)), printed(0, "gr\xfc\xdfe\r\n".encode())])
    log.write([printed(9, b"b"), Record(NOW, 10, "binding", (7, 2, 10)), printed(10, b"cd", NOW + 1)])
    log.write([printed(20, b"efg", NOW + 2), Record(NOW, 23, "typed", ("alice", "::1", "x\r"))])
    monkeypatch.undo()
    for count in range(writes.steps + 1):
        left = tmp_path / str(count)
        writes.crashed_at(count, left)
        _opens(left)


def _opens(folder: Path) -> None:
    sizes = {path.name: path.stat().st_size for path in folder.glob("*.raw")}
    before = recorded(folder)
    again = RawLog(folder, RecordingConfig())
    again.recover()
    assert again.end == max((int(name[:20]) + size for name, size in sizes.items()), default=0)
    assert recorded(folder) == before
    if 0 < again.end <= 10:
        assert again.binding in (Binding(7, 1, 0), Binding(7, 2, 10))
    if again.end > 10:
        assert again.binding == Binding(7, 2, 10)
    for path in (*folder.glob("*.idx"), *folder.glob("*.cast"), *folder.glob("*.typed")):
        assert [json.loads(line) for line in path.read_bytes().splitlines()], path
    assert not again.write([printed(again.end, b"!")]).error
    assert recorded(folder) == before + b"!"


def test_the_binding_of_a_long_index_is_found_at_its_end(folder: Path) -> None:
    log = RawLog(folder, RecordingConfig())
    log.write([Record(NOW, 0, "binding", (7, 1, -5))])
    for at in range(0, 20000, 100):
        log.write([printed(at + i, b"x", NOW + at + i) for i in range(100)])
    again = RawLog(folder, RecordingConfig())
    again.recover()
    assert segments(folder)[0].path(INDEX).stat().st_size > 4 * ending.BINDING_EVERY
    assert (again.end, again.binding) == (20000, Binding(7, 1, -5))


# -- a full disk -----------------------------------------------------------------------------------


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 256 KiB."""
    with Disk("size=256k") as disk:
        yield disk.path


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rawlog, "RETRY_FIRST", 0.0)
    monkeypatch.setattr(rawlog, "RETRY_LAST", 0.0)


@pytest.mark.needs("mount")
@pytest.mark.usefixtures("no_waiting")
def test_a_full_disk_leaves_a_hole_of_exact_size(small_disk: Path) -> None:
    folder = small_disk / "web1"
    log = RawLog(folder, RecordingConfig(asciicast=False))
    ballast = small_disk / "ballast"
    log.write([printed(0, b"begin")])
    ballast.write_bytes(bytes(200 << 10))
    data = os.urandom(128 << 10)
    outcome = log.write([printed(5, data)])
    assert outcome.error == os.strerror(errno.ENOSPC)
    kept = log.end
    assert 5 < kept < 5 + len(data)  # as much as the disk took
    assert log.write([printed(5 + len(data), b"still full " * 9999)]).error
    end = 5 + len(data) + 11 * 9999
    ballast.unlink()
    assert log.write([printed(end, b"again")]).hole == end - kept
    parts = list(Transcript(folder).read())
    assert b"".join(part.data for part in parts) == b"begin" + data[: kept - 5] + b"again"
    assert [(part.offset, part.missing) for part in parts if part.missing] == [(kept, end - kept)]
    again = RawLog(folder, RecordingConfig(asciicast=False))
    again.recover()
    assert again.end == end + 5


def test_it_is_tried_again_later_and_later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    folder.parent.mkdir()
    folder.write_text("a file in its place")
    log = RawLog(folder, RecordingConfig())
    waits = []
    for _ in range(8):
        outcome = log.write([printed(0, b"x")])
        assert outcome.error == os.strerror(errno.EEXIST)
        waits.append(outcome.retry_s)
        clock[0] += outcome.retry_s
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    folder.unlink()
    assert log.write([printed(5, b"y")]) == Outcome(hole=5)


@pytest.mark.needs("mount")
@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("free", range(0, 24, 2))
def test_what_could_not_be_written_is_given_back(small_disk: Path, free: int) -> None:
    """faults.md 25: wherever in its files the disk ends, what is written then is all of it, once."""
    log = RawLog(small_disk / "web1", RecordingConfig())
    log.write([printed(0, b"begin")])
    data = os.urandom(64 << 10)
    rest: Sequence[Entry] = [
        Record(NOW, 5, "attached", ("alice",)),
        printed(5, data),
        Record(NOW, 5 + len(data), "typed", ("a", "b", "c")),
        Record(NOW, 5 + len(data), "detached", ("alice",)),
    ]
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes((256 - 4 * (free + 4)) << 10))  # the first files have four pages
    outcome = log.write(rest)
    ballast.unlink()
    while outcome.error:
        outcome = log.write(outcome.rest)
    assert recorded(small_disk / "web1") == b"begin" + data
    kinds = [r[2] for segment in segments(small_disk / "web1") for r in segment.records() if len(r) > 2]
    assert kinds == ["attached", "detached"]
    assert len([*Transcript(small_disk / "web1").typed()]) == 1
    assert not any(part.missing for part in Transcript(small_disk / "web1").read())


@pytest.mark.parametrize("kind", [INDEX, RAW])
@pytest.mark.parametrize("where", ["as a segment begins", "in its first write"])
@pytest.mark.parametrize("hole", [0, 7])
def test_a_hole_is_counted_from_what_the_files_have(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str, where: str, hole: int
) -> None:
    """`make faults` found it: a segment without output was removed, and with it what its header said of a hole."""
    call = "append" if where == "in its first write" else "make"
    real = getattr(SegmentFiles, call)

    def fails(files: SegmentFiles, which: str, data: bytes) -> None:
        if which == kind:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(files, which, data)

    log = RawLog(folder, RecordingConfig(rotate_hours=1))
    log.write([printed(0, b"abc")])
    with monkeypatch.context() as patch:
        patch.setattr(SegmentFiles, call, fails)
        for _ in range(2):
            entries = [printed(3 + hole, b"def", NOW + 7200)]
            outcome = log.write(entries)
            assert (outcome.error, outcome.rest) == (os.strerror(errno.ENOSPC), entries)
    assert log.write([printed(20, b"ghi", NOW + 7200)]).hole == 17
    assert segments(folder)[-1].header()["hole"] == 17
    assert [part.missing for part in Transcript(folder).read() if part.missing] == [17]
