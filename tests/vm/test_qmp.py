"""QEMU's monitor beside a console, with real QEMU and real Linux."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oobconsole.errors import EnvironmentFault
from oobconsole.power.qmp import Qmp
from tests.stack.plain import PlainGuest
from tests.support.aio import soon, until
from tests.support.expect import Expect, ExpectError

pytestmark = pytest.mark.vm


class Watched(Qmp):
    """A monitor of ours that writes down the events that it is told."""

    def __init__(self, path: Path) -> None:
        self.told: list[str] = []
        super().__init__("db2", path)
        self.listeners.append(self.told.append)


@pytest.fixture
async def monitor(tmp_path: Path) -> AsyncIterator[Watched]:
    qmp = Watched(tmp_path / "qmp")
    qmp.start()
    yield qmp
    await qmp.stop()
    await qmp.stop()


async def test_state_events_and_power(monitor: Watched, tmp_path: Path) -> None:
    with PlainGuest(tmp_path, f"unix:{tmp_path}/serial,server=on,wait=off", ["-no-shutdown"]) as guest:
        await until(lambda: monitor.state == "running", lambda: monitor.state)
        await monitor.execute("system_reset")
        await until(lambda: "the guest is reset (host-qmp-system-reset)" in monitor.told, lambda: monitor.told)
        await monitor.execute("stop")
        await until(lambda: monitor.state == "paused", lambda: (monitor.state, monitor.told))
        with pytest.raises(EnvironmentFault, match=r"QEMU refuses no-such: .*has not been found"):
            await monitor.execute("no-such")
        guest.stop()
        await until(lambda: monitor.state == "", lambda: monitor.state)
        with pytest.raises(EnvironmentFault, match="is not connected"):
            await monitor.execute("system_reset")
        guest.start()
        await until(lambda: monitor.state == "running", lambda: monitor.state)


async def helped(monitor: Watched, line: Path, console: Expect) -> bool:
    """Return whether Linux takes a key behind a break for a SysRq key. The key must come within 5 s, by a clock that
    does not wait for a slow machine (SYSRQ_TIMEOUT of Linux's serial_core.h). So there are several tries."""
    for _ in range(5):
        await monitor.send_break(str(line))
        console.send(b"h")
        with contextlib.suppress(ExpectError):
            await asyncio.to_thread(console.expect, rb"sysrq: HELP", timeout=5)
            return True
    return False


async def test_a_break_reaches_the_guests_uart(monitor: Watched, tmp_path: Path) -> None:
    line = tmp_path / "serial"
    with PlainGuest(tmp_path, f"unix:{line},server=on,wait=off", ["-no-shutdown"]):
        await until(lambda: monitor.state == "running" and line.exists(), lambda: monitor.state)
        with Expect(["socat", "-", f"UNIX-CONNECT:{line}"]) as console:
            await asyncio.to_thread(console.expect, rb"l2# ", timeout=60)
            assert await helped(monitor, line, console), bytes(console.seen)
            with pytest.raises(EnvironmentFault, match="has no chardev at /nowhere"):
                await monitor.send_break("/nowhere")


@pytest.mark.parametrize("garbage", [b"\x00\xff" * 100 + b"\n", b'{"QMP": 3}\n', b"{" * 100_000, b""])
async def test_what_is_no_monitor_costs_one_sentence(monitor: Watched, tmp_path: Path, garbage: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "qmp"))
        listener.listen()
        listener.setblocking(False)
        peer, _ = await soon(asyncio.get_running_loop().sock_accept(listener))
        with peer:
            peer.setblocking(True)
            peer.sendall(garbage)
            peer.shutdown(socket.SHUT_RDWR)
        with pytest.raises(EnvironmentFault, match="is not connected"):
            await monitor.execute("query-status")
        peer, _ = await soon(asyncio.get_running_loop().sock_accept(listener))  # the server connects again
        peer.close()
