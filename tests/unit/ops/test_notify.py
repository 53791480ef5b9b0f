"""systemd's notifications, to a real socket in its place."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from oobconsole.ops import notify
from tests.support.aio import soon
from tests.support.pace import scaled


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@oob-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name.replace("@", "\0", 1))
        sock.settimeout(scaled(5))
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield sock


def test_lines_are_one_datagram(manager: socket.socket) -> None:
    assert notify.notify("READY=1", "STATUS=fine")
    assert manager.recv(4096) == b"READY=1\nSTATUS=fine"


def test_a_reload_is_told_with_its_time_and_its_end(manager: socket.socket) -> None:
    with notify.reloading():
        assert manager.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert manager.recv(4096) == b"READY=1"


async def test_the_watchdog_is_fed_while_the_loop_lives(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    task = asyncio.create_task(notify.watchdog())
    for _ in range(3):
        assert await soon(asyncio.to_thread(manager.recv, 4096)) == b"WATCHDOG=1"
    task.cancel()


@pytest.mark.parametrize("usec", ["", "0", "soon", "-5"])
async def test_no_watchdog_is_wanted(monkeypatch: pytest.MonkeyPatch, usec: str) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    await soon(notify.watchdog())


def test_another_process_watchdog_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert notify.watchdog_seconds() is None


@pytest.mark.parametrize("value", ["", "relative", "/nothing/here"])
def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", value)
    assert not notify.notify("READY=1")
