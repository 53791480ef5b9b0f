from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from oobconsole import supervise
from oobconsole.access import Principal
from oobconsole.config.schema import RecordingConfig
from oobconsole.console.console import Console, ConsoleState
from oobconsole.console.reader import Notice, Reader
from oobconsole.errors import EnvironmentFault
from oobconsole.events import Event, Events, Kind
from oobconsole.recording import rawlog, recorder, recordings, retention, writing
from oobconsole.recording.entries import Entry
from oobconsole.recording.frames import Frame
from oobconsole.recording.janitor import Janitor
from oobconsole.recording.rawlog import Outcome, RawLog
from oobconsole.recording.recordings import Recordings
from oobconsole.recording.segments import CAST, TYPED, segments
from oobconsole.recording.transcript import Transcript
from tests.support.aio import soon, until
from tests.support.disk import Disk
from tests.support.pace import scaled
from tests.support.vfio import open_descriptors

ALICE = Principal("alice", "SHA256:key", "192.0.2.1")


class Desk:
    """A console that is recorded, and what is told of it."""

    def __init__(self, folder: Path, settings: RecordingConfig | None = None) -> None:
        self.events: list[Event] = []
        bus = Events()
        bus.add_sink(self.events.append)
        self.bus = bus
        self.folder = folder
        self.console = Console("web1", scrollback=4096)
        self.recordings = Recordings(settings or RecordingConfig(), folder, bus)

    async def __aenter__(self) -> Desk:
        await self.recordings.start([self.console])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.recordings.stop()

    def recorded(self) -> bytes:
        return b"".join(part.data for part in self.transcript.read())

    @property
    def transcript(self) -> Transcript:
        return Transcript(self.folder / "web1")

    def states(self) -> list[tuple[object, ...]]:
        return [tuple(e.detail.values()) for e in self.events if e.kind is Kind.RECORDING]


async def notice(reader: Reader) -> str:
    """The next one about the recording."""
    while not isinstance(item := await soon(reader.next()), Notice) or "recording" not in item.text:
        pass
    return item.text


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(recordings, "PATIENCE", scaled(recordings.PATIENCE))
    async with Desk(tmp_path) as made:
        yield made


@pytest.fixture
def disk() -> Iterator[Path]:
    """A file system of 512 KiB."""
    with Disk("size=512k") as made:
        yield made.path


async def test_an_idle_console_has_no_files(desk: Desk) -> None:
    await desk.recordings.flush()
    assert not (desk.folder / "web1").exists()


async def test_output_is_written_soon_without_being_asked(desk: Desk) -> None:
    desk.console.output(b"login: ")
    await until(lambda: desk.recorded() == b"login: ", desk.recorded)


async def test_no_file_stays_open(desk: Desk) -> None:
    desk.console.output(b"login: ")
    await desk.recordings.flush()
    assert desk.recorded() == b"login: "
    assert [path for path in open_descriptors().values() if path.startswith(str(desk.folder))] == []


async def test_the_next_server_goes_on_with_offsets_and_scrollback(tmp_path: Path) -> None:
    async with Desk(tmp_path) as first:
        first.console.output(b"x" * 5000 + b"end")
    async with Desk(tmp_path) as second:
        assert second.console.end == 5003
        assert second.console.read_from(0, 9999).data == b"x" * 4093 + b"end"
        second.console.output(b"more")
        await second.recordings.flush()
        assert second.recorded() == b"x" * 5000 + b"endmore"


async def test_what_happens_is_in_the_index(desk: Desk) -> None:
    desk.console.set_state(ConsoleState.LIVE)
    desk.console.output(b"ab")
    desk.console.gap(7)
    desk.bus.emit(Kind.ATTACHED, "web1", ALICE)
    await desk.recordings.flush()
    (segment,) = segments(desk.folder / "web1")
    about = [record[1:] for record in segment.records()]
    live = "a guest uses this port"
    assert about == [
        [0, "server", "started"],
        [0, "state", "live", live],
        [0],
        [2, "lost", 7],
        [2, "attached", "alice"],
    ]


async def test_who_typed_what_is_apart_from_the_output(desk: Desk) -> None:
    desk.console.bind(len)
    for typed, answer in (
        (b"root\r", b"root\r\nPassword: "),
        (b"secret\r", b"\r\n# "),
        (b"id\r", b"id\r\nuid=0\r\n"),
    ):
        await desk.console.write(typed, ALICE)
        desk.console.output(answer)
    await desk.recordings.flush()
    assert [record[2:] for record in desk.transcript.typed()] == [
        ["alice", "192.0.2.1", "root\r"],
        ["alice", "192.0.2.1", 7],
        ["alice", "192.0.2.1", "id\r"],
    ]
    for path in desk.folder.rglob("*.*"):
        assert b"secret" not in path.read_bytes()
    (segment,) = segments(desk.folder / "web1")
    assert b'"i"' not in segment.path(CAST).read_bytes()


async def test_keystrokes_and_asciicast_can_be_off(tmp_path: Path) -> None:
    async with Desk(tmp_path, RecordingConfig(keystrokes=False, asciicast=False)) as desk:
        desk.console.bind(len)
        await desk.console.write(b"id\r", ALICE)
        desk.console.output(b"id\r\n")
        await desk.recordings.flush()
        (segment,) = segments(tmp_path / "web1")
        assert not segment.path(TYPED).exists()
        assert not segment.path(CAST).exists()


# -- trouble ---------------------------------------------------------------------------------------


@pytest.mark.needs("mount")
async def test_a_full_disk_is_announced_and_the_guest_goes_on(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rawlog, "RETRY_FIRST", 0.05)
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(200_000))
    monkeypatch.setattr(recorder, "WAITING_MAX", 100_000)
    async with Desk(disk / "recordings", RecordingConfig(asciicast=False)) as desk:
        reader = desk.console.attach()
        desk.console.bind(len)
        data = os.urandom(700_000)
        for at in range(0, len(data), 1000):
            desk.console.output(data[at : at + 1000])
            if at % 50_000 == 0:
                await desk.recordings.flush()
        await desk.recordings.flush()
        full = os.strerror(28)
        assert await notice(reader) == f"web1: recording has stopped: {full}; the guest goes on"
        assert desk.states() == [("stopped", full)]
        await soon(desk.console.write(b"still typed", ALICE))
        assert desk.console.input_waiting == 0
        ballast.unlink()
        await until(lambda: len(desk.states()) == 2, desk.states)
        missing = len(data) - len(desk.recorded())
        assert missing > 0
        assert desk.states()[1] == ("resumed", missing)
        assert await notice(reader) == f"web1: recording goes on; {missing} bytes of output are missing in it"
        desk.console.output(b"after")
        await desk.recordings.flush()
        assert list(desk.transcript.read(len(data)))[-1][:2] == (len(data), b"after")


@pytest.mark.needs("mount")
async def test_strict_takes_no_input_until_it_can_be_recorded(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rawlog, "RETRY_FIRST", 0.05)
    ballast = disk / "ballast"
    """security.md 12: what was typed on a full disk ran when there was room again."""
    async with Desk(disk / "recordings", RecordingConfig(policy="strict")) as desk:
        reader = desk.console.attach()
        typed = bytearray()
        desk.console.bind(lambda data: typed.extend(data) or len(data))  # type: ignore[func-returns-value]
        ballast.write_bytes(bytes(480_000))
        desk.console.output(os.urandom(100_000))
        await desk.recordings.flush()
        assert "so what is typed is lost: No space left on device" in await notice(reader)
        await desk.console.write(b"halt\r", ALICE)
        assert (bytes(typed), desk.console.input_waiting, desk.console.input_lost) == (b"", 0, 5)
        assert not await soon(desk.console.send_break())
        ballast.unlink()
        await until(lambda: len(desk.states()) == 2, desk.states)
        await desk.console.write(b"id\r", ALICE)
        assert bytes(typed) == b"id\r"


@pytest.mark.needs("mount")
async def test_strict_loses_what_waits_for_the_guest_when_the_disk_fills(disk: Path) -> None:
    """security.md 12: the guest took nothing when it was typed; it must not when nobody is there any more."""
    async with Desk(disk / "recordings", RecordingConfig(policy="strict")) as desk:
        await desk.console.write(b"halt\r", ALICE)
        (disk / "ballast").write_bytes(bytes(480_000))
        desk.console.output(os.urandom(100_000))
        await desk.recordings.flush()
        assert (desk.console.input_waiting, desk.console.input_lost) == (0, 5)


class SlowDisk:
    """Writes nothing until it is let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.let = threading.Event()
        real = RawLog.write

        def write(log: RawLog, entries: list[Entry]) -> Outcome:
            assert self.let.wait(scaled(10))
            return real(log, entries)

        monkeypatch.setattr(RawLog, "write", write)


async def test_a_guest_that_can_waits_for_the_disk(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "WAITING_HELD", 10_000)
    held: list[bool] = []
    desk.console.bind(None, None, held.append)
    desk.console.output(b"x" * 10_000)
    assert held == []
    desk.console.output(b"y")
    assert held == [True]
    await until(lambda: held == [True, False], lambda: held)
    await desk.recordings.flush()
    assert desk.recorded() == b"x" * 10_000 + b"y"


@pytest.mark.parametrize("bound", ["of a console", "of all"])
async def test_a_slow_disk_costs_a_hole_and_never_the_guest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(*((recorder if bound == "of a console" else writing), "WAITING_MAX", 10_000))
    disk = SlowDisk(monkeypatch)
    async with Desk(tmp_path) as desk:
        desk.console.output(b"a")
        await asyncio.sleep(2 * writing.GATHER_SECONDS)  # the writer is at work now
        for _ in range(100):
            desk.console.output(b"b" * 1000)
        assert desk.console.end == 100_001
        assert desk.states() == [("stopped", "the disk is too slow")]
        disk.let.set()
        await desk.recordings.flush()
        (hole,) = [part for part in desk.transcript.read() if part.missing]
        assert desk.states()[1:] == [("resumed", hole.missing)]
        assert len(desk.recorded()) + hole.missing == 100_001
        desk.console.output(b"c")
        await desk.recordings.flush()
        assert desk.recorded()[-1:] == b"c"


async def test_a_disk_that_hangs_does_not_keep_the_server_from_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recordings, "PATIENCE", 0.1)
    disk = SlowDisk(monkeypatch)
    async with Desk(tmp_path) as desk:
        desk.console.output(b"a")
    disk.let.set()
    assert "could not be written in time" in capsys.readouterr().out


class Broken:
    """A recording's folder that cannot be had: a file lies in its place."""

    def __init__(self, desk: Desk) -> None:
        self.path = desk.folder / "web1"
        self.path.write_text("")

    def mend(self) -> None:
        self.path.unlink()


async def test_what_is_printed_before_the_next_attempt_is_kept(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """faults.md 25: the disk was there again, and what was printed before the next attempt was thrown away."""
    broken = Broken(desk)
    reader = desk.console.attach()
    desk.console.output(b"one")
    await desk.recordings.flush()
    assert desk.states() == [("stopped", os.strerror(17))]
    broken.mend()
    desk.console.output(b"two")
    await desk.recordings.flush()
    assert not broken.path.exists()  # nothing is tried before its time
    await until(lambda: len(desk.states()) == 2, desk.states)
    assert (desk.recorded(), desk.states()[1]) == (b"onetwo", ("resumed", 0))
    await notice(reader)
    assert await notice(reader) == "web1: recording goes on; nothing is missing in it"


async def test_what_waits_for_the_next_attempt_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """faults.md 25: in bytes and in entries; beyond them there is one hole, however often it was tried."""
    monkeypatch.setattr(recorder, "WAITING_MAX", 20_000)
    monkeypatch.setattr(recorder, "ENTRIES_MAX", 1000)
    monkeypatch.setattr(rawlog, "RETRY_FIRST", 0.01)
    monkeypatch.setattr(rawlog, "RETRY_LAST", 0.01)
    broken = Broken(desk)
    found = desk.recordings.recorder("web1")
    assert found is not None
    for turn in range(3000):
        desk.console.output(b"." * 10)
        found.note("lost", 1)
        if turn % 300 == 0:
            found.bind(7, turn + 1)
            await until(lambda: found in desk.recordings._writer._paused, lambda: "it is being tried")
        assert found.waiting <= 20_000
        assert len(found._entries or ()) <= 1000 + 2 * recorder.TIMED_MAX
    broken.mend()
    await until(lambda: len(desk.states()) == 2, desk.states)
    desk.console.output(b"end")
    await desk.recordings.flush()
    (hole,) = [part for part in desk.transcript.read() if part.missing]
    assert len(desk.recorded()) + hole.missing == 30_003
    assert desk.states()[1] == ("resumed", hole.missing)
    assert desk.recordings._writer._waiting == 0
    again = RawLog(desk.folder / "web1", RecordingConfig())
    again.recover()
    assert again.binding == found.binding


async def test_what_waits_is_tried_once_more_when_the_server_stops(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        broken = Broken(desk)
        desk.console.output(b"panic")
        await desk.recordings.flush()
        broken.mend()
    assert desk.recorded() == b"panic"


@pytest.mark.parametrize("where", ["in the thread", "in giving up", "without a thread", "in telling"])
async def test_an_unexpected_error_does_not_end_recording(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """faults.md 2's kind: whatever goes wrong costs what was to be written then, and it is said what is missing."""

    def fails(*_: object, **__: object) -> Outcome:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        if where == "without a thread":
            patch.setattr(desk.recordings._writer._thread, "call", fails)
        elif where == "in telling":
            patch.setattr(desk.recordings._writer, "_done", fails)
        else:
            patch.setattr(RawLog, "write", fails)
            if where == "in giving up":
                patch.setattr(RawLog, "give_up", fails)
        before = sum(supervise.ended.values())
        desk.console.output(b"one")
        await desk.recordings.flush()
        assert sum(supervise.ended.values()) > before
    if where == "in telling":
        desk.console.output(b"two")
        await desk.recordings.flush()
        assert desk.recorded() == b"onetwo"
        return
    assert desk.states() == [("stopped", "internal error")]
    desk.console.output(b"two")
    await until(lambda: len(desk.states()) == 2, desk.states)
    assert desk.states()[1] == ("resumed", 3)
    assert desk.recorded() == b"two"


async def test_one_recording_that_cannot_be_read_costs_only_itself(tmp_path: Path) -> None:
    """A damaged folder kept the whole server from starting."""
    desk = Desk(tmp_path)
    Broken(desk)
    (tmp_path / "web2").mkdir()
    (tmp_path / "web2" / f"{0:020}.raw").write_bytes(b"x")
    (tmp_path / "web2" / f"{0:020}.cast").write_text('{"version": 2}\n')
    (tmp_path / "web2" / f"{0:020}.idx").write_text('{"time": "noon", "binding": [1]}\n["x", 0]\n')
    others = [Console(name, scrollback=4096) for name in ("web2", "web3")]
    await desk.recordings.start([desk.console, *others])
    desk.console.output(b"unrecorded")
    others[1].output(b"recorded")
    await desk.recordings.stop()
    stopped = {event.console: str(event.detail["reason"]) for event in desk.events if event.kind is Kind.RECORDING}
    assert set(stopped) == {"web1"}, stopped
    assert "web1: a recording that cannot be gone on with: Not a directory" in stopped["web1"]
    others[0].output(b"never reached: it is stopped")
    assert [segment.start for segment in segments(tmp_path / "web2")] == [0]
    transcript = Transcript(tmp_path / "web2")
    frame = next(iter(transcript.frames()))
    assert isinstance(frame, Frame)
    assert (transcript.offset_at(0.0), frame.part.data) == (None, b"x")
    assert (tmp_path / "web3" / f"{0:020}.raw").read_bytes() == b"recorded"


async def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match=r"file/recordings: cannot be used for recordings: Not a directory"):
        async with Desk(tmp_path / "file" / "recordings"):
            pass


def test_a_host_that_allows_no_other_priority_is_tidied_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """faults.md 2, variation: without the right to set a priority (systemd's ~@resources) no recording was ever
    compressed or removed, and the disk filled up."""

    def refused(*about: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setpriority", refused)
    tidied = threading.Event()
    janitor = Janitor(RecordingConfig(), lambda _: True, lambda _: True)
    monkeypatch.setattr(retention, "tidy", lambda *about, **more: tidied.set())
    janitor.tidy(tmp_path)
    assert tidied.wait(scaled(10))
    janitor.stop()
