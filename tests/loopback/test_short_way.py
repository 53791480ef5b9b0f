"""A channel's data takes a short way past asyncssh if the cipher is AES-GCM. Nothing else about it is different."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest
import pytest_asyncio
from asyncssh.constants import MSG_CHANNEL_DATA
from asyncssh.packet import String, UInt32

from oobconsole.front.visitor import Visitor
from oobconsole.ssh import private, server
from tests.loopback.lab import Lab
from tests.support.aio import soon, until

SHORT, LONG = "aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com"
Process = asyncssh.SSHClientProcess[bytes]


@pytest_asyncio.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with Lab(tmp_path, "drain_ms = 50\nscrollback_kib = 4096") as running:
        yield running


async def attach(lab: Lab, client: asyncssh.SSHClientConnection) -> Process:
    process = await soon(client.create_process("web1", encoding=None))
    await until(lambda: bool(lab.console.attached), lambda: lab.console.attached)
    return process


class Ended(asyncssh.SSHClient):
    """Knows why its connection has ended."""

    def __init__(self) -> None:
        self.why: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        self.why.set_result(exc)


async def attached(lab: Lab, cipher: str) -> tuple[asyncssh.SSHClientConnection, Process, Ended]:
    """A client with that cipher, attached to the only guest."""
    lab.appear()
    ended = Ended()
    client = await soon(lab.connect(encryption_algs=[cipher], client_factory=lambda: ended))
    return client, await attach(lab, client), ended


def number_of(process: Process) -> int:
    """The number that the server knows the channel by."""
    number = vars(process.channel)["_send_chan"]
    assert isinstance(number, int)
    return number


@pytest.mark.parametrize("cipher", [SHORT, LONG])
@pytest.mark.parametrize(
    ("data", "error"),
    [
        (UInt32(5) + b"four", "Incomplete packet"),
        (UInt32(3) + b"four", "Unexpected data at end of packet"),
        (UInt32(0xFFFFFFFF) + b"four", "Incomplete packet"),
        (b"\0\0", "Incomplete packet"),
    ],
)
async def test_data_of_another_length_than_it_says_ends_the_connection(
    lab: Lab, cipher: str, data: bytes, error: str
) -> None:
    client, process, ended = await attached(lab, cipher)
    client.send_packet(MSG_CHANNEL_DATA, UInt32(number_of(process)), data)
    assert error in str(await soon(ended.why))


@pytest.mark.parametrize("cipher", [SHORT, LONG])
async def test_data_for_a_channel_that_is_not_there_ends_the_connection(lab: Lab, cipher: str) -> None:
    client, process, ended = await attached(lab, cipher)
    client.send_packet(MSG_CHANNEL_DATA, UInt32(number_of(process) + 1), String(b"data"))
    assert "Invalid channel number" in str(await soon(ended.why))


@pytest.mark.parametrize("cipher", [SHORT, LONG])
async def test_data_behind_the_end_of_input_ends_the_connection(lab: Lab, cipher: str) -> None:
    client, process, ended = await attached(lab, cipher)
    number = number_of(process)
    process.stdin.write_eof()
    client.send_packet(MSG_CHANNEL_DATA, UInt32(number), String(b"data"))
    assert "Channel not open for sending" in str(await soon(ended.why))


@pytest.mark.parametrize("cipher", [SHORT, LONG])
async def test_more_data_than_the_window_has_room_for_ends_the_connection(
    lab: Lab, cipher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads what comes, so the window is used up."""
    monkeypatch.setattr(Visitor, "read", lambda _: asyncio.get_running_loop().create_future())
    client, process, ended = await attached(lab, cipher)
    for _ in range(10):
        client.send_packet(MSG_CHANNEL_DATA, UInt32(number_of(process)), String(bytes(32000)))
    assert "Window exceeded" in str(await soon(ended.why))


async def test_a_packet_that_was_changed_on_its_way_ends_the_connection(lab: Lab) -> None:
    client, _, ended = await attached(lab, SHORT)
    vars(client)["_transport"].write((32).to_bytes(4) + bytes(48))
    assert isinstance(await soon(ended.why), asyncssh.MACError)


@pytest.mark.parametrize("cipher", [SHORT, LONG])
async def test_output_and_input_are_whole_while_keys_are_exchanged_again_and_again(lab: Lab, cipher: str) -> None:
    lab.appear()
    data, typed = bytes(range(256)) * 4096, bytes(range(33, 127)) * 400
    async with await soon(lab.connect(encryption_algs=[cipher], rekey_bytes=20_000)) as client:
        process = await attach(lab, client)
        for begin in range(0, len(data), 65536):
            lab.console.output(data[begin : begin + 65536])
            await asyncio.sleep(0)
        assert await soon(process.stdout.readexactly(len(data))) == data
        process.stdin.write(typed)
        assert await soon(process.stdout.readexactly(len(typed))) == typed  # the guest echoes


async def test_only_aes_gcm_takes_the_short_way(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.appear()
    taken: list[bytes] = []
    take = private.Channel.take

    def count(channel: private.Channel, data: bytes) -> None:
        taken.append(data)
        take(channel, data)

    monkeypatch.setattr(private.Channel, "take", count)
    for cipher in (SHORT, LONG):
        async with await soon(lab.connect(encryption_algs=[cipher])) as client:
            process = await attach(lab, client)
            process.stdin.write(b"key")
            process.stdin.write_eof()
            await soon(process.wait())
    assert taken == [b"key"]


class TestKeepalive:
    async def test_asks_a_silent_client_and_not_one_that_types(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "_KEEPALIVE_SECONDS", 0.5)
        asked: list[float] = []
        monkeypatch.setattr(private.Connection, "_make_keepalive_request", lambda _: asking(asked))
        async with Lab(tmp_path) as lab:
            lab.appear()
            async with await soon(lab.connect()) as client:
                process = await attach(lab, client)
                began, keys = time.monotonic(), 0
                longest = last = began
                while time.monotonic() < began + 1.5:
                    process.stdin.write(b"k")
                    assert await soon(process.stdout.readexactly(1)) == b"k"
                    longest, last = max(longest, time.monotonic() - last + began), time.monotonic()
                    keys += 1
                assert keys > 10
                assert not asked or longest - began > 0.4  # a machine that stood still
                await until(lambda: bool(asked), lambda: asked)

    async def test_ends_the_connection_of_a_client_that_does_not_answer(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "_KEEPALIVE_SECONDS", 0.1)
        monkeypatch.setattr(server, "_KEEPALIVE_MISSED", 2)
        async with Lab(tmp_path) as lab:
            lab.appear()
            client = await soon(lab.connect())
            await attach(lab, client)
            vars(client)["_transport"].pause_reading()
            await until(lambda: not lab.ssh.connections, lambda: lab.ssh.connections)
            client.abort()


async def asking(asked: list[float]) -> None:
    asked.append(time.monotonic())
