"""A console that goes before its recording could be begun at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from oobconsole.console.console import Console, ConsoleState
from oobconsole.recording import late, recordings
from tests.support.aio import until
from tests.unit.recording.test_leaving import PANIC, go, mend_at_attempt
from tests.unit.recording.test_recordings import Broken, Desk


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late, "AGAIN_FIRST", 0.05)
    monkeypatch.setattr(late, "AGAIN_LAST", 0.2)


def begun(desk: Desk) -> Broken:
    """A desk whose console cannot be recorded, as the disk does not let its recording begin."""
    desk.folder.mkdir(exist_ok=True)
    return Broken(desk)


async def test_its_last_words_are_written_when_there_is_room(tmp_path: Path) -> None:
    """faults.md 2 and 36, variation: the scrollback was dropped at once, as no recorder was there to keep it."""
    desk = Desk(tmp_path)
    broken = begun(desk)
    async with desk:
        desk.console.set_state(ConsoleState.LIVE)
        desk.console.output(PANIC)
        go(desk)
        assert desk.recordings._is_live("web1")  # the janitor leaves it alone
        broken.mend()
        await until(lambda: len(desk.states()) == 2, desk.states)
        assert (desk.recorded(), desk.states()[1]) == (PANIC, ("resumed", 0))
        assert desk.recordings.recorder("web1") is None
        assert "web1" not in desk.recordings._late
        assert desk.recordings.trouble.unrecorded == {}
        back = Console("web1", scrollback=4096)
        await desk.recordings.adopt(back)
        back.set_state(ConsoleState.LIVE)
        assert back.began == back.end == len(PANIC)  # it is another guest: the recording says that the first one went


async def test_how_long_they_wait_is_bounded_and_what_is_lost_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """faults.md 36, variation: a disk that is never mended."""
    monkeypatch.setattr(late, "LEAVING_SECONDS", 0.3)
    desk = Desk(tmp_path)
    begun(desk)
    async with desk:
        desk.console.output(PANIC)
        go(desk)
        await until(lambda: len(desk.states()) == 2, desk.states)
        assert desk.states()[1][0] == "lost"
        assert desk.states()[1][2] == len(PANIC)
        await until(lambda: "web1" not in desk.recordings._late, lambda: desk.recordings._late.leaving)
        assert not desk.recordings._is_live("web1")
    said = capsys.readouterr().out
    assert "the end of a recording is lost, as its console is gone" in said
    assert f"missing={len(PANIC)}" in said


async def test_how_many_wait_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """faults.md 36, variation: consoles come and go by the hundred while the disk is full. The oldest gives way."""
    monkeypatch.setattr(late, "LEAVING_MAX", 3)
    monkeypatch.setattr(recordings, "PATIENCE", 0.5)
    async with Desk(tmp_path) as desk:
        for number in range(5):
            console = Console(f"job{number}", scrollback=4096)
            (tmp_path / console.name).write_text("")
            await desk.recordings.adopt(console)
            console.output(PANIC)
            desk.recordings.forget(console)
        lost = [event.console for event in desk.events if event.detail.get("state") == "lost"]
        assert lost == ["job0", "job1"]
        assert [left.console.name for left in desk.recordings._late.leaving] == ["job2", "job3", "job4"]


@pytest.mark.parametrize("mended", [True, False])
async def test_a_console_that_comes_back_goes_on_behind_them(tmp_path: Path, mended: bool) -> None:
    """faults.md 36, variation: the guest is started again, before or after the disk is mended."""
    desk = Desk(tmp_path)
    broken = begun(desk)
    async with desk:
        desk.console.set_state(ConsoleState.LIVE)
        desk.console.output(PANIC)
        go(desk)
        if mended:
            broken.mend()
        back = Console("web1", scrollback=4096)
        await desk.recordings.adopt(back)
        assert back.read_from(0, 4096).data == PANIC
        back.set_state(ConsoleState.LIVE)
        assert back.began == len(PANIC)  # it is another guest
        back.output(b"booting\r\n")
        if not mended:
            broken.mend()
        await until(lambda: bool(desk.states()) and desk.states()[-1][0] == "resumed", desk.states)
        await desk.recordings.flush()
        assert desk.recorded() == PANIC + b"booting\r\n"
        assert not [part for part in desk.transcript.read() if part.missing]


@pytest.mark.parametrize("gone", [True, False])
async def test_the_server_tries_again_for_a_while_when_it_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    """faults.md 2, variation: what a console had printed was dropped without an attempt, and without a word."""
    monkeypatch.setattr(late, "AGAIN_FIRST", 3600.0)
    desk = Desk(tmp_path)
    broken = begun(desk)
    async with desk:
        desk.console.output(PANIC)
        if gone:
            go(desk)
        mend_at_attempt(monkeypatch, broken, 3)
    assert desk.recorded() == PANIC


async def test_that_the_server_stops_before_they_are_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """faults.md 36, variation: nobody will try any more."""
    monkeypatch.setattr(recordings, "PATIENCE", 0.5)
    desk = Desk(tmp_path)
    begun(desk)
    async with desk:
        desk.console.output(PANIC)
        go(desk)
    assert "the end of a recording is lost, as the server stops" in capsys.readouterr().out
