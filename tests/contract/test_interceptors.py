"""What every interceptor does the same: one suite, run over each of them."""

from __future__ import annotations

import asyncio
import stat
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oobconsole.errors import EnvironmentFault
from oobconsole.interceptors import wire
from oobconsole.interceptors.base import Context, Interceptor, PortHandler, Publication
from oobconsole.interceptors.memory import MemoryInterceptor
from oobconsole.interceptors.tcg import TcgInterceptor
from tests.support.native_half import NativeHalf

PORT = 0x3F8


class Recorder(PortHandler):
    """A guest's device that writes down what happens."""

    def __init__(self, interceptor: Interceptor, context: Context) -> None:
        self.log: list[tuple[object, ...]] = []
        self.answer = 0x12345678
        self.raise_irq = False
        self.published: tuple[Publication, ...] = ()
        self._interceptor = interceptor
        self._context = context

    def read(self, port: int, size: int) -> int:
        self.log.append(("read", port, size))
        if self.raise_irq:
            self._interceptor.set_irq(self._context, 4, True)
        return self.answer & ((1 << 8 * size) - 1)

    def write(self, port: int, size: int, value: int) -> None:
        self.log.append(("write", port, size, value))

    def write_block(self, port: int, data: bytes) -> None:
        self.log.append(("block", port, data))

    def gap(self, port: int, lost: int) -> None:
        self.log.append(("gap", port, lost))

    def publications(self) -> tuple[Publication, ...]:
        return self.published


class Events:
    """A machine that writes down what happens."""

    def __init__(self) -> None:
        self.log: list[tuple[object, ...]] = []
        self.handlers: dict[int, Recorder] = {}
        self.refuse = False
        self.changed = asyncio.Event()
        self.interceptor: Interceptor | None = None

    def _note(self, *what: object) -> None:
        self.log.append(what)
        self.changed.set()

    def link_up(self, peer: str) -> None:
        self._note("up")

    def link_down(self, reason: str) -> None:
        self._note("down")

    def context_appeared(self, context: Context) -> PortHandler | None:
        self._note("appeared", context.number)
        if self.refuse:
            return None
        assert self.interceptor is not None
        return self.handlers.setdefault(context.number, Recorder(self.interceptor, context))

    def context_gone(self, context: Context, reason: str) -> None:
        self.handlers.pop(context.number, None)
        self._note("gone", context.number)

    async def wait_for(self, *what: object) -> None:
        async with asyncio.timeout(10):
            while what not in self.log:
                self.changed.clear()
                await self.changed.wait()


class Rig(ABC):
    """An interceptor, and the guest's side of it."""

    interceptor: Interceptor
    events: Events

    @abstractmethod
    async def appear(self, number: int) -> None: ...
    @abstractmethod
    async def vanish(self, number: int) -> None: ...
    @abstractmethod
    async def read(self, number: int, port: int, size: int) -> int: ...
    @abstractmethod
    async def write(self, number: int, port: int, size: int, value: int) -> None: ...
    @abstractmethod
    async def block(self, number: int, port: int, data: bytes) -> None: ...
    @abstractmethod
    async def gap(self, number: int, port: int, lost: int) -> None: ...
    @abstractmethod
    async def lose_link(self) -> None: ...
    @abstractmethod
    async def come_back(self, number: int) -> None: ...
    @abstractmethod
    async def irq(self, number: int) -> bool: ...
    @abstractmethod
    async def attended(self, number: int) -> bool: ...

    async def start(self) -> None:
        self.events = Events()
        self.events.interceptor = self.interceptor
        await self.interceptor.start(self.events)


class MemoryRig(Rig):
    def __init__(self) -> None:
        self.interceptor: MemoryInterceptor = MemoryInterceptor("l1")
        self._handlers: dict[int, PortHandler | None] = {}

    async def appear(self, number: int) -> None:
        self._handlers[number] = self.interceptor.appear(number)

    async def vanish(self, number: int) -> None:
        self.interceptor.vanish(number)

    async def read(self, number: int, port: int, size: int) -> int:
        handler = self._handlers[number]
        return handler.read(port, size) if handler else (1 << 8 * size) - 1

    async def write(self, number: int, port: int, size: int, value: int) -> None:
        handler = self._handlers[number]
        if handler:
            handler.write(port, size, value)

    async def block(self, number: int, port: int, data: bytes) -> None:
        handler = self._handlers[number]
        if handler:
            handler.write_block(port, data)

    async def gap(self, number: int, port: int, lost: int) -> None:
        handler = self._handlers[number]
        if handler:
            handler.gap(port, lost)

    async def lose_link(self) -> None:
        self.interceptor.lose_link("test")

    async def come_back(self, number: int) -> None:
        await self.appear(number)

    async def irq(self, number: int) -> bool:
        return self.interceptor.levels.get((number, 4), False)

    async def attended(self, number: int) -> bool:
        return self.interceptor.attended.get(number, False)


class TcgRig(Rig):
    def __init__(self, folder: Path) -> None:
        self.path = folder / "l1.sock"
        self.interceptor: TcgInterceptor = TcgInterceptor("l1", self.path)

    async def start(self) -> None:
        await super().start()
        self.half = NativeHalf(self.path, "l1")
        await self.half.connect()

    async def appear(self, number: int) -> None:
        self.half.appear(number)
        await self.events.wait_for("appeared", number)

    async def vanish(self, number: int) -> None:
        self.half.vanish(number)
        await self.events.wait_for("gone", number)

    async def read(self, number: int, port: int, size: int) -> int:
        return await self.half.access(number, port, size)

    async def write(self, number: int, port: int, size: int, value: int) -> None:
        await self.half.access(number, port, size, value)

    async def block(self, number: int, port: int, data: bytes) -> None:
        self.half.post(number, port, data)
        await self.half.access(number, 0x3FF)

    async def gap(self, number: int, port: int, lost: int) -> None:
        self.half.gap(number, port, lost)
        await self.half.access(number, 0x3FF)

    async def lose_link(self) -> None:
        await self.half.close()
        await self.events.wait_for("down")

    async def come_back(self, number: int) -> None:
        self.events.log.clear()
        self.half = NativeHalf(self.path, "l1")
        await self.half.connect()
        await self.appear(number)

    async def irq(self, number: int) -> bool:
        await self.half.access(number, 0x3FF)
        frames = [f for f in self.half.other if f.kind is wire.FrameType.IRQ and f.context == number]
        return bool(frames) and frames[-1].fields[:2] == (4, wire.IrqMode.HIGH)

    async def attended(self, number: int) -> bool:
        await self.half.access(number, 0x3FF)
        frames = [f for f in self.half.other if f.kind is wire.FrameType.ATTENTION and f.context == number]
        return bool(frames) and frames[-1].fields[0] == 1


@pytest.fixture(params=["memory", "tcg"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    made: Rig = MemoryRig() if request.param == "memory" else TcgRig(tmp_path)
    await made.start()
    yield made
    await made.interceptor.stop()
    await made.interceptor.stop()


async def test_accesses_reach_the_handler_in_order(rig: Rig) -> None:
    await rig.appear(1)
    await rig.write(1, PORT, 1, 0x41)
    await rig.block(1, PORT, b"hello")
    assert await rig.read(1, PORT + 5, 1) == 0x78
    assert await rig.read(1, PORT, 2) == 0x5678
    assert await rig.read(1, PORT, 4) == 0x12345678
    log = [entry for entry in rig.events.handlers[1].log if entry[1] != 0x3FF]
    assert log == [
        ("write", PORT, 1, 0x41),
        ("block", PORT, b"hello"),
        ("read", PORT + 5, 1),
        ("read", PORT, 2),
        ("read", PORT, 4),
    ]


async def test_contexts_are_kept_apart(rig: Rig) -> None:
    for number in (1, 2, 3):
        await rig.appear(number)
        await rig.write(number, PORT, 1, number)
    assert [rig.events.handlers[n].log[0] for n in (1, 2, 3)] == [("write", PORT, 1, n) for n in (1, 2, 3)]


async def test_a_refused_context_finds_no_device(rig: Rig) -> None:
    rig.events.refuse = True
    await rig.appear(1)
    await rig.write(1, PORT, 1, 1)
    await rig.block(1, PORT, b"x")
    assert await rig.read(1, PORT, 1) == 0xFF
    assert await rig.read(1, PORT, 4) == 0xFFFFFFFF


async def test_a_gap_is_told(rig: Rig) -> None:
    await rig.appear(1)
    await rig.gap(1, PORT, 77)
    assert ("gap", PORT, 77) in rig.events.handlers[1].log


async def test_a_context_that_is_gone_may_be_followed_by_another(rig: Rig) -> None:
    await rig.appear(1)
    former = rig.events.handlers[1]
    await rig.vanish(1)
    rig.events.log.clear()
    await rig.appear(1)
    assert rig.events.handlers[1] is not former


async def test_a_lost_link_comes_back_to_the_same_handler(rig: Rig) -> None:
    await rig.appear(1)
    handler = rig.events.handlers[1]
    await rig.lose_link()
    assert ("down",) in rig.events.log
    await rig.come_back(1)
    await rig.write(1, PORT, 1, 9)
    assert rig.events.handlers[1] is handler
    assert ("write", PORT, 1, 9) in handler.log


async def test_interrupt_levels_and_attention(rig: Rig) -> None:
    await rig.appear(1)
    context = Context("l1", 1)
    rig.interceptor.set_irq(context, 4, True)
    rig.interceptor.set_attention(context, True)
    assert await rig.irq(1)
    assert await rig.attended(1)
    rig.interceptor.set_irq(context, 4, False)
    rig.interceptor.set_attention(context, False)
    assert not await rig.irq(1)
    assert not await rig.attended(1)


async def test_calls_for_a_context_that_is_away_are_ignored(rig: Rig) -> None:
    rig.interceptor.set_irq(Context("l1", 9), 4, True)
    rig.interceptor.set_attention(Context("l1", 9), True)
    rig.interceptor.publish(Context("l1", 9))


# -- what only a socket can do -----------------------------------------------------------------------


@pytest.fixture
async def tcg(tmp_path: Path) -> AsyncIterator[TcgRig]:
    made = TcgRig(tmp_path)
    await made.start()
    yield made
    await made.interceptor.stop()


async def test_the_interrupt_goes_out_before_the_answer(tcg: TcgRig) -> None:
    await tcg.appear(1)
    tcg.events.handlers[1].raise_irq = True
    await tcg.half.access(1, PORT)
    assert [frame.kind for frame in tcg.half.other] == [wire.FrameType.IRQ]


async def test_publications_follow_an_access_and_count_it(tcg: TcgRig) -> None:
    await tcg.appear(1)
    tcg.events.handlers[1].published = (Publication(PORT, 0x20, 0x20, bytes(5) + b"\x60" + bytes(2)),)
    tcg.half.post(1, PORT, b"abc")
    frame = await tcg.half.frame()
    assert frame == (wire.FrameType.PUBLISH, 1, (3, PORT, 0x20, 0x20, bytes(5) + b"\x60" + bytes(2)))


async def test_the_socket_is_private_and_goes_away(tmp_path: Path) -> None:
    rig = TcgRig(tmp_path)
    await rig.start()
    assert stat.S_IMODE(rig.path.stat().st_mode) == 0o600
    await rig.half.close()
    await rig.interceptor.stop()
    assert not rig.path.exists()


async def test_another_qemu_ends_the_former_ones_guests(tcg: TcgRig) -> None:
    await tcg.appear(1)
    await tcg.lose_link()
    tcg.half = NativeHalf(tcg.path, "l1", instance=8)
    await tcg.half.connect()
    await tcg.events.wait_for("gone", 1)


@pytest.mark.parametrize(
    "hostile",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        wire.encode_hello("another", 3),
        wire.encode_hello("l1", 3, version=2),
        b"\xff" * 100_000,
    ],
    ids=["garbage", "wrong machine", "wrong version", "flood"],
)
async def test_a_hostile_peer_costs_its_own_connection(
    tcg: TcgRig, hostile: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    await tcg.appear(1)
    other = NativeHalf(tcg.path, "l1", instance=3)
    await other.connect(greet=False)
    other.send(hostile)
    assert await other.ended() == b""
    assert await tcg.half.access(1, PORT) == 0x78
    assert capsys.readouterr().out.count("native half refused") == 1


async def test_a_second_native_half_is_refused(tcg: TcgRig) -> None:
    other = NativeHalf(tcg.path, "l1", instance=3)
    await other.connect(greet=False)
    other.send(wire.encode_hello("l1", 3))
    assert await other.ended() == b""
    await other.close()
    await tcg.appear(1)


async def test_half_a_frame_and_silence_disturb_nobody(tcg: TcgRig) -> None:
    quiet = NativeHalf(tcg.path, "l1", instance=3)
    await quiet.connect(greet=False)
    quiet.send(wire.encode_hello("l1", 3)[:20])
    await tcg.appear(1)
    assert await tcg.half.access(1, PORT) == 0x78
    await quiet.close()


async def test_a_protocol_error_later_on_ends_the_link(tcg: TcgRig) -> None:
    await tcg.appear(1)
    tcg.half.send(b"\0" * 8)
    await tcg.events.wait_for("down")
    await tcg.half.close()


async def test_a_dead_servers_socket_is_replaced_a_live_ones_is_not(tmp_path: Path) -> None:
    first = TcgInterceptor("l1", tmp_path / "s")
    await first.start(Events())
    with pytest.raises(EnvironmentFault, match="another server listens here"):
        await TcgInterceptor("l1", tmp_path / "s").start(Events())
    assert first._listener is not None
    asyncio.get_running_loop().remove_reader(first._listener.fileno())
    first._listener.close()
    second = TcgInterceptor("l1", tmp_path / "s")
    await second.start(Events())
    await second.stop()


async def test_paths_that_cannot_be_sockets_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(EnvironmentFault, match="no socket"):
        await TcgInterceptor("l1", tmp_path / "file").start(Events())
    assert (tmp_path / "file").read_text() == "precious"
    with pytest.raises(EnvironmentFault, match="at most 107 bytes"):
        await TcgInterceptor("l1", tmp_path / ("x" * 120)).start(Events())
