"""What only a socket has: the frames' order, peers that come and go, and peers that mean no good."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import socket
import stat
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from oobconsole.devices.device import Image
from oobconsole.errors import EnvironmentFault
from oobconsole.interceptors import connection, wire
from oobconsole.interceptors.base import Context, Publication
from oobconsole.interceptors.tcg import LOG_LINES, PENDING_MAX, TcgInterceptor
from oobconsole.interceptors.wire import FrameType, IrqMode
from oobconsole.net import listener
from tests.contract.rigs import PORT, Events, TcgRig
from tests.support.aio import idle, until
from tests.support.native_half import Frame, NativeHalf, access, appeared, gone, posted, read_served, stats
from tests.support.pace import scaled

IMAGE = Image(0xFF, 0, bytes(5) + b"\x60" + bytes(2))
PUBLISHED = Publication(PORT, 7, (IMAGE,))


def published(accesses: int, number: int = 7, images: tuple[Image, ...] = (IMAGE,)) -> Frame:
    """The frame of it."""
    return Frame(FrameType.PUBLISH, 1, (accesses, number, PORT, len(images), 0, *images))


CONTEXT = Context("l1", 1)


@pytest.fixture(params=[0, 500], ids=["sleeping", "spinning"])
async def tcg(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TcgRig]:
    made = TcgRig(tmp_path, spin_us=request.param)
    await made.start()
    yield made
    await made.interceptor.stop()


class Output:
    """What was logged: the lines that speak of something."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._seen = ""

    def lines(self, about: str) -> list[str]:
        self._seen += self._capsys.readouterr().out
        return [line for line in self._seen.splitlines() if about in line]


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Output:
    return Output(capsys)


# -- order -------------------------------------------------------------------------------------------


async def test_the_interrupt_then_the_registers_then_the_answer(tcg: TcgRig) -> None:
    await tcg.appear(1)
    tcg.events.handlers[1].raise_irq = True
    tcg.events.handlers[1].published = (PUBLISHED,)
    tcg.half.send(posted(b"a") + access(1) + access(2))
    kinds = [(await tcg.half.frame()).kind for _ in range(6)]
    assert kinds == [FrameType.IRQ, FrameType.PUBLISH, FrameType.ANSWER] * 2


async def test_the_registers_then_the_interrupt_that_nobody_asked_for(tcg: TcgRig) -> None:
    await tcg.appear(1)
    tcg.events.handlers[1].published = (PUBLISHED,)
    tcg.interceptor.set_irq(CONTEXT, 4, True)
    assert [(await tcg.half.frame()).kind for _ in range(2)] == [FrameType.PUBLISH, FrameType.IRQ]


async def test_a_batch_is_served_in_order(tcg: TcgRig) -> None:
    await tcg.appear(1)
    batch = b"".join((posted(b"ab"), access(1, direction=1, value=1), posted(b"c"), access(2)))
    tcg.half.send(batch)
    assert [(await tcg.half.frame()).fields for _ in range(2)] == [(1, 0), (2, 0x78)]
    log = [("block", PORT, b"ab"), ("write", PORT, 1, 1), ("block", PORT, b"c"), ("read", PORT, 1)]
    assert tcg.events.handlers[1].log == log


async def test_an_interrupt_that_the_native_half_has_served_is_an_access(tcg: TcgRig) -> None:
    await tcg.appear(1)
    tcg.events.handlers[1].published = (PUBLISHED,)
    tcg.half.send(posted(b"ab") + read_served(1, 9, 0x3FA, 0xC2) + posted(b"c"))
    assert await tcg.half.frame() == published(4)
    assert tcg.events.handlers[1].log == [("block", PORT, b"ab"), ("served", 0x3FA, 0xC2, 9), ("block", PORT, b"c")]
    tcg.interceptor.set_irq(CONTEXT, 4, True)
    assert await tcg.half.frame() == (FrameType.IRQ, 1, (4, IrqMode.HIGH, 0, 4))


async def test_frames_may_come_in_pieces(tcg: TcgRig) -> None:
    for number, byte in enumerate(appeared(1) + posted(b"ab") + access(1)):
        tcg.half.send(bytes((byte,)))
        if number % 7 == 0:
            await idle()
    assert (await tcg.half.frame()).fields == (1, 0x78)


# -- publications ------------------------------------------------------------------------------------


async def test_publications_follow_an_access_and_count_it(tcg: TcgRig) -> None:
    await tcg.appear(1)
    tcg.events.handlers[1].published = (PUBLISHED,)
    tcg.half.send(posted(b"abc"))
    assert await tcg.half.frame() == published(3)


async def test_what_changed_without_an_access_is_published_once(tcg: TcgRig) -> None:
    await tcg.appear(1)
    tcg.events.handlers[1].published = (PUBLISHED,)
    for _ in range(3):
        tcg.interceptor.publish(CONTEXT)
    tcg.events.handlers[1].published = ()
    await tcg.half.settle(1)
    assert tcg.half.other == [published(0)]


async def test_what_the_native_half_cannot_do_is_not_asked_of_it(tcg: TcgRig) -> None:
    await tcg.lose_link()
    tcg.half = NativeHalf(tcg.path, "l1", capabilities=wire.Capability.IRQ_PULSE)
    await tcg.half.connect()
    await tcg.appear(1)
    tcg.events.handlers[1].published = (PUBLISHED,)
    tcg.interceptor.set_attention(CONTEXT, True)
    for level in (True, False):
        tcg.interceptor.set_irq(CONTEXT, 4, level)
    await tcg.half.settle(1)
    assert tcg.half.other == [(FrameType.IRQ, 1, (4, IrqMode.PULSE, 0, 0))]


async def test_what_can_be_read_comes_before_whatever_tells_of_it(tcg: TcgRig) -> None:
    """So that no reading of a receiver waits for us, or is answered too late."""
    assert await tcg.half.announce(1) == {}
    handler = tcg.events.handlers[1]
    handler.published = (PUBLISHED,)
    tcg.interceptor.set_irq(CONTEXT, 4, True)
    assert await tcg.half.frame() == published(0)
    assert (await tcg.half.frame()).kind is FrameType.IRQ
    handler.published = (Publication(PORT, 8, (IMAGE, IMAGE)),)
    tcg.half.send(access(1))
    assert await tcg.half.frame() == published(1, 8, (IMAGE, IMAGE))
    assert (await tcg.half.frame()).kind is FrameType.ANSWER
    handler.raise_irq = True
    tcg.half.send(access(2))
    kinds = [(await tcg.half.frame()).kind for _ in range(3)]
    assert kinds == [FrameType.IRQ, FrameType.PUBLISH, FrameType.ANSWER]


async def test_what_was_read_is_told_and_the_rest_is_published_again(tcg: TcgRig) -> None:
    assert await tcg.half.announce(1) == {}
    handler = tcg.events.handlers[1]
    handler.published = (Publication(PORT, 0xFFFFFFFF, (IMAGE, IMAGE)),)
    for accesses in (1, 2):  # the native half may have given it up
        tcg.half.send(read_served(1, 0xFFFFFFFF, value=0x41))
        assert await tcg.half.frame() == published(accesses, 0xFFFFFFFF, (IMAGE, IMAGE))
    assert handler.log == [("served", PORT, 0x41, 0xFFFFFFFF)] * 2


# -- coming and going --------------------------------------------------------------------------------


async def test_output_goes_on_where_the_server_has_it(tcg: TcgRig) -> None:
    assert await tcg.half.announce(1, 2) == {}
    tcg.events.handlers[1].has = 1234
    await tcg.lose_link()
    await tcg.connect()
    assert await tcg.half.announce(1, 3) == {1: {PORT: 1234}}
    await tcg.lose_link()
    await tcg.connect(instance=8)
    assert await tcg.half.announce(1) == {}


async def test_another_qemu_ends_the_former_ones_guests(tcg: TcgRig) -> None:
    await tcg.appear(1)
    await tcg.lose_link()
    await tcg.connect(instance=8)
    await tcg.events.wait_for("gone", 1)


async def test_a_context_that_is_not_announced_again_has_ended(tcg: TcgRig) -> None:
    for number in (1, 2):
        await tcg.appear(number)
    await tcg.lose_link()
    tcg.events.log.clear()
    await tcg.come_back(3, 2)
    assert tcg.events.log == [("up",), ("appeared", 2), ("gone", 1), ("appeared", 3)]


async def test_a_context_may_end_while_others_are_still_waited_for(tcg: TcgRig) -> None:
    await tcg.appear(1)
    await tcg.lose_link()
    await tcg.connect()
    tcg.events.log.clear()
    tcg.half.send(appeared(2) + gone(2))
    await tcg.events.wait_for("gone", 2)
    assert tcg.events.log == [("gone", 1), ("appeared", 2), ("gone", 2)]


async def test_a_link_may_be_lost_before_every_context_was_announced_again(tcg: TcgRig) -> None:
    for number in (1, 2):
        await tcg.appear(number)
    await tcg.lose_link()
    await tcg.connect()
    tcg.half.send(appeared(2))
    tcg.events.log.clear()
    await tcg.lose_link()
    await tcg.come_back(2, 1)
    assert not [entry for entry in tcg.events.log if entry[0] == "gone"]


async def test_the_next_native_half_is_welcome_as_soon_as_the_former_is_dead(tcg: TcgRig) -> None:
    for instance in range(20, 30):
        tcg.half._writer.transport.abort()
        await tcg.connect(instance)
    assert tcg.events.log.count(("up",)) == 11


async def test_a_second_native_half_is_refused(tcg: TcgRig, output: Output) -> None:
    other = NativeHalf(tcg.path, "l1", instance=3)
    await other.connect(greet=False)
    other.send(wire.encode_hello("l1", 3))
    assert await other.ended() == b""
    await tcg.appear(1)
    [line] = output.lines("native half refused")
    assert "connected already" in line


async def test_counters_are_kept(tcg: TcgRig) -> None:
    await tcg.appear(1)
    tcg.half.send(stats(1, 2, 3))
    await tcg.half.settle(1)
    assert tcg.interceptor.stats.counters == {"reads": 1, "writes": 2, "published": 3}
    assert (tcg.interceptor.counters.accesses, tcg.interceptor.counters.batches > 0) == (1, True)


# -- peers that mean no good -------------------------------------------------------------------------


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


# -- the socket --------------------------------------------------------------------------------------


async def test_the_socket_is_private_and_goes_away(tmp_path: Path) -> None:
    rig = TcgRig(tmp_path / "new" / "folder")
    await rig.start()
    assert stat.S_IMODE(rig.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(rig.path.parent.stat().st_mode) == 0o700
    await rig.interceptor.stop()
    assert not rig.path.exists()


async def test_a_socket_that_took_the_place_of_ours_stays(tmp_path: Path) -> None:
    rig = TcgRig(tmp_path)
    await rig.start()
    rig.path.unlink()
    rig.path.write_text("another's")
    await rig.interceptor.stop()
    assert rig.path.read_text() == "another's"


async def test_a_dead_servers_socket_is_replaced_a_live_ones_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    first = TcgInterceptor("l1", path, spin_us=0)
    await first.start(Events())
    with pytest.raises(EnvironmentFault, match=f"{path}: another server listens here"):
        await TcgInterceptor("l1", path, spin_us=0).start(Events())
    await first.stop()


async def test_paths_that_cannot_be_sockets_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    for path, reason in (
        (tmp_path / "file", "no socket"),
        (tmp_path / "file" / "s", "Not a directory|File exists"),
        (tmp_path / ("x" * 120), "at most 107 bytes"),
        (open_to_all / "s", "everybody may write here"),
    ):
        with pytest.raises(EnvironmentFault, match=reason) as fault:
            await TcgInterceptor("l1", path, spin_us=0).start(Events())
        assert str(tmp_path) in str(fault.value)
    assert (tmp_path / "file").read_text() == "precious"


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Nothing more can be opened. What earlier tests have left is closed before: it would make room."""
    gc.collect()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.dup(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))
    os.close(probe)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_without_descriptors_it_tries_again_later(
    tcg: TcgRig, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "RETRY_SECONDS", 0.01)
    await tcg.lose_link()
    with socket.socket(socket.AF_UNIX) as late:
        late.setblocking(False)
        with no_descriptors():
            late.connect(str(tcg.path))
            late.send(wire.encode_hello("l1", 9))
            await until(lambda: bool(output.lines("no connection can be accepted")), lambda: output.lines(""))
        tcg.events.log.clear()
        await tcg.events.wait_for("up")
