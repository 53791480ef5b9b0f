"""security.md 10: ten persons watch a guest that prints what is dear to show, one of them slow and one stopped."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncssh
import pytest

from oobconsole.session import safe
from oobconsole.terminal.safe import SafeFilter
from tests.attack.inside import HOSTILE
from tests.loopback.lab import Lab
from tests.support.aio import soon, until


class Watcher(asyncssh.SSHClientSession[bytes]):
    """Counts what it is shown."""

    def __init__(self) -> None:
        self.shown = 0

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self.channel = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        self.shown += len(data)


@pytest.mark.parametrize("term", ["xterm", "dumb"])
async def test_ten_watchers_cost_a_few_slices_of_each_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    """Counted, not timed: what is filtered in one turn of the event loop. Who is stopped keeps nobody waiting, and
    has little in memory."""
    filtered = most = 0
    feed = SafeFilter.feed

    def count(self: SafeFilter, data: bytes, now: float = 0.0) -> bytes:
        nonlocal filtered, most
        filtered += len(data)
        most = max(most, filtered)
        return feed(self, data, now)

    def turn() -> None:
        nonlocal filtered
        filtered = 0
        asyncio.get_running_loop().call_soon(turn)

    async with Lab(tmp_path) as lab:
        client = await soon(lab.connect())
        watchers: list[Watcher] = []
        for _ in range(10):
            watchers.append(Watcher())
            made = client.create_session(
                lambda: watchers[-1], "watch web1", term_type=term, term_size=(80, 24), encoding=None
            )
            await soon(made)
        stopped, *others = watchers
        await until(lambda: all(watcher.shown for watcher in watchers), lambda: [w.shown for w in watchers])
        stopped.channel.pause_reading()
        monkeypatch.setattr(SafeFilter, "feed", count)
        turn()
        for _ in range(4):
            before = [watcher.shown for watcher in others]
            lab.console.output(HOSTILE)
            await until(
                lambda: all(watcher.shown > shown for watcher, shown in zip(others, before, strict=True)),  # noqa: B023
                lambda: [watcher.shown for watcher in watchers],
            )
        # Who was told to go on, and waits for something else, is one of the next turn; all ten would be far more.
        assert 0 < most <= 3 * safe.SLICES_MAX * safe.SLICE < 10 * safe.SLICE
        channels = list(next(iter(lab.ssh.connections))._channels.values())
        assert max(channel.get_write_buffer_size() for channel in channels) < 256 << 10
        async with await soon(lab.connect()) as honest:
            assert (await soon(honest.run("ls"))).exit_status == 0
        client.abort()
