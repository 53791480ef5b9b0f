"""A stand-in for a native half: speaks the wire as `native/tcg` does, from a test's hands."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import NamedTuple

from oobconsole.interceptors import wire

_SIZES = {
    wire.FrameType.WELCOME: wire.WELCOME,
    wire.FrameType.ANSWER: wire.ANSWER,
    wire.FrameType.IRQ: wire.IRQ,
    wire.FrameType.ATTENTION: wire.ATTENTION,
    wire.FrameType.PUBLISH: wire.PUBLISH,
}


class Frame(NamedTuple):
    """A frame of the server's: its fields behind the header."""

    kind: wire.FrameType
    context: int
    fields: tuple[object, ...]


class NativeHalf:
    """A connection to an interceptor's socket."""

    def __init__(self, path: Path, machine: str, instance: int = 7) -> None:
        self._path = path
        self._machine = machine
        self._instance = instance
        self._seq = itertools.count(1)
        self.other: list[Frame] = []

    async def connect(self, *, greet: bool = True) -> None:
        """Connect, and be welcomed."""
        self._reader, self._writer = await asyncio.open_unix_connection(str(self._path))
        if greet:
            self.send(wire.encode_hello(self._machine, self._instance, 15))
            assert (await self.frame()).kind is wire.FrameType.WELCOME

    def send(self, data: bytes) -> None:
        """Send raw bytes."""
        self._writer.write(data)

    async def frame(self) -> Frame:
        """The server's next frame."""
        async with asyncio.timeout(10):
            head = await self._reader.readexactly(8)
            length, kind, _, context = wire.HEADER.unpack(head)
            body = await self._reader.readexactly(length - 8)
        kind = wire.FrameType(kind)
        return Frame(kind, context, _SIZES[kind].unpack(head + body)[4:])

    async def ended(self) -> bytes:
        """Wait until the server closes the connection; returns what it still sent."""
        try:
            async with asyncio.timeout(10):
                return await self._reader.read()
        except ConnectionResetError:  # it closed with some of ours unread
            return b""

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        await self._writer.wait_closed()

    def appear(self, number: int) -> None:
        """CONTEXT_APPEARED."""
        self.send(wire.CONTEXT_APPEARED.pack(wire.CONTEXT_APPEARED.size, 4, 0, number, 0x1000 * number, 0x2000, 0))

    def vanish(self, number: int) -> None:
        """CONTEXT_GONE."""
        self.send(wire.CONTEXT_GONE.pack(wire.CONTEXT_GONE.size, 5, 0, number, wire.GoneReason.REPLACED, 0))

    def gap(self, number: int, port: int, lost: int) -> None:
        """GAP."""
        self.send(wire.GAP.pack(wire.GAP.size, 6, 0, number, port, 0, 0, lost))

    def post(self, number: int, port: int, data: bytes) -> None:
        """POSTED."""
        self.send(wire.POSTED.pack(16 + len(data), 3, 0, number, port, len(data), 0, 0) + data)

    async def access(self, number: int, port: int, size: int = 1, write: int | None = None) -> int:
        """ACCESS; returns the answer. What the server sent before it is in `other`."""
        seq = next(self._seq)
        value = write or 0
        self.send(wire.ACCESS.pack(wire.ACCESS.size, 2, 0, number, seq, port, size, write is not None, value, 0, 0))
        while (frame := await self.frame()).kind is not wire.FrameType.ANSWER:
            self.other.append(frame)
        assert frame.fields[0] == seq
        assert isinstance(frame.fields[1], int)
        return frame.fields[1]
