"""Each interceptor with the guest's side of it, and a machine that writes down what it is told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from oobconsole.interceptors import wire
from oobconsole.interceptors.base import Context, Interceptor, PortHandler, Publication
from oobconsole.interceptors.memory import MemoryInterceptor
from oobconsole.interceptors.tcg import TcgInterceptor
from tests.support.aio import until
from tests.support.native_half import NativeHalf, appeared, gap, gone, posted

PORT = 0x3F8


class Recorder(PortHandler):
    """A guest's device that writes down what happens."""

    def __init__(self, interceptor: Interceptor, context: Context) -> None:
        self.log: list[tuple[object, ...]] = []
        self.answer = 0x12345678
        self.has: int | None = None
        self.broken = False
        self.raise_irq = False
        self.published: tuple[Publication, ...] = ()
        self._interceptor = interceptor
        self._context = context

    def read(self, port: int, size: int) -> int:
        self.log.append(("read", port, size))
        if self.broken:
            raise RuntimeError("a bug")
        if self.raise_irq:
            self._interceptor.set_irq(self._context, 4, True)
        return self.answer & ((1 << 8 * size) - 1)

    def write(self, port: int, size: int, value: int) -> None:
        self.log.append(("write", port, size, value))

    def write_block(self, port: int, data: bytes) -> None:
        self.log.append(("block", port, data))

    def served(self, port: int, value: int, number: int) -> None:
        self.log.append(("served", port, value, number))

    def gap(self, port: int, lost: int) -> None:
        self.log.append(("gap", port, lost))

    def received(self) -> tuple[tuple[int, int], ...]:
        return () if self.has is None else ((PORT, self.has),)

    def publications(self) -> tuple[Publication, ...]:
        return self.published


class Events:
    """A machine that writes down what happens."""

    def __init__(self) -> None:
        self.log: list[tuple[object, ...]] = []
        self.handlers: dict[int, Recorder] = {}
        self.refuse = False
        self.interceptor: Interceptor | None = None

    def _note(self, *what: object) -> None:
        self.log.append(what)

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
        await until(lambda: what in self.log, lambda: self.log)


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
    async def come_back(self, *numbers: int) -> None: ...
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

    async def come_back(self, *numbers: int) -> None:
        for number in numbers:
            await self.appear(number)

    async def irq(self, number: int) -> bool:
        return self.interceptor.levels.get((number, 4), False)

    async def attended(self, number: int) -> bool:
        return self.interceptor.attended.get(number, False)


class TcgRig(Rig):
    def __init__(self, folder: Path, *, spin_us: int = 500) -> None:
        self.path = folder / "l1.sock"
        self.interceptor: TcgInterceptor = TcgInterceptor("l1", self.path, spin_us=spin_us)

    async def start(self) -> None:
        await super().start()
        await self.connect()

    async def connect(self, instance: int = 7) -> None:
        self.half = NativeHalf(self.path, "l1", instance)
        await self.half.connect()

    async def appear(self, number: int) -> None:
        self.half.send(appeared(number))
        await self.events.wait_for("appeared", number)

    async def vanish(self, number: int) -> None:
        self.half.send(gone(number))
        await self.events.wait_for("gone", number)

    async def read(self, number: int, port: int, size: int) -> int:
        return await self.half.access(number, port, size)

    async def write(self, number: int, port: int, size: int, value: int) -> None:
        await self.half.access(number, port, size, value)

    async def block(self, number: int, port: int, data: bytes) -> None:
        self.half.send(posted(data, context=number, port=port))
        await self.half.settle(number)

    async def gap(self, number: int, port: int, lost: int) -> None:
        self.half.send(gap(number, lost, port))
        await self.half.settle(number)

    async def lose_link(self) -> None:
        await self.half.close()
        await self.events.wait_for("down")

    async def come_back(self, *numbers: int) -> None:
        await self.connect()
        self.half.send(b"".join(appeared(number) for number in numbers))
        await self.half.settle(numbers[0])

    async def irq(self, number: int) -> bool:
        await self.half.settle(number)
        frames = [f for f in self.half.other if f.kind is wire.FrameType.IRQ and f.context == number]
        return bool(frames) and frames[-1].fields[:2] == (4, wire.IrqMode.HIGH)

    async def attended(self, number: int) -> bool:
        await self.half.settle(number)
        frames = [f for f in self.half.other if f.kind is wire.FrameType.ATTENTION and f.context == number]
        return bool(frames) and frames[-1].fields[0] == 1
