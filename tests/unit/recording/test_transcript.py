from __future__ import annotations

import gzip
import os
import tracemalloc
from pathlib import Path

import pytest

from oobconsole.config.schema import RecordingConfig
from oobconsole.recording.entries import Printed
from oobconsole.recording.frames import SLICE, Frame
from oobconsole.recording.rawlog import RawLog
from oobconsole.recording.retention import compress, tidy
from oobconsole.recording.segments import RAW, segments
from oobconsole.recording.transcript import Transcript

NOW = 1700000000.0


def never() -> bool:
    return False


@pytest.fixture(params=["plain", "compressed"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Three segments: `a` to `j`, a hole of 10 bytes, `k` to `t`, `u` to `z`; a line and a minute for each byte."""
    folder = tmp_path / "web1"
    log = RawLog(folder, RecordingConfig(rotate_hours=1))
    offset = 0
    for place, letter in enumerate(b"abcdefghijklmnopqrstuvwxyz"):
        hours = (place // 10) * 3600
        offset += 10 if letter == ord("k") else 0
        log.write([Printed(NOW + hours + place * 60, offset, bytearray((letter, ord("\n"))))])
        offset += 2
    if request.param == "compressed":
        for segment in segments(folder)[:-1]:
            compress(segment, never)
        assert [segment.compressed for segment in segments(folder)] == [True, True, False]
    return folder


def text(transcript: Transcript, start: int) -> str:
    parts = transcript.read(start)
    return "".join(part.data.decode().replace("\n", "") or f"<{part.offset}:{part.missing}>" for part in parts)


def test_it_is_read_from_any_offset(folder: Path) -> None:
    transcript = Transcript(folder)
    assert text(transcript, 0) == "abcdefghij<20:10>klmnopqrstuvwxyz"
    assert text(transcript, 18) == "j<20:10>klmnopqrstuvwxyz"
    assert text(transcript, 32) == "lmnopqrstuvwxyz"
    assert text(transcript, 60) == "z"
    assert text(transcript, 62) == text(transcript, 1 << 40) == ""


def test_it_is_read_from_any_time(folder: Path) -> None:
    transcript = Transcript(folder)
    assert transcript.offset_at(0) == 0
    assert transcript.offset_at(NOW + 60) == 2
    assert transcript.offset_at(NOW + 61) == 4
    assert transcript.offset_at(NOW + 1000) == 30
    assert transcript.offset_at(NOW + 2 * 3600 + 25 * 60) == 60
    assert transcript.offset_at(NOW + 99999) is None


def test_it_is_read_from_any_line(folder: Path) -> None:
    transcript = Transcript(folder)
    ends = [text(transcript, transcript.tail(lines)) for lines in (0, 1, 6, 7, 16, 17, 26, 99)]
    assert ends == [
        "",
        "z",
        "uvwxyz",
        "tuvwxyz",
        "<20:10>klmnopqrstuvwxyz",
        "j<20:10>klmnopqrstuvwxyz",
        "abcdefghij<20:10>klmnopqrstuvwxyz",
        "abcdefghij<20:10>klmnopqrstuvwxyz",
    ]


def test_an_unfinished_line_is_not_counted(folder: Path) -> None:
    log = RawLog(folder, RecordingConfig())
    log.recover()
    log.write([Printed(NOW, log.end, bytearray(b"login: "))])
    assert text(Transcript(folder), Transcript(folder).tail(1)) == "zlogin: "


def test_frames_say_when(folder: Path) -> None:
    frames = [(f.at - NOW, f.part.offset, f.part.data) for f in Transcript(folder).frames(18) if isinstance(f, Frame)]
    assert frames[:2] == [(540, 18, b"j\n"), (4200, 30, b"k\n")]
    assert len(frames) == 17


def test_output_that_the_index_does_not_know_has_the_time_before(folder: Path) -> None:
    last = segments(folder)[-1]
    with last.path(RAW).open("ab") as file:
        file.write(b"!")
    last_frame = list(Transcript(folder).frames(62))[-1]
    assert isinstance(last_frame, Frame)
    assert last_frame.part.data == b"!"


def test_a_large_log_is_read_in_slices(tmp_path: Path) -> None:
    size = 1 << 30
    with (tmp_path / f"{0:020d}.raw").open("wb") as file:
        file.truncate(size)
    with gzip.open(tmp_path / f"{size:020d}.raw.gz", "wb") as packed:
        packed.write(bytes(1 << 22))
    (tmp_path / f"{size + (1 << 22):020d}.raw").write_bytes(b"\nend\n")
    tracemalloc.start()
    transcript = Transcript(tmp_path)
    assert transcript.tail(1) == size + (1 << 22) + 1
    part = next(transcript.read(size - SLICE))
    assert (part.offset, len(part.data)) == (size - SLICE, SLICE)
    assert sum(len(part.data) for part in transcript.read(size - SLICE)) == SLICE + (1 << 22) + 5
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 << 20


# -- retention -------------------------------------------------------------------------------------


def written(folder: Path, *sizes: int) -> None:
    log = RawLog(folder, RecordingConfig(rotate_mib=1, asciicast=False))
    offset = 0
    for size in sizes:
        log.write([Printed(NOW, offset, bytearray(os.urandom(size)))])
        offset += size


def test_closed_segments_are_compressed_the_live_one_is_not(tmp_path: Path) -> None:
    written(tmp_path, 1 << 20, 1 << 20, 5)
    before = b"".join(part.data for part in Transcript(tmp_path).read())
    tidy(tmp_path, RecordingConfig(), never)
    assert [segment.compressed for segment in segments(tmp_path)] == [True, True, False]
    assert b"".join(part.data for part in Transcript(tmp_path).read()) == before
    assert not list(tmp_path.glob("*.new"))
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in tmp_path.iterdir())


def test_the_oldest_go_when_there_is_too_much(tmp_path: Path) -> None:
    written(tmp_path, *[1 << 20] * 5)
    tidy(tmp_path, RecordingConfig(keep_mib=3), never)
    assert [segment.start >> 20 for segment in segments(tmp_path)] == [3, 4]
    assert len(list(tmp_path.iterdir())) == 4


def test_nothing_goes_for_what_somebody_else_has_laid_there(tmp_path: Path) -> None:
    written(tmp_path, *[1 << 20] * 2)
    with (tmp_path / "core.4711").open("wb") as foreign:
        foreign.truncate(1 << 30)
    tidy(tmp_path, RecordingConfig(keep_mib=3), never)
    assert [segment.start >> 20 for segment in segments(tmp_path)] == [0, 1]


def test_the_old_go(tmp_path: Path) -> None:
    written(tmp_path, *[1 << 20] * 4)
    for segment in segments(tmp_path)[:2] + segments(tmp_path)[3:]:
        for path in segment.files():
            os.utime(path, (NOW, NOW))
    tidy(tmp_path, RecordingConfig(keep_days=90), never)
    assert [segment.start >> 20 for segment in segments(tmp_path)] == [2, 3]
    assert Transcript(tmp_path).start == 2 << 20


def test_what_is_compressed_keeps_its_age(tmp_path: Path) -> None:
    written(tmp_path, 1 << 20, 5)
    old = segments(tmp_path)[0]
    os.utime(old.path(RAW), (NOW, NOW))
    compress(old, never)
    assert old.path(RAW).with_suffix(".raw.gz").stat().st_mtime == NOW


def test_compressing_stops_with_the_server_and_leaves_the_file(tmp_path: Path) -> None:
    written(tmp_path, 1 << 20, 5)
    answers = iter([False, True])
    with pytest.raises(InterruptedError):
        compress(segments(tmp_path)[0], lambda: next(answers))
    assert [path.name for path in sorted(tmp_path.glob("*.raw*"))] == [f"{0:020d}.raw", f"{1 << 20:020d}.raw"]
    assert not list(tmp_path.glob("*.new"))
