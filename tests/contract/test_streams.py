"""What every line does the same: one suite, run over each kind with a real other end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import itertools
import os
import pty
import socket
import struct
import subprocess
import termios
import threading
import tty
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import pytest
import serial

from oobconsole.config.guests import SerialConfig
from oobconsole.errors import LineFault
from oobconsole.lines import serialport, uucp
from oobconsole.lines.base import Stream
from oobconsole.lines.chardev import ChardevStream, parse
from oobconsole.lines.serialport import SerialStream
from oobconsole.net import dialer
from tests.contract.lines import DialRig, LibvirtRig, LineEvents, LineRig, ListenRig, PtyRig, Rfc2217Rig, VfioUserRig
from tests.support.aio import idle, soon, until
from tests.support.ports import free_port

#: asm-generic/ioctls.h
TIOCSBRK = 0x5427
TIOCCBRK = 0x5428
KINDS = {
    "unix": lambda folder: DialRig(folder, socket.AF_UNIX),
    "tcp": lambda folder: DialRig(folder, socket.AF_INET),
    "unix-listen": lambda folder: ListenRig(folder, socket.AF_UNIX),
    "tcp-listen": lambda folder: ListenRig(folder, socket.AF_INET),
    "tty": PtyRig,
    "rfc2217": Rfc2217Rig,
    "libvirt": LibvirtRig,
    "vfio-user": VfioUserRig,
}


@pytest.fixture(params=KINDS)
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LineRig]:
    made = KINDS[request.param](tmp_path)
    await made.start()
    yield made
    await made.stop()
    await made.stream.stop()


async def test_bytes_pass_both_ways_whatever_they_are(rig: LineRig) -> None:
    every = bytes(range(256)) * 4
    assert rig.print(every) == len(every)
    await until(lambda: rig.events.got == every, lambda: rig.events.got)
    assert rig.stream.write(every) == len(every)
    typed = bytearray()

    def arrived() -> bool:
        typed.extend(rig.typed())
        return bytes(typed) == every

    await until(arrived, lambda: typed)


async def test_a_line_that_takes_nothing_accepts_only_so_much_and_loses_nothing(rig: LineRig) -> None:
    data = os.urandom(4 << 20)
    sent = 0

    def full() -> bool:
        nonlocal sent
        count = rig.stream.write(data[sent : sent + 4096])
        sent += count
        return count == 0

    await until(full, lambda: sent)
    assert sent < len(data)
    typed = bytearray()

    def arrived() -> bool:
        typed.extend(rig.typed())
        return len(typed) >= sent and rig.events.writable_calls > 0

    await until(arrived, lambda: (sent, len(typed), rig.events.writable_calls))
    assert bytes(typed) == data[:sent]


async def test_a_line_that_is_lost_says_why_and_comes_back(rig: LineRig) -> None:
    await rig.vanish()
    await until(lambda: bool(rig.events.downs) and not rig.events.is_up, lambda: rig.events.downs)
    assert rig.events.downs[-1][0]
    assert rig.stream.write(b"nobody is there") == 0
    await rig.appear()
    await rig.meet()
    rig.print(b"again")
    await until(lambda: rig.events.got.endswith(b"again"), lambda: rig.events.got)


@pytest.mark.parametrize("kind", ["unix", "tcp", "unix-listen", "tcp-listen"])
async def test_a_line_that_is_held_waits_and_loses_nothing(kind: str, tmp_path: Path) -> None:
    rig = KINDS[kind](tmp_path)
    await rig.start()
    rig.print(b"before")
    await until(lambda: rig.events.got == b"before", lambda: rig.events.got)
    assert rig.stream.hold(True)
    rig.print(b", and after")
    await idle()
    assert rig.events.got == b"before"
    assert rig.stream.hold(False)
    await until(lambda: rig.events.got == b"before, and after", lambda: rig.events.got)
    await rig.stop()
    assert not rig.stream.hold(True)


@pytest.mark.parametrize("kind", ["rfc2217"])
async def test_what_cannot_be_reached_is_tried_again_ever_later(kind: str, tmp_path: Path) -> None:
    rig = KINDS[kind](tmp_path)
    await rig.stream.start(rig.events)
    await until(lambda: len(rig.events.downs) >= 3, lambda: rig.events.downs)
    delays = [delay or 0.0 for _, delay in rig.events.downs]
    assert all(earlier < later for earlier, later in itertools.pairwise(delays))
    await rig.stream.stop()


@pytest.mark.parametrize("kind", ["unix", "tty"])
async def test_what_appears_on_this_host_is_connected_within_a_second(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """faults.md 33: how long it was away does not matter, and looking costs no line of the log. It is found by
    looking, which is done more often than once in a second: the next attempt would be a day later."""
    monkeypatch.setattr(dialer, "RETRY_FIRST", 86400.0)
    assert dialer.LOOK_SECONDS < 1.0
    path = tmp_path / "late"
    line: Stream
    if kind == "unix":
        line = ChardevStream("web1", parse(f"unix:{path}"))
    else:
        line = SerialStream("web1", SerialConfig(device=str(path)))
    events = LineEvents()
    await line.start(events)
    await until(lambda: bool(events.downs), lambda: events.downs)
    looks = 0
    real = os.stat

    def counted(*words: Any, **more: Any) -> os.stat_result:
        nonlocal looks
        looks += words[:1] in ((str(path),), (path,))
        return real(*words, **more)

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", counted)
        await until(lambda: looks > 5, lambda: (looks, events.downs))  # a backoff would be at seconds by now
    assert len(events.downs) == 1
    with contextlib.ExitStack() as held:
        if kind == "unix":
            listener = held.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(path))
            listener.listen()
        else:
            master, slave = pty.openpty()
            held.callback(os.close, master)
            held.callback(os.close, slave)
            tty.setraw(slave)
            path.symlink_to(os.ttyname(slave))
        await until(lambda: events.is_up, lambda: events.downs)
        assert len(events.downs) == 1
        await line.stop()


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EOPNOTSUPP, errno.ENOTTY])
async def test_a_driver_that_refuses_a_break(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """faults.md 20: the user gets a reason, and the line goes on."""
    rig = PtyRig(tmp_path)
    await rig.start()
    real = fcntl.ioctl

    def ioctl(descriptor: int, request: int, *rest: Any) -> Any:
        if request == TIOCSBRK:
            raise OSError(number, os.strerror(number))
        return real(descriptor, request, *rest)

    with monkeypatch.context() as driver:
        driver.setattr(fcntl, "ioctl", ioctl)
        with pytest.raises(LineFault, match=f"^the port refuses it: {os.strerror(number)}$"):
            await soon(settled(rig.stream.send_break()))
    rig.print(b"still here")
    await until(lambda: rig.events.got == b"still here", lambda: rig.events.got)
    await rig.stop()


async def settled(sending: bool | Awaitable[None]) -> None:
    """Wait until it is known whether a break was sent; raises what the line says then."""
    assert not isinstance(sending, bool), sending
    await sending


class Driver:
    """Stands in the place of a driver whose port has sent what was written only when the test says so. As in the
    kernel (tty_ioctl), a break waits for that, for as long as it takes, and so does a close."""

    def __init__(self, patched: pytest.MonkeyPatch) -> None:
        self.unsent = 0
        self.sent = threading.Event()
        self.calls: list[str] = []
        real = fcntl.ioctl

        def ioctl(descriptor: int, request: int, *rest: Any) -> Any:
            if request == termios.TIOCOUTQ:
                return struct.pack("I", self.unsent)
            if request == TIOCSBRK:
                self.sent.wait(60)
            if request in (TIOCSBRK, TIOCCBRK):
                self.calls.append("break" if request == TIOCSBRK else "end")
            return real(descriptor, request, *rest)

        def close(port: serial.Serial) -> None:
            self.sent.wait(60)
            self.calls.append("close")
            real_close(port)

        real_close = serial.Serial.close
        patched.setattr(fcntl, "ioctl", ioctl)
        patched.setattr(serial.Serial, "close", close)


async def test_a_driver_that_makes_a_break_wait_holds_up_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """faults.md 20, variation: with flow control a guest that reads nothing made the kernel wait for ever, and so
    every console of the server."""
    rig = PtyRig(tmp_path)
    await rig.start()
    driver = Driver(monkeypatch)
    driver.unsent = 17
    assert rig.stream.send_break() is False  # it is not asked for before everything is sent
    tries = rig.events.writable_calls
    await until(lambda: rig.events.writable_calls > tries, lambda: rig.events.writable_calls)
    driver.unsent = 0
    sending = rig.stream.send_break()
    rig.print(b"meanwhile")
    await until(lambda: rig.events.got == b"meanwhile", lambda: rig.events.got)
    assert (rig.stream.send_break(), driver.calls) == (False, [])  # one at a time
    driver.sent.set()
    await soon(settled(sending))
    assert driver.calls == ["break", "end"]
    driver.sent.clear()
    await soon(rig.stream.stop())
    assert "close" not in driver.calls
    driver.sent.set()
    await until(lambda: "close" in driver.calls, lambda: driver.calls)
    await rig.stop()


def vanish(sock: socket.socket) -> None:
    """Close without a FIN, as a host does that loses its power: TCP_REPAIR, 19; it needs CAP_NET_ADMIN."""
    sock.setsockopt(socket.IPPROTO_TCP, 19, 1)
    sock.close()


async def test_a_new_connection_replaces_one_whose_other_end_lost_its_power() -> None:
    """faults.md 19: and one that lives is not replaced."""
    port = free_port()
    line, events = ChardevStream("web1", parse(f"tcp-listen:127.0.0.1:{port}")), LineEvents()
    await line.start(events)
    loop = asyncio.get_running_loop()
    first = socket.create_connection(("127.0.0.1", port))
    await until(lambda: events.is_up, lambda: events.downs)
    with socket.create_connection(("127.0.0.1", port)) as other:
        other.setblocking(False)
        assert await soon(loop.sock_recv(other, 1)) == b""
    assert (events.is_up, events.ups) == (True, 1)
    vanish(first)
    with socket.create_connection(("127.0.0.1", port)) as again:
        await until(lambda: events.ups == 2, lambda: events.downs)
        again.sendall(b"booted")
        await until(lambda: events.got == b"booted", lambda: events.got)
        await line.stop()


async def test_tcp_lines_have_a_keepalive(tmp_path: Path) -> None:
    """faults.md 19: as the kernel says it (ss -tno)."""
    rig = KINDS["tcp"](tmp_path)
    await rig.start()
    shown = await asyncio.to_thread(subprocess.run, ["ss", "-tnoH"], capture_output=True, text=True, check=True)
    peer = rig.peer.getsockname()[1]  # type: ignore[attr-defined]
    ours = [line for line in shown.stdout.splitlines() if line.split()[4].endswith(f":{peer}")]
    assert ours
    assert all("timer:(keepalive," in line for line in ours), ours
    await rig.stop()


async def test_a_stop_while_a_port_is_being_opened_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its lock file nor the open port, though the thread that opens it cannot be stopped."""
    master, slave = pty.openpty()
    monkeypatch.setattr(uucp, "FOLDER", tmp_path)
    monkeypatch.setattr(serialport, "PortLock", lambda device: uucp.PortLock(device, tmp_path))
    line = SerialStream("web1", SerialConfig(device=os.ttyname(slave)))
    may, opened = threading.Event(), []
    real = line._open_blocking

    def late() -> Any:
        may.wait(60)
        opened.append(real())
        return opened[0]

    monkeypatch.setattr(line, "_open_blocking", late)
    await line.start(LineEvents())
    await until(lambda: any(tmp_path.glob("LCK..*")), lambda: list(tmp_path.iterdir()))
    await line.stop()
    may.set()
    await until(lambda: bool(opened) and not opened[0].is_open, lambda: opened)
    await until(lambda: not list(tmp_path.iterdir()), lambda: list(tmp_path.iterdir()))
    os.close(master)
    os.close(slave)
