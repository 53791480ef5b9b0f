from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from oobconsole.access import Access, Grant, Principal, Right
from oobconsole.config.schema import RecordingConfig
from oobconsole.events import Event, Kind
from oobconsole.log.log import LogLimit
from oobconsole.recording.entries import Printed
from oobconsole.recording.rawlog import RawLog
from oobconsole.recording.segments import INDEX, RAW, Segment, segments
from oobconsole.session import commands
from oobconsole.session.request import ExitStatus
from oobconsole.session.services import Services
from oobconsole.session.verbs.replay import Pace
from oobconsole.session.when import when
from oobconsole.terminal.safe import SafeFilter
from tests.support.aio import soon, stays
from tests.unit.session.fakes import ALICE, FakePeer, consoles, recording, vanish

BOB = Principal("bob")


@pytest.fixture
async def recorded(tmp_path: Path) -> AsyncIterator[Services]:
    """web1 has printed three lines."""
    async with recording(tmp_path) as made:
        console = made.directory.find("web1")
        assert console is not None
        console.output(b"one\r\ntwo\r\nthree\r\n")
        yield made


async def run(settings: Services, command: str, who: Principal = ALICE) -> tuple[ExitStatus, FakePeer]:
    peer = FakePeer()
    return await soon(commands.run(command, peer, None, settings, who)), peer


async def test_the_last_lines_unless_told(recorded: Services) -> None:
    status, peer = await run(recorded, "log web1")
    assert (status, bytes(peer.got), peer.told) == (ExitStatus.OK, b"two\r\nthree\r\n", [])


async def test_who_read_what_is_an_event(recorded: Services) -> None:
    seen: list[Event] = []
    recorded.events.add_sink(seen.append)
    for command in ("log web1", "log --typed web1", "search web1 x", "replay web1 --speed 100"):
        await run(recorded, command)
    about = [(e.kind, e.console, e.who, e.detail["by"]) for e in seen]
    assert about == [(Kind.READ, "web1", ALICE, by) for by in ("log", "log --typed", "search", "replay")]


@pytest.mark.parametrize("verb", ["log", "search", "replay"])
async def test_the_server_s_log_names_a_console_that_is_gone(recorded: Services, verb: str) -> None:
    """Such a session was written down without a name, so nobody could see whose recording was read."""
    recordings = recorded.recordings
    assert recordings is not None
    await recordings.flush()
    vanish(recorded, "web1")
    assert commands.described(f"{verb} --since 10m web1 x", recorded) == f"{verb} web1"
    assert commands.described(f"{verb} --since 10m web2 x", recorded) == verb
    assert commands.described("attach web1", recorded) == "attach"


async def test_no_other_command_asks_the_disk_for_names(recorded: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that hangs would keep the server from everybody who comes in."""
    recordings = recorded.recordings
    assert recordings is not None
    asked: list[str] = []
    monkeypatch.setattr(recordings, "has", asked.append)
    said = [
        commands.described(line, recorded) for line in (None, "web1", "send web1 hunter2", "ls web7", "web7 x", " ")
    ]
    assert said == ["menu", "attach web1", "send web1", "ls", "web7", ""]
    assert asked == []


async def test_only_who_may_reads(recorded: Services) -> None:
    grants = (Grant(("bob",), ("*",), frozenset({Right.WATCH, Right.WRITE})),)
    watcher = replace(recorded, access=Access(grants))
    for command in ("log web1", "search web1 x", "replay web1"):
        status, peer = await run(watcher, command, BOB)
        assert (status, bytes(peer.got)) == (ExitStatus.DENIED, b"")


@pytest.mark.parametrize("command", ["log web1 --raw --lines 9999", "search web1 x", "replay web1"])
async def test_a_right_that_is_taken_away_ends_what_lasts(tmp_path: Path, command: str) -> None:
    """security.md 22, variation: a log, a search or a replay went on to its end."""
    async with recording(tmp_path) as made:
        console = made.directory.find("web1")
        assert console is not None
        for number in range(3):
            console.output(b"x%d\r\n" % number * 30_000)
        assert made.recordings is not None
        await made.recordings.flush()
        whole = bytes((await run(made, command))[1].got)
        peer = FakePeer()
        peer.writable.clear()
        task = await stays(commands.run(command, peer, None, made, ALICE))
        made.access.grants = ()
        peer.writable.set()
        assert await soon(task) is ExitStatus.USAGE
        assert peer.told[-1].startswith("there is no console 'web1'")
        assert len(peer.got) < len(whole)


async def test_nothing_is_recorded() -> None:
    status, peer = await run(consoles("web1"), "log web1")
    assert (status, "nothing is recorded" in peer.told[0]) == (ExitStatus.USAGE, True)


async def test_a_client_that_stalls_is_not_read_ahead_for(recorded: Services) -> None:
    peer = FakePeer()
    peer.writable.clear()
    task = await stays(commands.run("log web1 --lines 9", peer, None, recorded, ALICE))
    peer.writable.set()
    assert await soon(task) is ExitStatus.OK


async def test_a_file_that_is_damaged_is_named_and_costs_nothing_else(
    recorded: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oobconsole.recording.segments._limit", LogLimit(1))  # others have used up the process's own
    assert recorded.recordings is not None
    await recorded.recordings.flush()
    folder = recorded.recordings.folder / "web1"
    _damage(folder)
    with capture_logs() as logs:
        status, peer = await run(recorded, "log web1 --since 1h")
    assert (status, bytes(peer.got), peer.told) == (ExitStatus.OK, b"", [])  # nothing says how much it had
    assert [folder.name in entry["file"] for entry in logs if "is damaged, and read up to there" in entry["event"]]


async def test_what_was_lost_on_its_way_is_said(recorded: Services) -> None:
    """While the server was away, a native half kept what there was room for; `log` was silent about the rest."""
    console = recorded.directory.find("web1")
    assert console is not None
    console.gap(1000)
    console.output(b"four\r\n")
    status, peer = await run(recorded, "log web1 --lines 2")
    assert (status, bytes(peer.got)) == (ExitStatus.OK, b"three\r\nfour\r\n")
    assert peer.told == ["1000 bytes of output were lost here, at offset 17"]
    status, peer = await run(recorded, "search web1 nothing")
    assert (status, peer.told[0]) == (
        ExitStatus.PARTIAL, "1000 bytes are missing in the recording, and were not searched"
    )  # fmt: skip
    status, peer = await run(recorded, "replay web1 --speed 100")
    assert (status, peer.told[-1]) == (ExitStatus.OK, "replay: 1000 bytes of output were lost in it; log says where")


async def test_what_a_damaged_file_lacks_is_said(recorded: Services) -> None:
    """faults.md 8, its kind: `search` took it for never printed, and `log` was silent about it."""
    assert recorded.recordings is not None
    await recorded.recordings.flush()
    folder = recorded.recordings.folder / "web1"
    (segment,) = segments(folder)
    size = segment.path(RAW).stat().st_size
    header = segment.path(INDEX).read_bytes().split(b"\n")[0] + b"\n"
    _damage(folder)
    after = Segment(size, folder)
    after.path(RAW).write_bytes(b"later\r\n")
    after.path(INDEX).write_bytes(header)
    status, peer = await run(recorded, "search web1 nothing")
    assert (status, "were not searched" in peer.told[0]) == (ExitStatus.PARTIAL, True)
    status, peer = await run(recorded, "log web1 --since 1h")
    assert (status, bytes(peer.got)) == (ExitStatus.OK, b"later\r\n")
    assert peer.told == [f"{size} bytes are missing here, from offset 0 on"]


def _damage(folder: Path) -> None:
    (segment,) = segments(folder)
    raw = segment.path(RAW)
    raw.rename(raw.with_name(raw.name + ".gz"))


# -- replay ----------------------------------------------------------------------------------------


async def test_a_pause_lasts_until_it_is_ended() -> None:
    pace = Pace(100.0)
    pace.key(b" ")
    waiting = await stays(pace.wait(0.01))
    pace.key(b" ")
    await soon(waiting)


async def test_the_speed_changes_while_it_waits() -> None:
    pace = Pace(0.1)
    waiting = asyncio.ensure_future(pace.wait(2))
    for _ in range(12):
        pace.key(b"+")
    assert pace.speed == 100
    await soon(waiting)


# -- times -----------------------------------------------------------------------------------------


def test_times() -> None:
    assert when("90s").before(1000) == 910
    assert when("90s").after(1000) == 1090
    assert when("2h").before(7200) == 0
    assert when("2026-03-01T02:13+00:00").before(0) == when("2026-03-01T02:13+00:00").after(5) == 1772331180
    assert when("2026-03-01T02:13:00+01:00").at == 1772331180 - 3600


@pytest.mark.parametrize("text", ["", "10", "m", "25:00", "02:60", "soon", "-5m", "9999999999d", "0000-01-01"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no time"):
        when(text)


# -- the same text as at the console -----------------------------------------------------------------

#: What a guest prints, and so many seconds behind the first.
PRINTED = [
    (0.0, b"one\r\n\x1b]0;a title that never"),
    (0.5, b" ends\x1b"),
    (4.0, b"two "),
    (4.1, b"words\r\n\x1bPa string"),
    (4.5, b"\x1b\\three\r\n\x1b_another"),
    (9.0, b"four\r\n"),
]


@pytest.fixture
async def silent(tmp_path: Path) -> AsyncIterator[Services]:
    """web1 has printed that, some time ago."""
    at, offset = 1700000000.0, 0
    for seconds, data in PRINTED:
        raw = RawLog(tmp_path / "web1", RecordingConfig())
        raw.recover()
        raw.write([Printed(at + seconds, offset, bytearray(data))])
        offset += len(data)
    async with recording(tmp_path) as made:
        yield made


async def test_text_behind_a_string_that_silence_has_ended_is_shown_as_it_was(silent: Services) -> None:
    """A string that is never ended is given up when nothing comes for a second; by the recording's times, too."""
    live = SafeFilter(strict=True)
    shown = b"".join(live.feed(data, at) for at, data in PRINTED)
    assert shown == b"one\r\ntwo words\r\nthree\r\nfour\r\n"
    _, peer = await run(silent, "log web1 --lines 50")
    assert bytes(peer.got) == shown
    _, peer = await run(silent, "search web1 .")
    assert [line.split(b"  ", 2)[2] for line in peer.got.splitlines()] == shown.splitlines()
    _, peer = await run(silent, "replay web1 --speed 100")
    assert bytes(peer.got) == shown
    console = silent.directory.find("web1")
    assert console is not None
    screen = silent.seats.screen(console)
    await screen.redraw()
    assert [row.rstrip() for row in screen.terminal.text if row.strip()] == shown.decode().split("\r\n")[:-1]


@pytest.mark.parametrize("since", ["2023-11-14T22:13:24+00:00", "2023-11-14T22:13:24.500+00:00"])
async def test_the_same_from_the_middle_on(silent: Services, since: str) -> None:
    """Of a string in which it begins nothing is shown; of one that a silence has ended it is not in the middle."""
    expected = b"two words\r\nthree\r\nfour\r\n" if since.endswith("24+00:00") else b"three\r\nfour\r\n"
    for verb in ("log", "replay --speed 100"):
        _, peer = await run(silent, f"{verb} web1 --since {since}")
        assert bytes(peer.got) == expected
    _, peer = await run(silent, f"search --since {since} web1 .")
    assert [line.split(b"  ", 2)[2] for line in peer.got.splitlines()] == expected.splitlines()
