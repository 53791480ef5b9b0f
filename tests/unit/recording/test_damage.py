"""What somebody else does to the files of a recording while it is written: it is noticed, and said."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from oobconsole.config.schema import RecordingConfig
from oobconsole.events import Events, Kind
from oobconsole.recording.rawlog import Printed, RawLog, Record
from oobconsole.recording.segments import CAST, INDEX, RAW, TYPED, segments
from oobconsole.recording.transcript import Transcript
from oobconsole.vitals import Vitals
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
        vitals = Vitals(desk.bus)
        desk.console.output(b"abcdef")
        await desk.recordings.flush()
        (first,) = segments(tmp_path / "web1")
        cut(first.path(RAW))
        with capture_logs() as logs:
            desk.console.output(b"ghi")
            await desk.recordings.flush()
        said = f"{first.path(RAW).name} has 2 bytes where 6 were written"
        assert desk.states() == [("damaged", said, 4)]
        assert vitals.damaged == {"web1": said}
        assert vitals.unrecorded == {}
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


async def test_events_of_damage_do_not_hide_that_nothing_is_recorded(tmp_path: Path) -> None:
    events = Events()
    vitals = Vitals(events)
    events.emit(Kind.RECORDING, "web1", state="stopped", reason="full")
    events.emit(Kind.RECORDING, "web1", state="damaged", reason="cut", missing=1)
    assert vitals.unrecorded == {"web1": "full"}
