"""Serial ports of a terminal server that accepts connections and says nothing, as one that has half crashed."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Final

import pytest

from oobconsole.config.guests import PowerConfig, SerialConfig
from oobconsole.lines.serialport import SerialStream
from oobconsole.power.power import CommandPower, PowerAction
from tests.support.aio import soon, until

#: How many ports it has: more than `asyncio.to_thread` has threads.
PORTS: Final = 48


class Events:
    """Counts the attempts that have failed."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def down(self, reason: str, retry_s: float | None) -> None:
        """Note the reason."""
        self.failed.append(reason)

    def up(self, where: str) -> None:
        """Say that this must not happen."""
        raise AssertionError(f"{where} is up")

    def output(self, data: bytes) -> None:
        """Say that this must not happen."""
        raise AssertionError(data)

    def gap(self, lost: int = 0) -> None:
        """Say that this must not happen."""
        raise AssertionError(lost)

    def writable(self) -> None:
        """Do nothing."""


class TerminalServer:
    """Accepts connections, and keeps them."""

    def __init__(self) -> None:
        self.connections: list[asyncio.StreamWriter] = []

    async def accept(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep a connection."""
        self.connections.append(writer)


@pytest.fixture
async def failed() -> AsyncIterator[list[str]]:
    """All ports are being opened at the same time. Yields the reasons of those that could not be opened."""
    dead, events = TerminalServer(), Events()
    server = await asyncio.start_server(dead.accept, "127.0.0.1", 0, backlog=socket.SOMAXCONN)
    port = server.sockets[0].getsockname()[1]
    lines = [
        SerialStream(f"rack{number}", SerialConfig(device=f"rfc2217://127.0.0.1:{port}")) for number in range(PORTS)
    ]
    for line in lines:
        await line.start(events)
    try:
        await until(lambda: len(dead.connections) == PORTS, lambda: (len(dead.connections), events.failed))
        yield events.failed
    finally:
        for writer in dead.connections:
            writer.close()
        server.close()
        for line in lines:
            await line.stop()


async def test_all_ports_are_opened_at_the_same_time_and_nobody_else_waits(failed: list[str]) -> None:
    """faults.md 19, variation: each port took one of six threads for five seconds, again and again. A power command
    and a reload waited for these threads."""
    power = CommandPower("web1", PowerConfig(command=["echo", "done"], timeout_s=60))
    assert await soon(power.do(PowerAction.RESET)) == "done"
    assert await soon(asyncio.to_thread(lambda: "read")) == "read"  # as a reload reads its file
    assert failed == [], "all of them still wait for their answers"


async def test_a_process_without_another_thread_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """faults.md 25, variation: with threads in place of descriptors."""

    def none_left(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("oobconsole.supervise.thread", none_left)
    events = Events()
    line = SerialStream("rack1", SerialConfig(device="rfc2217://127.0.0.1:1"))
    await line.start(events)
    try:
        await until(lambda: len(events.failed) > 1, lambda: events.failed)
        assert "no thread can be started" in events.failed[0]
    finally:
        with contextlib.suppress(OSError):
            await line.stop()
