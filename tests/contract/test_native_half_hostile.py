"""Native halves that break the protocol, say nothing, do not read, or never stop: each costs its own connection."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path

import pytest

from oobconsole.interceptors import connection, wire
from oobconsole.interceptors.base import Context
from oobconsole.interceptors.native import LOG_LINES
from oobconsole.interceptors.tcg import PENDING_MAX
from tests.contract.logged import Output
from tests.contract.rigs import PORT, TcgRig
from tests.support.aio import idle, until
from tests.support.native_half import NativeHalf, access, appeared, posted
from tests.support.pace import scaled

CONTEXT = Context("l1", 1)


@pytest.mark.parametrize(
    ("hostile", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "frame type 0x54"),
        (wire.encode_hello("another", 3), "'another'"),
        (wire.encode_hello("l1", 3, version=3), "speaks version 3 of the protocol, this server 2"),
        (access(1), "the first frame is ACCESS and not HELLO"),
        (b"\xff" * 100_000, "frame type 0xff"),
        (wire.encode_hello("l1", 3)[:20], "it closed the connection"),
        (b"", "it closed the connection"),
    ],
    ids=["garbage", "wrong machine", "wrong version", "wrong order", "flood", "half a frame", "nothing"],
)
async def test_a_hostile_peer_costs_its_own_connection(
    tcg: TcgRig, hostile: bytes, reason: str, output: Output
) -> None:
    await tcg.appear(1)
    other = NativeHalf(tcg.path, "l1", instance=3)
    await other.connect(greet=False)
    other.send(hostile)
    if "closed" in reason:
        await other.close()
    else:
        assert await other.ended() == (wire.encode_welcome(0) if "version" in reason else b"")
    await until(lambda: bool(output.lines("native half refused")), lambda: output.lines(""))
    assert await tcg.half.access(1, PORT) == 0x78
    [line] = output.lines("native half refused")
    assert reason in line


async def test_a_protocol_error_later_on_ends_the_link_behind_what_came_before(tcg: TcgRig, output: Output) -> None:
    await tcg.appear(1)
    handler = tcg.events.handlers[1]
    tcg.half.send(posted(b"last words") + bytes(8))
    await tcg.events.wait_for("down")
    assert handler.log == [("block", PORT, b"last words")]
    [line] = output.lines("native half away")
    assert "protocol error: frame type 0x00" in line
    await tcg.half.close()


async def test_a_peer_that_says_nothing_is_given_up(
    tcg: TcgRig, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HELLO_SECONDS", 0.01)
    quiet = NativeHalf(tcg.path, "l1", instance=3)
    await quiet.connect(greet=False)
    assert await quiet.ended() == b""
    [line] = output.lines("native half refused")
    assert "did not say HELLO within 0.01 s" in line


async def test_what_a_peer_has_said_in_time_counts_when_we_look_late(tcg: TcgRig) -> None:
    """Its time is up before this process has read what was there: it was this process that did not run."""
    await tcg.lose_link()
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(tcg.path))
        await until(lambda: bool(tcg.interceptor._pending), lambda: tcg.interceptor._pending)
        [half] = tcg.interceptor._pending
        peer.sendall(wire.encode_hello("l1", 7))
        half._hello_due()
        assert tcg.interceptor._current is half
        assert len(peer.recv(4096)) == wire.WELCOME.size
        half._hello_due()
        assert not half.closed


async def test_one_that_connects_is_known_to_be_on_its_way(tcg: TcgRig) -> None:
    assert tcg.interceptor.connecting
    await tcg.lose_link()
    assert not tcg.interceptor.connecting
    half = NativeHalf(tcg.path, "l1")
    await half.connect(greet=False)
    await until(lambda: tcg.interceptor.connecting, lambda: tcg.interceptor._pending)
    await half.close()
    await until(lambda: not tcg.interceptor.connecting, lambda: tcg.interceptor._pending)


async def test_few_may_connect_and_say_nothing(tcg: TcgRig, output: Output) -> None:
    quiet = [NativeHalf(tcg.path, "l1", instance=3) for _ in range(PENDING_MAX + 1)]
    for half in quiet:
        await half.connect(greet=False)
    assert await quiet[-1].ended() == b""
    [line] = output.lines("native half refused")
    assert "too many" in line
    await tcg.appear(1)


async def test_one_that_fails_again_and_again_does_not_fill_the_log(tcg: TcgRig, output: Output) -> None:
    for _ in range(3 * LOG_LINES):
        half = NativeHalf(tcg.path, "l1", instance=3)
        await half.connect(greet=False)
        half.send(b"garbage!")
        await half.ended()
    assert len(output.lines("native half refused")) == LOG_LINES
    assert len(output.lines("not logged")) == 1


async def test_one_that_does_not_read_is_cut_off(tcg: TcgRig, output: Output) -> None:
    await tcg.appear(1)
    tcg.half._writer.transport.pause_reading()  # type: ignore[attr-defined]  # a WriteTransport that can also read
    for _ in range(100):
        for level in [True, False] * 500:
            tcg.interceptor.set_irq(CONTEXT, 4, level)
        await idle()
    await tcg.events.wait_for("down")
    [line] = output.lines("native half away")
    assert "does not read" in line


def _never_stop(path: Path, stop: threading.Event) -> int:
    """Access after access, many at once, until told to stop; returns how many were answered."""
    with socket.socket(socket.AF_UNIX) as half:
        half.connect(str(path))
        half.settimeout(scaled(10))
        half.sendall(wire.encode_hello("l1", 9) + appeared(1))
        served, expected = 0, wire.WELCOME.size
        while not stop.is_set():
            half.sendall(b"".join(access(served + i + 1) for i in range(100)))
            served += 100
            expected += 100 * wire.ANSWER.size
            while expected:
                expected -= len(half.recv(expected))
        return served


async def test_one_that_never_stops_leaves_time_to_others(tcg: TcgRig) -> None:
    await tcg.lose_link()
    stop = threading.Event()
    flood = asyncio.create_task(asyncio.to_thread(_never_stop, tcg.path, stop))
    await tcg.events.wait_for("appeared", 1)
    for _ in range(100):
        await asyncio.sleep(0)
    stop.set()
    served = await flood
    assert len(tcg.events.handlers[1].log) == served


async def test_a_device_that_fails_costs_its_own_access(tcg: TcgRig, output: Output) -> None:
    for number in (1, 2):
        await tcg.appear(number)
    tcg.events.handlers[1].broken = True
    assert [await tcg.half.access(1, PORT, size) for size in (1, 2, 4)] == [0xFF, 0xFFFF, 0xFFFFFFFF]
    tcg.events.handlers[1].broken = False
    assert await tcg.half.access(1, PORT) == 0x78
    assert await tcg.half.access(2, PORT) == 0x78
    assert len(output.lines("a device failed")) == 1
    assert len(output.lines("RuntimeError: a bug")) == 1
