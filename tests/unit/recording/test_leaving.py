"""A console that goes while the disk does not take what it has printed last."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from oobconsole.config.schema import RecordingConfig
from oobconsole.console.console import Console, ConsoleState
from oobconsole.recording import rawlog, recordings, writing
from tests.support.aio import until
from tests.support.disk import Disk
from tests.support.pace import scaled
from tests.unit.recording.test_recordings import Broken, Desk

PANIC = b"Kernel panic - not syncing\r\n"
FULL = os.strerror(28)
IN_THE_WAY = os.strerror(17)  # EEXIST, the error of `Broken`


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rawlog, "RETRY_FIRST", 0.05)
    monkeypatch.setattr(rawlog, "RETRY_LAST", 0.2)


def go(desk: Desk) -> None:
    """Have the console go, as a transient domain does that has crashed."""
    desk.console.set_state(ConsoleState.GONE)
    desk.recordings.forget(desk.console)


def mend_at_attempt(monkeypatch: pytest.MonkeyPatch, broken: Broken, number: int) -> None:
    """Have the disk be mended just before the attempt of that number, from now on, to write everything that waits."""
    attempts = 0
    real = writing.Writer.flush

    async def flush(writer: writing.Writer, *, again: bool = False) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == number:
            broken.mend()
        await real(writer, again=again)

    monkeypatch.setattr(writing.Writer, "flush", flush)


@pytest.mark.needs("mount")
async def test_last_words_on_a_full_disk_are_written_when_there_is_room() -> None:
    """faults.md 2 and 36, together: at the first attempt that failed they were dropped, as the console was gone."""
    with Disk("size=512k") as disk:
        async with Desk(disk.path / "recordings") as desk:
            desk.console.set_state(ConsoleState.LIVE)
            desk.console.output(b"booting\r\n")
            await desk.recordings.flush()
            disk.fill()
            desk.console.output(b"." * 8192 + PANIC)
            go(desk)
            await until(lambda: len(desk.states()) == 1, desk.states)
            assert desk.states() == [("stopped", FULL)]
            disk.free()
            await until(lambda: len(desk.states()) == 2, desk.states)
            assert desk.states()[1] == ("resumed", 0)
            assert desk.recorded() == b"booting\r\n" + b"." * 8192 + PANIC
            assert desk.recordings._writer.leaving == []
            assert desk.recordings._writer._waiting == 0


async def test_they_wait_when_the_disk_failed_before_the_console_went(tmp_path: Path) -> None:
    """faults.md 36, variation: the attempt that was due when the console went was the last one."""
    async with Desk(tmp_path) as desk:
        broken = Broken(desk)
        desk.console.output(b"Oops: ")
        await desk.recordings.flush()
        desk.console.output(PANIC)
        go(desk)
        await desk.recordings.flush()
        assert desk.states() == [("stopped", IN_THE_WAY)]
        broken.mend()
        await until(lambda: len(desk.states()) == 2, desk.states)
        assert (desk.recorded(), desk.states()[1]) == (b"Oops: " + PANIC, ("resumed", 0))


async def test_how_long_they_wait_is_bounded_and_what_is_lost_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """faults.md 36, variation: a disk that is never mended."""
    monkeypatch.setattr(writing, "LEAVING_SECONDS", 0.3)
    async with Desk(tmp_path) as desk:
        Broken(desk)
        desk.console.output(PANIC)
        go(desk)
        await until(lambda: len(desk.states()) == 2, desk.states)
        assert desk.states() == [("stopped", IN_THE_WAY), ("lost", IN_THE_WAY, len(PANIC))]
        writer = desk.recordings._writer
        assert (writer.leaving, writer._paused, writer._due, writer._waiting) == ([], {}, set(), 0)
    said = capsys.readouterr().out
    assert "the end of a recording is lost, as its console is gone" in said
    assert f"missing={len(PANIC)}" in said


async def test_how_many_wait_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """faults.md 36, variation: consoles come and go by the hundred while the disk fails. The oldest gives way."""
    monkeypatch.setattr(writing, "LEAVING_MAX", 3)
    monkeypatch.setattr(recordings, "PATIENCE", 0.5)
    async with Desk(tmp_path) as desk:
        for number in range(5):
            console = Console(f"job{number}", scrollback=4096)
            await desk.recordings.adopt(console)
            (tmp_path / console.name).write_text("")
            console.output(PANIC)
            desk.recordings.forget(console)
            await desk.recordings.flush()
        lost = [event.console for event in desk.events if event.detail.get("state") == "lost"]
        assert lost == ["job0", "job1"]
        assert [left.console.name for left in desk.recordings._writer.leaving] == ["job2", "job3", "job4"]
        assert desk.recordings._writer._waiting == 3 * len(PANIC)


async def test_a_console_that_comes_back_goes_on_behind_them(tmp_path: Path) -> None:
    """faults.md 36, variation: the guest that has crashed is started again before the disk is mended."""
    async with Desk(tmp_path) as desk:
        broken = Broken(desk)
        desk.console.set_state(ConsoleState.LIVE)
        desk.console.output(PANIC)
        go(desk)
        await desk.recordings.flush()
        back = Console("web1", scrollback=4096)
        await desk.recordings.adopt(back)
        assert back.read_from(0, 4096).data == PANIC
        back.set_state(ConsoleState.LIVE)
        assert back.began == len(PANIC)  # it is another guest
        back.output(b"booting\r\n")
        broken.mend()
        await until(lambda: bool(desk.states()) and desk.states()[-1][0] == "resumed", desk.states)
        await desk.recordings.flush()
        assert desk.recorded() == PANIC + b"booting\r\n"
        assert not [part for part in desk.transcript.read() if part.missing]
        assert (desk.recordings._writer.leaving, desk.recordings._writer._waiting) == ([], 0)


async def test_a_console_that_comes_back_takes_no_input_where_recording_is_strict(tmp_path: Path) -> None:
    """security.md 12, variation: it is the same disk, so what is typed is not recorded yet."""
    async with Desk(tmp_path, RecordingConfig(policy="strict")) as desk:
        broken = Broken(desk)
        desk.console.output(PANIC)
        go(desk)
        await desk.recordings.flush()
        back = Console("web1", scrollback=4096)
        await desk.recordings.adopt(back)
        assert back.refuses == f"recording has stopped, so what is typed is lost: {IN_THE_WAY}"
        broken.mend()
        await until(lambda: not back.refuses, lambda: back.refuses)


async def test_the_server_tries_again_for_a_while_when_it_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """faults.md 2, variation: a server that stopped made one attempt, although it had five seconds."""
    monkeypatch.setattr(rawlog, "RETRY_FIRST", 3600.0)
    async with Desk(tmp_path) as desk:
        broken = Broken(desk)
        desk.console.output(PANIC)
        await desk.recordings.flush()
        mend_at_attempt(monkeypatch, broken, 3)
    assert desk.recorded() == PANIC


@pytest.mark.parametrize("mended", [True, False])
async def test_the_server_stops_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mended: bool
) -> None:
    """faults.md 36, variation: they are tried again, and it is said if they are lost."""
    monkeypatch.setattr(recordings, "PATIENCE", scaled(5.0) if mended else 0.5)
    async with Desk(tmp_path) as desk:
        broken = Broken(desk)
        desk.console.output(PANIC)
        go(desk)
        await desk.recordings.flush()
        if mended:
            broken.mend()
    if mended:
        assert desk.recorded() == PANIC
    assert ("the end of a recording is lost, as the server stops" in capsys.readouterr().out) is not mended
