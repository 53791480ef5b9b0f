"""What many watch goes to the front once, and from there to each of them."""

from __future__ import annotations

from pathlib import Path

import asyncssh

from oobconsole.front.ends import OUTPUT_WINDOW
from tests.loopback.lab import Lab
from tests.support.aio import soon, until

WATCHERS = 5
#: As much as each watcher has credit for, so that none of them has to wait.
DATA = bytes(range(256)) * (OUTPUT_WINDOW // 256)


async def watch(client: asyncssh.SSHClientConnection) -> asyncssh.SSHClientProcess[bytes]:
    return await soon(client.create_process("watch web1", encoding=None))


async def test_output_for_several_watchers_passes_the_relay_once(tmp_path: Path) -> None:
    async with Lab(tmp_path) as lab, await soon(lab.connect()) as client:
        lab.appear()
        watchers = [await watch(client) for _ in range(WATCHERS)]
        await until(lambda: lab.console.attached == WATCHERS, lambda: lab.console.attached)
        lab.console.output(b"all are there: ")
        for watcher in watchers:
            await soon(watcher.stdout.readuntil(b"all are there: "))
        before = lab.relay.counts.sent_bytes
        lab.console.output(DATA)
        for watcher in watchers:
            assert await soon(watcher.stdout.readexactly(len(DATA))) == DATA
        assert len(DATA) <= lab.relay.counts.sent_bytes - before < 2 * len(DATA)


async def test_a_session_that_is_over_and_one_on_standard_error_get_nothing_of_it(tmp_path: Path) -> None:
    async with Lab(tmp_path) as lab, await soon(lab.connect()) as client:
        lab.appear()
        stays, leaves = await watch(client), await watch(client)
        await until(lambda: lab.console.attached == 2, lambda: lab.console.attached)
        leaves.close()
        await until(lambda: lab.console.attached == 1, lambda: lab.console.attached)
        lab.console.output(DATA)
        assert await soon(stays.stdout.readexactly(len(DATA))) == DATA
        stays.stdin.write_eof()
        refused = await soon(client.run("no-such-verb", encoding=None))
        assert not refused.stdout
        assert refused.stderr
