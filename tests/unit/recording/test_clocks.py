"""Recordings under clocks that are wrong, and are set; and what of them is old."""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from oobconsole import clock
from oobconsole.config.schema import RecordingConfig
from oobconsole.recording import retention
from oobconsole.recording.entries import CLOCK, Printed, Record
from oobconsole.recording.frames import Frame
from oobconsole.recording.rawlog import RawLog
from oobconsole.recording.segments import CAST, INDEX, segments
from oobconsole.recording.transcript import Transcript
from tests.support.aio import until
from tests.unit.recording.test_recordings import Desk

DAY = 86400.0


class Wrong:
    """A clock that is wrong by so many seconds, and what is recorded by it."""

    def __init__(self, folder: Path, settings: RecordingConfig | None = None) -> None:
        self.now = clock.read()
        self.log = RawLog(folder, settings or RecordingConfig())

    def prints(self, data: bytes, *, ago: float, wrong: float) -> None:
        """So long ago."""
        at = self.now.at - ago + wrong
        said = Record(at, self.log.end, CLOCK, (self.now.booted + wrong,))
        outcome = self.log.write([said, Printed(at, self.log.end, bytearray(data))])
        assert not outcome.error
        for path in segments(self.log.folder)[-1].files():
            os.utime(path, (at, at))


@pytest.mark.parametrize("wrong", [-3600.0, 3600.0, -400 * DAY, 50 * 365 * DAY])
def test_so_long_ago_is_meant_whatever_the_clock_showed(tmp_path: Path, wrong: float) -> None:
    """faults.md 16: `--since 10m` left out what was printed five minutes ago, by a clock that was behind."""
    them = Wrong(tmp_path)
    them.prints(b"an hour ago\n", ago=3600, wrong=wrong)
    them.prints(b"five minutes ago\n", ago=300, wrong=wrong)
    them.prints(b"now\n", ago=0, wrong=0)
    transcript = Transcript(tmp_path)
    assert len(segments(tmp_path)) == 2
    now = them.now.at
    assert transcript.offset_at(now - 7200, elapsed=True) == 0
    assert transcript.offset_at(now - 600, elapsed=True) == 12
    assert transcript.offset_at(now - 60, elapsed=True) == 29
    assert transcript.offset_at(now + 60, elapsed=True) is None


@pytest.mark.parametrize("wrong", [-3600.0, 3600.0])
def test_a_time_is_meant_by_the_clock_of_then_or_of_now(tmp_path: Path, wrong: float) -> None:
    """faults.md 16: never too little, whichever clock whoever asks has in mind."""
    them = Wrong(tmp_path)
    them.prints(b"two hours ago\n", ago=7200, wrong=wrong)
    them.prints(b"an hour ago\n", ago=3600, wrong=wrong)
    them.prints(b"now\n", ago=0, wrong=0)
    transcript = Transcript(tmp_path)
    by_todays, by_its_own = them.now.at - 3601, them.now.at - 3601 + wrong
    for asked in (by_todays, by_its_own):
        found = transcript.offset_at(asked)
        assert found is not None
        assert found <= 14


def test_who_typed_what_is_found_as_well(tmp_path: Path) -> None:
    them = Wrong(tmp_path)
    them.prints(b"$ ", ago=300, wrong=-3600)
    at = them.now.at - 300 - 3600
    them.log.write([Record(at, 2, "typed", ("alice", "::1", "id\r"))])
    assert len([*Transcript(tmp_path).typed(them.now.at - 600)]) == 1
    assert len([*Transcript(tmp_path).typed(them.now.at - 60)]) == 0


def test_a_segment_without_output_keeps_what_its_index_says(tmp_path: Path) -> None:
    """The machine's clock is set before the guest has printed anything."""
    log, now = RawLog(tmp_path, RecordingConfig()), clock.read()
    log.write([Record(100.0, 0, CLOCK, (now.booted - 3600,)), Record(100.0, 0, "attached", ("alice",))])
    log.write([Record(now.at, 0, CLOCK, (now.booted,)), Printed(now.at, 0, bytearray(b"login: "))])
    (only,) = segments(tmp_path)
    first, *rest = [json.loads(line) for line in only.path(INDEX).read_bytes().splitlines()]
    assert (first["boot"], first["booted"]) == (clock.boot(), round(now.booted, 3))
    assert [record[2:] for record in rest] == [["attached", "alice"], []]


def test_a_line_that_was_typed_slowly_begins_no_segment(tmp_path: Path) -> None:
    """Its time is that of its first key: no clock was set back."""
    log, now = RawLog(tmp_path, RecordingConfig()), clock.read()
    log.write([Record(now.at, 0, CLOCK, (now.booted,)), Printed(now.at + 30, 0, bytearray(b"$ sleep 9"))])
    log.write([Record(now.at, 9, "typed", ("alice", "::1", "sleep 9\r")), Printed(now.at + 31, 9, bytearray(b"$ "))])
    assert len(segments(tmp_path)) == 1


async def test_a_server_that_is_started_again_by_the_same_clock_goes_on_with_its_segment(tmp_path: Path) -> None:
    for _ in range(2):
        async with Desk(tmp_path) as desk:
            desk.console.output(b"line\n")
    assert len(segments(tmp_path / "web1")) == 1


async def test_the_clock_is_set_while_it_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """faults.md 16, 17: both ways; each clock has segments of its own, and nothing is missing."""
    real = time.time
    async with Desk(tmp_path) as desk:
        for number, moved in enumerate((0.0, -7200.0, 86400.0, 0.0)):
            monkeypatch.setattr(time, "time", lambda moved=moved: real() + moved)
            desk.console.output(b"%d\n" % number)
            await desk.recordings.flush()
        assert desk.recorded() == b"0\n1\n2\n3\n"
        assert not any(segment.header().get("hole") for segment in segments(tmp_path / "web1"))
        headers = [segment.header() for segment in segments(tmp_path / "web1")]
        steps = [round(after["booted"] - before["booted"]) for before, after in itertools.pairwise(headers)]
        assert steps == [-7200, 93600, -86400]
        assert desk.transcript.offset_at(real() - 60, elapsed=True) == 0


class TestAge:
    """faults.md 17's kind: a former server's clock that looked right and was not."""

    SETTINGS = RecordingConfig(asciicast=False, keep_days=90)

    def test_in_this_boot_of_the_machine(self, tmp_path: Path) -> None:
        them = Wrong(tmp_path, self.SETTINGS)
        them.prints(b"an hour ago, by a clock of last year\n", ago=3600, wrong=-300 * DAY)
        them.prints(b"live", ago=0, wrong=0)
        retention.tidy(tmp_path, self.SETTINGS, lambda: False)
        assert len(segments(tmp_path)) == 2

    def test_in_a_boot_before_at_whose_end_it_was_right(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        them = Wrong(tmp_path, self.SETTINGS)
        with monkeypatch.context() as patch:
            patch.setattr(clock, "boot", lambda: "another boot")
            them.prints(b"by a clock of last year\n", ago=3600, wrong=-300 * DAY)
            them.prints(b"set right\n", ago=3500, wrong=0)
        them.prints(b"live", ago=0, wrong=0)
        retention.tidy(tmp_path, self.SETTINGS, lambda: False)
        assert len(segments(tmp_path)) == 3

    def test_behind_what_was_recorded_by_a_clock_that_was_right(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its battery was empty once; nothing is older than what was recorded before it."""
        them = Wrong(tmp_path, self.SETTINGS)
        for number, (ago, wrong) in enumerate(((40 * DAY, 0.0), (20 * DAY, -300 * DAY))):
            with monkeypatch.context() as patch:
                patch.setattr(clock, "boot", lambda number=number: f"boot {number}")
                them.prints(b"line\n", ago=ago, wrong=wrong)
        them.prints(b"live", ago=0, wrong=0)
        retention.tidy(tmp_path, self.SETTINGS, lambda: False)
        assert len(segments(tmp_path)) == 3

    def test_what_is_old_goes(self, tmp_path: Path) -> None:
        them = Wrong(tmp_path, self.SETTINGS)
        them.prints(b"line\n", ago=100 * DAY, wrong=0)
        them.prints(b"by a clock that was behind\n", ago=95 * DAY, wrong=-300 * DAY)
        them.prints(b"live", ago=0, wrong=0)
        retention.tidy(tmp_path, self.SETTINGS, lambda: False)
        assert len(segments(tmp_path)) == 1


def test_a_header_of_anybody_is_read(tmp_path: Path) -> None:
    """Whatever stands in it, of whatever size."""
    log = RawLog(tmp_path, RecordingConfig())
    log.write([Printed(1e9, 0, bytearray(b"abc"))])
    index = segments(tmp_path)[0].path(INDEX)
    for header in (
        b'{"time": 1e999, "boot": 3, "booted": "x", "binding": "yes"}\n',
        b"\0" * 300_000,
        b'{"time": ' + b"9" * 5000 + b"}\n[NaN, 0]\n[1, 0.5]\n",
        b"[" * 100_000,
    ):
        index.write_bytes(header)
        transcript = Transcript(tmp_path)
        transcript.offset_at(0.0)
        assert [frame.part.data for frame in transcript.frames() if isinstance(frame, Frame)] == [b"abc"]
        again = RawLog(tmp_path, RecordingConfig())
        again.recover()
        assert again.end == 3


def _lay(folder: Path, start: int, data: bytes, at: float, settings: RecordingConfig) -> None:
    """A former server's segment, with the times that its clock gave it."""
    raw = RawLog(folder, settings)
    raw.end = start
    raw.write([Printed(at, start, bytearray(data))])
    for path in segments(folder)[-1].files():
        os.utime(path, (at, at))


async def test_what_was_printed_under_a_wrong_clock_is_kept_when_it_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """faults.md 17: a clock in 1970, then set right: the boot's log was removed as far too old."""
    real = time.time
    settings = RecordingConfig(asciicast=False)
    monkeypatch.setattr(time, "time", lambda: 100.0)
    async with Desk(tmp_path, settings) as desk:
        desk.console.output(b"kernel panic while booting")
        await desk.recordings.flush()
        for path in segments(tmp_path / "web1")[0].files():
            os.utime(path, (100, 100))
        monkeypatch.setattr(time, "time", real)
        desk.console.output(b"after NTP")
        await desk.recordings.flush()
        gz = tmp_path / "web1" / "00000000000000000000.raw.gz"
        await until(gz.exists, lambda: list((tmp_path / "web1").iterdir()))
        assert desk.recorded() == b"kernel panic while bootingafter NTP"


def test_a_clock_that_was_plausible_and_wrong_removes_nothing_of_this_run(tmp_path: Path) -> None:
    """faults.md 17's kind: a machine whose clock begins at its system's date of manufacture."""
    settings = RecordingConfig(asciicast=False, keep_days=1)
    folder, now = tmp_path / "web1", time.time()
    _lay(folder, 0, b"old run", now - 86400 * 400, settings)
    _lay(folder, 7, b"this run", now - 86400 * 300, settings)
    _lay(folder, 15, b"live", now, settings)
    with capture_logs() as logs:
        retention.tidy(folder, settings, lambda: False, run=retention.Run(7, 60.0))
    assert [segment.start for segment in segments(folder)] == [7, 15]
    assert logs[0]["event"] == "old recordings removed: keep_mib or keep_days"
    retention.tidy(folder, settings, lambda: False, run=retention.Run(7, 86400 * 2.0))
    assert [segment.start for segment in segments(folder)] == [15]


def test_a_clock_that_is_set_back_begins_a_segment(tmp_path: Path) -> None:
    """faults.md 16: in 2098 at the start, then set right; `--since 2s` is the last line."""
    settings = RecordingConfig()
    raw = RawLog(tmp_path, settings)
    far, now = 4_040_000_000.0, 1_790_000_000.0
    raw.write([Printed(far, 0, bytearray(b"one\n"))])
    raw.write([Printed(now, 4, bytearray(b"two\n")), Printed(now + 3, 8, bytearray(b"three\n"))])
    assert [segment.start for segment in segments(tmp_path)] == [0, 4]
    transcript = Transcript(tmp_path)
    assert transcript.offset_at(now + 2) == 8
    assert transcript.offset_at(now - 60) == 0  # never too little: nobody knows when the first line was printed
    assert transcript.offset_at(now + 9) is None
    lines = segments(tmp_path)[1].path(CAST).read_text().splitlines()[1:]
    assert [json.loads(line)[0] for line in lines] == [0.0, 3.0]


async def test_recordings_of_consoles_that_are_gone_have_limits_too(tmp_path: Path) -> None:
    """faults.md 36: a host with many short-lived domains filled its disk."""
    settings = RecordingConfig(asciicast=False, keep_days=90)
    old, fresh = time.time() - 200 * 86400, time.time() - 3600
    _lay(tmp_path / "ghost", 0, b"x" * 300_000, old, settings)
    _lay(tmp_path / "job7", 0, b"Kernel panic", fresh, settings)
    (tmp_path / "lost+found").mkdir()
    async with Desk(tmp_path, settings) as desk:
        await until(
            lambda: not (tmp_path / "ghost").exists() and (tmp_path / "job7" / f"{0:020}.raw.gz").exists(),
            lambda: sorted(tmp_path.rglob("*")),
        )
        assert b"".join(part.data for part in Transcript(tmp_path / "job7").read()) == b"Kernel panic"
        assert (desk.recordings.has("job7"), desk.recordings.has("ghost")) == (True, False)
    assert (tmp_path / "lost+found").is_dir()
