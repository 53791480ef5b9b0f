"""What somebody else does to the files of a recording while it is written: it is noticed, and said."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from structlog.testing import capture_logs

from oobconsole.config.schema import RecordingConfig
from oobconsole.recording import retention
from oobconsole.recording.entries import Printed, Record
from oobconsole.recording.frames import Frame
from oobconsole.recording.rawlog import RawLog
from oobconsole.recording.segments import CAST, INDEX, RAW, TYPED, Segment, segments
from oobconsole.recording.transcript import Transcript
from oobconsole.recording.trouble import Trouble
from tests.unit.recording.test_recordings import Desk

NOW = 1_790_000_000.0


def printed(offset: int, data: bytes, at: float = NOW) -> Printed:
    return Printed(at, offset, bytearray(data))


def cut(path: Path) -> None:
    os.truncate(path, 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def remove(path: Path) -> None:
    path.unlink()


def rename(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def replace(path: Path) -> None:
    fresh = path.with_name("fresh")
    fresh.write_bytes(b"another's")
    fresh.replace(path)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"another's")


def folder_there(path: Path) -> None:
    path.unlink()
    path.mkdir()


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/null")


def hard_link(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"another's")
    path.unlink()
    os.link(other, path)


DEEDS = [cut, empty, remove, rename, replace, grow, folder_there, fifo, link, hard_link]


@pytest.mark.parametrize("kind", [RAW, INDEX, CAST, TYPED])
@pytest.mark.parametrize("deed", DEEDS)
def test_it_is_noticed_and_no_byte_is_lost_silently(tmp_path: Path, deed: Callable[[Path], None], kind: str) -> None:
    """issue 12, section 3, recording: what is there and what is said to be missing make up all that was printed."""
    log = RawLog(tmp_path, RecordingConfig())
    log.write([printed(0, b"abcdef"), Record(NOW, 6, "typed", ("alice", "::1", "x"))])
    (first,) = segments(tmp_path)
    deed(first.path(kind))
    outcome = log.write([printed(6, b"ghi"), Record(NOW, 9, "typed", ("alice", "::1", "y"))])
    assert (outcome.error, first.path(kind).name in outcome.damage) == ("", True), outcome
    parts = [*Transcript(tmp_path).read()]
    missing = sum(part.missing for part in parts)
    assert outcome.gone == missing or (kind == RAW and deed in (replace, hard_link)), (outcome, parts)
    assert parts[-1].data.endswith(b"ghi")
    assert sum(len(part.data) for part in parts) + missing == 9, parts
    if kind != RAW:
        assert (missing, parts[0].data + parts[-1].data) == (0, b"abcdefghi")
    assert segments(tmp_path)[-1].header().get("hole", 0) == outcome.hole == outcome.gone
    assert log.write([printed(9, b"j")]).damage == ""
    again = RawLog(tmp_path, RecordingConfig())
    again.recover()
    assert (again.end, again.history(4)) == (10, b"ghij")


def test_the_folder_is_removed(tmp_path: Path) -> None:
    """issue 12, section 3: with the whole recordings folder, too."""
    folder = tmp_path / "recordings" / "web1"
    log = RawLog(folder, RecordingConfig())
    log.write([printed(0, b"abcdef")])
    shutil.rmtree(tmp_path / "recordings")
    outcome = log.write([printed(6, b"ghi")])
    assert (outcome.error, outcome.gone, outcome.hole) == ("", 6, 6)
    assert [(part.offset, part.data) for part in Transcript(folder).read()] == [(6, b"ghi")]
    assert segments(folder)[0].header()["hole"] == 6


def test_it_is_done_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second time within one write it is a failure like any other: it is tried again, and nothing is given up."""
    log = RawLog(tmp_path, RecordingConfig())
    log.write([printed(0, b"abcdef")])
    segments(tmp_path)[0].path(RAW).unlink()
    real = RawLog._begin

    def begin(raw: RawLog, at: float, offset: int) -> None:
        real(raw, at, offset)
        segments(tmp_path)[-1].path(RAW).unlink()

    with monkeypatch.context() as patch:
        patch.setattr(RawLog, "_begin", begin)
        outcome = log.write([printed(6, b"ghi")])
    assert "removed" in outcome.error
    assert "removed" in outcome.damage
    assert log.write(outcome.rest).error == ""
    assert [(part.offset, part.data, part.missing) for part in Transcript(tmp_path).read()][-1] == (6, b"ghi", 0)


async def test_administrators_are_told(tmp_path: Path) -> None:
    """issue 12, section 3: an event, a line in the log, `status`; recording goes on at once."""
    async with Desk(tmp_path) as desk:
        desk.console.output(b"abcdef")
        await desk.recordings.flush()
        (first,) = segments(tmp_path / "web1")
        cut(first.path(RAW))
        with capture_logs() as logs:
            desk.console.output(b"ghi")
            await desk.recordings.flush()
        said = f"{first.path(RAW).name} has 2 bytes where 6 were written"
        assert desk.states() == [("damaged", said, 4)]
        assert desk.recordings.trouble.damaged == {"web1": said}
        assert desk.recordings.trouble.unrecorded == {}
        (line,) = [line for line in logs if "somebody else has changed" in line["event"]]
        assert (line["log_level"], line["console"], line["missing"]) == ("error", "web1", 4)
        assert desk.recorded() == b"abghi"


class TestNoReaderWaits:
    """A FIFO that nobody writes to holds up whoever opens it."""

    def test_in_a_closed_segment(self, tmp_path: Path) -> None:
        log = RawLog(tmp_path, RecordingConfig())
        log.write([printed(0, b"abc")])
        log.write([printed(10, b"def")])
        for kind in (RAW, INDEX, CAST):
            fifo(segments(tmp_path)[0].path(kind))
        transcript = Transcript(tmp_path)
        assert [part.data for part in transcript.read()][-1] == b"def"
        assert transcript.tail(5) == 0
        assert transcript.offset_at(NOW - 1) == 10
        again = RawLog(tmp_path, RecordingConfig())
        again.recover()
        assert again.end == 13

    @pytest.mark.timeout(60)
    @pytest.mark.parametrize("end", ["", ".gz"])
    def test_when_it_is_asked_when_the_recording_began(self, tmp_path: Path, end: str) -> None:
        """`Transcript.began`, frames and what was typed: of the first segment that is one."""
        log = RawLog(tmp_path, RecordingConfig())
        log.write([printed(0, b"abc"), Record(NOW, 3, "typed", ("alice", "::1", "x"))])
        log.write([printed(10, b"def", NOW + 60), Record(NOW + 60, 13, "typed", ("bob", "::1", "y"))])
        first = segments(tmp_path)[0]
        for kind in (RAW, INDEX, CAST, TYPED):
            first.path(kind).unlink()
            os.mkfifo(f"{first.path(kind)}{end}")
        transcript = Transcript(tmp_path)
        assert transcript.began() == NOW + 60
        assert [frame.part.data for frame in transcript.frames() if isinstance(frame, Frame)] == [b"def"]
        assert [record[2] for record in transcript.typed()] == ["bob"]
        assert transcript.before(12) == b"de"
        for path in segments(tmp_path)[1].files():
            path.unlink()
        assert transcript.began() == 0.0

    async def test_by_the_janitor(self, tmp_path: Path) -> None:
        log = RawLog(tmp_path / "web1", RecordingConfig())
        log.write([printed(0, b"abc")])
        log.write([printed(10, b"def")])
        fifo(segments(tmp_path / "web1")[0].path(CAST))
        async with Desk(tmp_path):
            pass
        assert segments(tmp_path / "web1")[-1].start == 10


def test_what_nobody_has_changed_is_no_damage(tmp_path: Path) -> None:
    """Times, modes, owners and further names of a file are as may be."""
    log = RawLog(tmp_path, RecordingConfig())
    log.write([printed(0, b"abc")])
    for path in segments(tmp_path)[0].files():
        os.utime(path, (1, 1))
        path.chmod(0o400)
        os.link(path, tmp_path / f"backup{path.suffix}")
    assert log.write([printed(3, b"def")]).damage == ""


def test_damage_does_not_hide_that_nothing_is_recorded() -> None:
    trouble = Trouble()
    trouble.stopped("web1", "full")
    trouble.damage("web1", "cut")
    assert (trouble.unrecorded, trouble.damaged) == ({"web1": "full"}, {"web1": "cut"})
    trouble.over("web1")
    assert (trouble.unrecorded, trouble.damaged) == ({}, {"web1": "cut"})


async def test_nothing_is_kept_of_a_console_that_is_gone(tmp_path: Path) -> None:
    """Another console may get its name."""
    async with Desk(tmp_path) as desk:
        trouble = desk.recordings.trouble
        trouble.stopped("web1", "full")
        trouble.damage("web1", "cut")
        desk.recordings.forget(desk.console)
        assert (trouble.unrecorded, trouble.damaged) == ({}, {})


def zeros(path: Path) -> None:
    """As a crash of the machine leaves a file on file systems that note its size before its content."""
    path.write_bytes(bytes(path.stat().st_size))


def many_zeros(path: Path) -> None:
    path.write_bytes(bytes(1 << 20))


def zeros_at_end(path: Path) -> None:
    os.truncate(path, path.stat().st_size + (1 << 20))


@pytest.mark.parametrize("kind", [INDEX, CAST, TYPED])
@pytest.mark.parametrize("deed", [zeros, many_zeros, zeros_at_end, empty])
def test_a_crash_leaves_zeros(tmp_path: Path, deed: Callable[[Path], None], kind: str) -> None:
    """issue 12, section 3: the recording goes on at the next start, and each of its lines says something."""
    log = RawLog(tmp_path, RecordingConfig())
    log.write([printed(0, b"abcdef"), Record(NOW, 6, "typed", ("alice", "::1", "x"))])
    deed(segments(tmp_path)[0].path(kind))
    again = RawLog(tmp_path, RecordingConfig())
    again.recover()
    assert again.end == 6
    outcome = again.write([printed(6, b"ghi", NOW + 1), Record(NOW + 1, 9, "typed", ("bob", "::1", "y"))])
    assert (outcome.error, outcome.damage, outcome.hole) == ("", "", 0)
    transcript = Transcript(tmp_path)
    assert b"".join(part.data for part in transcript.read()) == b"abcdefghi"
    assert [record[2] for record in transcript.typed()][-1] == "bob"
    for segment in segments(tmp_path):
        for each in (INDEX, CAST, TYPED):
            if segment.path(each).exists():
                assert b"\0" not in segment.path(each).read_bytes(), (segment, each)


class TestCompressed:
    """One damaged file of a console made all of its recording unreadable, and nothing old was removed any more."""

    @staticmethod
    def recorded(folder: Path) -> list[Segment]:
        log = RawLog(folder, RecordingConfig())
        for number in range(3):
            data = random.Random(number).randbytes(100_000)
            log.write([printed(number * 200_000, data, NOW + number)])
        found = segments(folder)
        for segment in found[:-1]:
            retention.compress(segment, lambda: False)
        return found

    @pytest.mark.parametrize("deed", [zeros, empty, cut, lambda path: os.truncate(path, path.stat().st_size // 2)])
    @pytest.mark.parametrize("kind", [RAW, INDEX])
    def test_what_is_left_of_it_is_read(self, tmp_path: Path, deed: Callable[[Path], None], kind: str) -> None:
        first, *_ = self.recorded(tmp_path)
        whole = b"".join(part.data for part in Transcript(tmp_path).read())
        packed = Path(f"{first.path(kind)}.gz")
        deed(packed)
        transcript = Transcript(tmp_path)
        with capture_logs() as logs:
            parts = [*transcript.read()]
            assert transcript.began() in (NOW, NOW + 1)
            frames = [*transcript.frames()]
            assert b"".join(frame.part.data for frame in frames if isinstance(frame, Frame)).endswith(
                whole[-200_000:]
            )
            assert transcript.tail(5) >= 0
            assert transcript.offset_at(NOW + 2) == 400_000
        if packed.stat().st_size:
            assert {(line["log_level"], line["file"]) for line in logs} == {("error", str(packed))}
        read = b"".join(part.data for part in parts)
        assert read.endswith(whole[-200_000:])
        assert len(read) + sum(part.missing for part in parts) == 500_000
        assert kind == RAW or read == whole

    def test_changed_in_the_middle(self, tmp_path: Path) -> None:
        """zlib's own error, which is no `OSError`."""
        first, *_ = self.recorded(tmp_path)
        packed = Path(f"{first.path(RAW)}.gz")
        with packed.open("r+b") as file:
            file.seek(50_000)
            file.write(bytes(20_000))
        parts = [*Transcript(tmp_path).read()]
        assert sum(part.missing + len(part.data) for part in parts) == 500_000
        assert [part.data for part in Transcript(tmp_path).read(480_000)] == [parts[-1].data[-20_000:]]

    def test_old_ones_go_all_the_same(self, tmp_path: Path) -> None:
        first, *_ = self.recorded(tmp_path)
        zeros(Path(f"{first.path(INDEX)}.gz"))
        for path in first.files():
            os.utime(path, (NOW - 1e7, NOW - 1e7))
        with capture_logs():
            retention.tidy(tmp_path, RecordingConfig(keep_days=1), lambda: False)
        assert first not in segments(tmp_path)


class TestForeign:
    """issue 12, section 3: what is not ours is left alone, and nothing waits for it."""

    NAMES: Final = ("notes.txt", "00000000000000000007.txt", "lost+found", "a\nb", "\x1b]0;x\x07", "0.raw")

    @pytest.mark.timeout(60)
    def test_in_a_console_s_folder(self, tmp_path: Path) -> None:
        """A folder with the name of an unfinished file kept the console from being recorded, for good."""
        log = RawLog(tmp_path, RecordingConfig())
        log.write([printed(0, b"abc")])
        log.write([printed(10, b"def", NOW + 1)])
        first = segments(tmp_path)[0]
        for name in self.NAMES:
            (tmp_path / name).write_text("kept")
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "dangling").symlink_to("nowhere")
        unfinished = [Path(f"{first.path(kind)}.gz.new") for kind in (RAW, INDEX)]
        unfinished[0].mkdir()
        os.mkfifo(unfinished[1])
        again = RawLog(tmp_path, RecordingConfig())
        again.recover()
        assert again.end == 13
        os.mkfifo(unfinished[1])
        with pytest.raises(FileExistsError):  # the index is compressed, the raw file cannot be
            retention.tidy(tmp_path, RecordingConfig(), lambda: False)
        assert Path(f"{first.path(INDEX)}.gz").is_file()
        unfinished[0].rmdir()
        retention.tidy(tmp_path, RecordingConfig(), lambda: False)
        assert first.compressed
        left = {path.name for path in tmp_path.iterdir()}
        assert left > {*self.NAMES, "fifo", "dangling"}

    def test_an_empty_folder_beside_recordings_is_nobody_s(self, tmp_path: Path) -> None:
        """As somebody has made it for something else: it was removed as a recording of which nothing is left."""
        retention.tidy(tmp_path, RecordingConfig(), lambda: False, gone=True)
        assert tmp_path.is_dir()

    def test_a_folder_in_the_place_of_a_file_does_not_keep_old_ones_from_going(self, tmp_path: Path) -> None:
        log = RawLog(tmp_path, RecordingConfig())
        for number in range(3):
            log.write([printed(10 * number, b"abc", NOW + number)])
        old, _, last = segments(tmp_path)
        old.path(CAST).unlink()
        old.path(CAST).mkdir()
        for path in (*old.files(), *segments(tmp_path)[1].files()):
            os.utime(path, (NOW - 1e7, NOW - 1e7))
        retention.tidy(tmp_path, RecordingConfig(keep_days=1), lambda: False)
        assert segments(tmp_path) == [last]
