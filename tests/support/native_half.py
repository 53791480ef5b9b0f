"""A stand-in for a native half: speaks the wire as `native/tcg` does, from a test's hands."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from oobconsole.interceptors import wire
from oobconsole.interceptors.wire import FrameType
from tests.support.pace import scaled

ALL_CAPABILITIES: Final = 0x0F


def appeared(context: int) -> bytes:
    """Return the frame CONTEXT_APPEARED."""
    size = wire.CONTEXT_APPEARED.size
    return wire.CONTEXT_APPEARED.pack(size, FrameType.CONTEXT_APPEARED, 0, context, 0x1000, 0x2000, 0)


def gone(context: int, reason: int = wire.GoneReason.REPLACED) -> bytes:
    """Return the frame CONTEXT_GONE."""
    return wire.CONTEXT_GONE.pack(wire.CONTEXT_GONE.size, FrameType.CONTEXT_GONE, 0, context, reason, 0)


def access(
    seq: int, *, context: int = 1, port: int = 0x3F8, size: int = 1, direction: int = 0, value: int = 0
) -> bytes:
    """Return the frame ACCESS."""
    head = (wire.ACCESS.size, FrameType.ACCESS, 0, context)
    return wire.ACCESS.pack(*head, seq, port, size, direction, value, 0, 0)


def posted(data: bytes, *, context: int = 1, port: int = 0x3F8, count: int | None = None) -> bytes:
    """Return the frame POSTED. `count` may be another number than that of the bytes."""
    head = (wire.POSTED.size + len(data), FrameType.POSTED, 0, context)
    return wire.POSTED.pack(*head, port, len(data) if count is None else count, 0, 0) + data


def read_served(context: int, number: int, port: int = 0x3F8, value: int = 0) -> bytes:
    """Return the frame READ_SERVED."""
    head = (wire.READ_SERVED.size, FrameType.READ_SERVED, 0, context)
    return wire.READ_SERVED.pack(*head, port, value, 0, number)


def gap(context: int, lost: int, port: int = 0x3F8) -> bytes:
    """Return the frame GAP."""
    return wire.GAP.pack(wire.GAP.size, FrameType.GAP, 0, context, port, 0, 0, lost)


def announced() -> bytes:
    """Return the frame ANNOUNCED."""
    return wire.HEADER.pack(wire.HEADER.size, FrameType.ANNOUNCED, 0, 0)


def stats(*counters: int) -> bytes:
    """Return the frame STATS."""
    padding = (0,) * (wire.STATS_MAX - len(counters))
    head = (wire.STATS_FRAME.size, FrameType.STATS, 0, 0)
    return wire.STATS_FRAME.pack(*head, len(counters), 0, *counters, *padding)


class Frame(NamedTuple):
    """A frame of the server's: its fields behind the header; of PUBLISH, the images behind these."""

    kind: FrameType
    context: int
    fields: tuple[object, ...]


#: What the server may send, and which of the fields are reserved.
_SERVER_FRAMES: Final[dict[int, tuple[Struct, tuple[int, ...]]]] = {
    FrameType.WELCOME: (wire.WELCOME, (4,)),
    FrameType.ANSWER: (wire.ANSWER, ()),
    FrameType.IRQ: (wire.IRQ, (2,)),
    FrameType.ATTENTION: (wire.ATTENTION, (1,)),
    FrameType.PUBLISH: (wire.PUBLISH, (4,)),
    FrameType.RESUME: (wire.RESUME, (1, 2)),
    FrameType.READY: (wire.HEADER, ()),
}


class NativeHalf:
    """A connection to an interceptor's socket.

    Args:
        path: of the socket.
        machine: the name that it says.
        instance: a native half that comes back has the same, another QEMU has another.
        capabilities: that it says it has.
    """

    def __init__(
        self,
        path: Path,
        machine: str,
        instance: int = 7,
        *,
        capabilities: int = ALL_CAPABILITIES,
        ranges: Sequence[wire.PortRange] = (),
    ) -> None:
        self._path = path
        self._hello = wire.encode_hello(machine, instance, capabilities, ranges=ranges)
        self._seq = itertools.count(1)
        self.other: list[Frame] = []

    async def connect(self, *, greet: bool = True) -> None:
        """Connect, and be welcomed."""
        self._reader, self._writer = await asyncio.open_unix_connection(str(self._path))
        if greet:
            self.send(self._hello)
            assert (await self.frame()).kind is FrameType.WELCOME

    def send(self, data: bytes) -> None:
        """Send raw bytes."""
        self._writer.write(data)

    async def frame(self) -> Frame:
        """The server's next frame, which is as the header says."""
        async with asyncio.timeout(scaled(10)):
            head = await self._reader.readexactly(wire.HEADER.size)
            length, kind, flags, context = wire.HEADER.unpack(head)
            body = await self._reader.readexactly(length - wire.HEADER.size)
        layout, reserved = _SERVER_FRAMES[kind]
        fields = layout.unpack_from(head + body)[4:]
        assert not flags, f"{FrameType(kind).name} with flags {flags}"
        assert not any(fields[i] for i in reserved), f"{FrameType(kind).name} with reserved bits: {fields}"
        images = tuple(wire.IMAGE.iter_unpack((head + body)[layout.size :]))
        return Frame(FrameType(kind), context, (*fields, *images))

    async def ended(self) -> bytes:
        """Wait until the server closes the connection; returns what it still sent."""
        try:
            async with asyncio.timeout(scaled(10)):
                return await self._reader.read()
        except ConnectionResetError:  # it closed with some of ours unread
            return b""

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        await self._writer.wait_closed()

    async def access(self, number: int, port: int, size: int = 1, write: int | None = None) -> int:
        """ACCESS; returns the answer. What the server sent before it is in `other`."""
        seq = next(self._seq)
        direction = int(write is not None)
        self.send(access(seq, context=number, port=port, size=size, direction=direction, value=write or 0))
        while (frame := await self.frame()).kind is not FrameType.ANSWER:
            self.other.append(frame)
        assert (frame.context, frame.fields[0]) == (number, seq)
        assert isinstance(frame.fields[1], int)
        return frame.fields[1]

    async def announce(self, *numbers: int) -> dict[int, dict[object, object]]:
        """Announce contexts as after a reconnect; returns the output that the server has, by context and port."""
        self.send(b"".join(appeared(number) for number in numbers) + announced())
        received: dict[int, dict[object, object]] = {}
        while (frame := await self.frame()).kind is not FrameType.READY:
            if frame.kind is FrameType.RESUME:
                received.setdefault(frame.context, {})[frame.fields[0]] = frame.fields[3]
            else:
                self.other.append(frame)
        return received

    async def settle(self, number: int) -> None:
        """Wait until the server has served all that was sent."""
        await self.access(number, 0x3FF)
