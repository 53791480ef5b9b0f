"""Between keeper and server: the codec, and a server whose keeper says what it should not."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from oobconsole.errors import WireError
from oobconsole.vfio_user import link, stream
from oobconsole.vfio_user.keeper import Settings, last_words
from oobconsole.vfio_user.link import Frame, Kind
from oobconsole.vfio_user.port import BREAKS_MAX, INPUT_MAX
from oobconsole.vfio_user.stream import KeeperProcess, VfioUserStream
from tests.contract.lines import LineEvents
from tests.support.aio import soon, until

UP = {"up": True, "reason": "process 7", "retry_s": None}


class TestCodec:
    @given(st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=40))))
    def test_byte_by_byte_and_at_once(self, frames: list[tuple[Kind, bytes]]) -> None:
        data = b"".join(link.encode(kind, payload) for kind, payload in frames)
        decoder = link.Decoder()
        found = [frame for byte in data for frame in decoder.feed(bytes((byte,)))]
        assert found == list(link.Decoder().feed(data)) == [Frame(*frame) for frame in frames]

    @pytest.mark.parametrize("data", [b"\x00\x00\x00\x00\x00", b"\x13\x01\x00\x01\x00", b"\x13\xff\xff\xff\xff"])
    def test_what_is_no_frame(self, data: bytes) -> None:
        with pytest.raises(WireError):
            list(link.Decoder().feed(data))

    def test_payloads(self) -> None:
        (number, table) = link.Decoder().feed(link.encode(Kind.GAP, 77) + link.encode(Kind.STATE, {"up": True}))
        assert (number.number, table.table) == (77, {"up": True})

    def test_payloads_that_are_not_what_they_should_be(self) -> None:
        with pytest.raises(WireError, match="GAP with 3 bytes of payload"):
            _ = Frame(Kind.GAP, b"abc").number
        for payload in (b"{", b"[]", b"\xff", b"[" * 100_000):
            with pytest.raises(WireError, match="STATE"):
                _ = Frame(Kind.STATE, payload).table


class FakeKeeper:
    """Says what it is told to."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(str(folder / "vfio"), str(folder / "keeper"), "io", 1)
        self.connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self.hello = {"version": link.VERSION, "instance": 5, "pid": 1, "device": [*self.device], "busy": False}

    @property
    def device(self) -> tuple[str, str, int]:
        return self.settings.socket, self.settings.bar, self.settings.ports

    async def start(self) -> None:
        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self.connections.put((reader, writer))

        self.server = await asyncio.start_unix_server(accepted, self.settings.control)

    async def connected(self) -> asyncio.StreamWriter:
        """The next connection of a server, greeted; what it answers is not read."""
        self.reader, self.writer = await soon(self.connections.get())  # asyncio closes a writer that nobody keeps
        self.writer.write(link.encode(Kind.HELLO, self.hello))
        return self.writer


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeKeeper]:
    made = FakeKeeper(tmp_path)
    await made.start()
    yield made
    made.server.close()


@pytest.fixture
async def line(fake: FakeKeeper) -> AsyncIterator[tuple[VfioUserStream, LineEvents]]:
    made, events = VfioUserStream("web", KeeperProcess("web", fake.settings), 0), LineEvents()
    await made.start(events)
    (await soon(fake.connections.get()))[1].close()  # to see that there is one
    yield made, events
    await made.stop()


class TestServersSide:
    async def test_what_is_known_is_not_asked_for_again(
        self, fake: FakeKeeper, line: tuple[VfioUserStream, LineEvents]
    ) -> None:
        stream_, events = line
        stream_.recorded = lambda instance, number: {(5, 1): 1000}[instance, number]
        writer = await fake.connected()
        assert await attach_of(fake) == {"port": 0, "have": 1000, "breaks": True}
        writer.write(link.encode(Kind.ATTACHED, 1000) + link.encode(Kind.OUTPUT, b"abc"))
        await until(lambda: events.got == b"abc", lambda: events.got)
        writer.close()
        await fake.connected()
        assert await attach_of(fake) == {"port": 0, "have": 1003, "breaks": True}
        fake.hello["instance"] = 6
        fake.server.close()

    @pytest.mark.parametrize("recorded", [None, 0])
    async def test_a_keeper_that_nobody_knows_yet(
        self, fake: FakeKeeper, line: tuple[VfioUserStream, LineEvents], recorded: int | None
    ) -> None:
        if recorded is not None:
            line[0].recorded = lambda instance, number: None
        await fake.connected()
        assert await attach_of(fake) == {"port": 0, "have": recorded, "breaks": True}

    @pytest.mark.parametrize(
        ("hello", "reason"),
        [
            ({"version": 99}, "of another version of oobconsole; another is started"),
            ({"instance": "x"}, "of another version"),
            ({"device": ["elsewhere", "io", 1], "busy": True}, "another device .*; it goes when its VMM does"),
        ],
    )
    async def test_a_keeper_that_is_another_one(
        self, fake: FakeKeeper, line: tuple[VfioUserStream, LineEvents], hello: dict[str, object], reason: str
    ) -> None:
        fake.hello |= hello
        await fake.connected()
        await until(lambda: bool(line[1].downs), lambda: line[1].downs)
        assert re.search(reason, line[1].downs[-1][0])

    async def test_one_that_is_not_needed_is_told_to_end(
        self, fake: FakeKeeper, line: tuple[VfioUserStream, LineEvents]
    ) -> None:
        fake.hello["device"] = ["elsewhere", "io", 1]
        await fake.connected()
        assert await soon(fake.reader.readexactly(5)) == link.encode(Kind.END)

    @pytest.mark.parametrize(
        "said",
        [
            b"\xff" * 5,
            link.encode(Kind.INPUT, b"x"),
            link.encode(Kind.GAP, b"x"),
            link.encode(Kind.STATE, b""),
            link.encode(Kind.STATE, UP | {"breaks": "many"}),
            link.encode(Kind.STATE, UP | {"waiting": -1}),
        ],
    )
    async def test_one_that_says_nonsense(
        self, fake: FakeKeeper, line: tuple[VfioUserStream, LineEvents], said: bytes
    ) -> None:
        writer = await fake.connected()
        await attach_of(fake)
        writer.write(said)
        await until(lambda: bool(line[1].downs), lambda: line[1].downs)
        assert "its keeper broke the protocol between keeper and server: " in line[1].downs[-1][0]
        await fake.connected()

    async def test_one_that_says_nothing(
        self, fake: FakeKeeper, monkeypatch: pytest.MonkeyPatch, line: tuple[VfioUserStream, LineEvents]
    ) -> None:
        monkeypatch.setattr(stream, "HELLO_SECONDS", 0.05)
        fake.hello = {}
        await until(lambda: bool(line[1].downs), lambda: line[1].downs)
        assert "said nothing" in line[1].downs[-1][0]

    async def test_one_whose_hello_was_not_looked_at_in_time(
        self, fake: FakeKeeper, monkeypatch: pytest.MonkeyPatch, line: tuple[VfioUserStream, LineEvents]
    ) -> None:
        """It was this process that did not run: what is there already counts."""
        monkeypatch.setattr(stream, "HELLO_SECONDS", 0.0)
        monkeypatch.setattr(stream, "LOOK_SECONDS", 60.0)
        await fake.connected()
        assert (await attach_of(fake))["port"] == 0

    async def test_the_same_reason_again_is_no_news(
        self, fake: FakeKeeper, line: tuple[VfioUserStream, LineEvents]
    ) -> None:
        writer = await fake.connected()
        await attach_of(fake)
        fault = {"up": False, "reason": "at fault", "retry_s": 0.2}
        with capture_logs() as logs:
            writer.write(link.encode(Kind.STATE, fault) + link.encode(Kind.STATE, fault | {"retry_s": None}))
            await until(lambda: len(line[1].downs) == 2, lambda: line[1].downs)
        assert [entry["reason"] for entry in logs] == ["at fault"]


class TestWhatWaits:
    """What a keeper has not given to its guest yet is bounded, and whoever sends more is told: it waits."""

    async def up(
        self, fake: FakeKeeper, line: tuple[VfioUserStream, LineEvents], **more: object
    ) -> asyncio.StreamWriter:
        writer = await fake.connected()
        await attach_of(fake)
        writer.write(link.encode(Kind.ATTACHED, 0) + link.encode(Kind.STATE, UP | more))
        await until(lambda: line[1].is_up, lambda: line[1].downs)
        return writer

    async def test_breaks_beyond_those_that_may_wait_are_not_sent_before_some_were_taken(
        self, fake: FakeKeeper, line: tuple[VfioUserStream, LineEvents]
    ) -> None:
        stream_, events = line
        fake.hello["breaks"] = True
        writer = await self.up(fake, line)
        assert [stream_.send_break() for _ in range(BREAKS_MAX + 2)] == [True] * BREAKS_MAX + [False] * 2
        assert await soon(fake.reader.readexactly(5 * BREAKS_MAX)) == link.encode(Kind.BREAK) * BREAKS_MAX
        writer.write(link.encode(Kind.BREAKS_TAKEN, 3))
        await until(lambda: events.writable_calls == 1, lambda: events.writable_calls)
        assert [stream_.send_break() for _ in range(4)] == [True] * 3 + [False]

    async def test_breaks_wait_no_longer_when_the_vmm_is_gone(
        self, fake: FakeKeeper, line: tuple[VfioUserStream, LineEvents]
    ) -> None:
        stream_, events = line
        fake.hello["breaks"] = True
        writer = await self.up(fake, line)
        while stream_.send_break():
            pass
        writer.write(link.encode(Kind.STATE, UP | {"up": False}) + link.encode(Kind.STATE, UP))
        await until(lambda: events.ups == 2, lambda: events.ups)
        assert stream_.send_break()

    async def test_what_a_server_before_has_sent_counts(
        self, fake: FakeKeeper, line: tuple[VfioUserStream, LineEvents]
    ) -> None:
        stream_, _ = line
        fake.hello["breaks"] = True
        await self.up(fake, line, waiting=INPUT_MAX - 3, breaks=BREAKS_MAX - 1)
        assert [stream_.send_break() for _ in range(2)] == [True, False]
        assert [stream_.write(b"0123456789") for _ in range(2)] == [3, 0]

    async def test_a_keeper_of_an_earlier_version_does_not_say_what_was_taken(
        self, fake: FakeKeeper, line: tuple[VfioUserStream, LineEvents]
    ) -> None:
        await self.up(fake, line)
        assert all(line[0].send_break() for _ in range(BREAKS_MAX + 2))


class TestStart:
    async def test_a_keeper_process_leaves_its_last_words(self, tmp_path: Path) -> None:
        settings = Settings(str(tmp_path / "vfio"), str(tmp_path / "keeper"), "io", 1)
        process, hello = KeeperProcess("web", settings), HelloOnly()
        transport, _ = await process.connect(lambda: hello)
        os.kill((await soon(hello.said))["pid"], signal.SIGABRT)
        said = last_words(settings.control)
        await until(lambda: "Fatal Python error: Aborted" in said.read_text(), said.read_text)
        assert said.stat().st_mode & 0o777 == 0o600
        transport.abort()

    async def test_a_keeper_that_cannot_start_says_why(self, tmp_path: Path) -> None:
        (tmp_path / "vfio").write_text("in the way")
        process = KeeperProcess("web", Settings(str(tmp_path / "vfio"), str(tmp_path / "keeper"), "io", 1))
        with pytest.raises(OSError, match="is in the way and no socket"):
            await process.connect(asyncio.Protocol)

    async def test_one_that_dies_at_once_leaves_its_last_words(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        process = KeeperProcess("web", Settings(str(tmp_path / "vfio"), str(tmp_path / "keeper"), "io", 1))
        with pytest.raises(OSError, match="cannot be started: it ended at once"):
            await process.connect(asyncio.Protocol)


class HelloOnly(asyncio.Protocol):
    """A server that only wants to know who is there."""

    def __init__(self) -> None:
        self.said: asyncio.Future[dict[str, int]] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.said.set_result(next(link.Decoder().feed(data)).table)


async def attach_of(fake: FakeKeeper) -> dict[str, object]:
    """What the server says first."""
    decoder = link.Decoder()
    while data := await soon(fake.reader.read(4096)):
        for frame in decoder.feed(data):
            assert frame.kind is Kind.ATTACH
            found: dict[str, object] = json.loads(frame.payload)
            return found
    raise AssertionError("the server has closed the connection")
