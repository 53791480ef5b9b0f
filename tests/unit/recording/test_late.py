"""A console that could not be recorded from the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from oobconsole.config.schema import RecordingConfig
from oobconsole.console.console import Console
from oobconsole.console.reader import Notice
from oobconsole.recording import late
from oobconsole.recording.rawlog import RawLog
from oobconsole.recording.recordings import Recordings
from oobconsole.recording.segments import segments
from tests.support.aio import soon, until
from tests.unit.recording.test_recordings import Broken, Desk, notice


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late, "AGAIN_FIRST", 0.05)
    monkeypatch.setattr(late, "AGAIN_LAST", 0.2)


async def test_it_is_tried_again_and_said_what_is_missing(tmp_path: Path) -> None:
    """issue 12, section 3, recording: an error at the start was for good, until the server was started again."""
    desk = Desk(tmp_path)
    broken = Broken(desk)
    async with desk:
        reader = desk.console.attach()
        desk.console.output(b"x" * 5000)
        assert [state[0] for state in desk.states()] == ["stopped"]
        assert desk.recordings._is_live("web1")  # the janitor leaves it alone
        broken.mend()
        await until(lambda: len(desk.states()) == 2, desk.states)
        assert desk.states()[1] == ("resumed", 5000 - 4096)  # the scrollback is recorded
        assert "904 bytes of output are missing" in await notice(reader)
        desk.console.output(b"end")
        await desk.recordings.flush()
        assert desk.recorded() == b"x" * 4096 + b"end"
        assert segments(tmp_path / "web1")[0].header()["hole"] == 904
        found = desk.recordings.recorder("web1")
        assert found is not None
        assert found.reason == ""


async def test_it_goes_on_behind_what_a_server_before_it_recorded(tmp_path: Path) -> None:
    """Offsets rise to where the recording ends; whoever reads by offset is told by how much."""
    async with Desk(tmp_path) as former:
        former.console.output(b"before")
    (tmp_path / "web1").rename(tmp_path / "away")
    desk = Desk(tmp_path)
    broken = Broken(desk)
    async with desk:
        desk.console.output(b"one")
        reader = desk.console.attach(0)
        assert await soon(reader.next()) == b"one"
        desk.console.output(b"two")
        broken.mend()
        (tmp_path / "away").rename(tmp_path / "web1")
        await until(lambda: len(desk.states()) == 2, desk.states)
        assert desk.states()[1] == ("resumed", 0)
        told = await soon(reader.next())
        assert isinstance(told, Notice)
        assert (told.kind, dict(told.detail)) == ("skipped", {"offset": 3, "bytes": 6})
        assert await soon(reader.next()) == b"two"
        assert reader.position == desk.console.end == 12
        await desk.recordings.flush()
        assert desk.recorded() == b"beforeonetwo"


async def test_strict_takes_input_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path, RecordingConfig(policy="strict"))
    broken = Broken(desk)
    async with desk:
        assert "cannot be recorded" in desk.console.refuses
        broken.mend()
        await until(lambda: not desk.console.refuses, lambda: desk.console.refuses)


async def test_another_reason_is_said_and_the_same_is_not(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    broken = Broken(desk)
    tried = 0
    real = Recordings._recover

    def recover(recordings: Recordings, recorder: object) -> object:
        nonlocal tried
        tried += 1
        return real(recordings, recorder)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recordings, "_recover", recover)
        async with desk:
            await until(lambda: tried >= 4, lambda: tried)
            assert len(desk.states()) == 1
            broken.mend()
            (tmp_path / "web1").symlink_to("web1")  # ELOOP
            await until(lambda: len(desk.states()) == 2, desk.states)
            assert desk.states()[1][0] == "stopped"
            (tmp_path / "web1").unlink()
            await until(lambda: len(desk.states()) == 3, desk.states)


async def test_a_console_that_goes_and_has_printed_nothing_is_not_tried_again(tmp_path: Path) -> None:
    """There is nothing to be saved. Consoles that have printed something: test_late_leaving.py."""
    desk = Desk(tmp_path)
    broken = Broken(desk)
    async with desk:
        desk.recordings.forget(desk.console)
        assert "web1" not in desk.recordings._late
        broken.mend()
        fresh = Console("web1", scrollback=4096)
        await desk.recordings.adopt(fresh)
        fresh.output(b"fresh")
        await desk.recordings.flush()
        assert desk.recorded() == b"fresh"


async def test_its_context_is_known_to_the_next_server(tmp_path: Path) -> None:
    """A native half sends again what a restarted server does not have: that must be known of these, too."""
    desk = Desk(tmp_path)
    broken = Broken(desk)
    async with desk:
        desk.console.output(b"x" * 5000)
        broken.mend()
        await until(lambda: len(desk.states()) == 2, desk.states)
        found = desk.recordings.recorder("web1")
        assert found is not None
        found.adopt(7, 2, 5100)  # 100 were lost before they reached us
        desk.console.output(b"more")
    again = RawLog(tmp_path / "web1", RecordingConfig())
    again.recover()
    assert again.binding == (7, 2, -100)
    assert again.end - again.binding.base == 5104
