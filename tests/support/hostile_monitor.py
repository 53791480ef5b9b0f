"""QMP servers that do to a client whatever a peer can do, each in a way of its own.

They are a process, so that they cost a test nothing but the processor.

    python -m tests.support.hostile_monitor FOLDER WAY...

listens at FOLDER/WAY.qmp for each, prints "ready", and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.support.monitor import evil

GREETING: Final = (
    b'{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": []}}\n'
)
#: Text that a terminal acts on, in every kind of place.
EVIL: Final = evil() * 100
#: JSON that takes a reader longest, within 60 KiB.
DEAR: Final = b'"data": [' + b"[]," * 20_000 + b"[]]"


class Peer:
    """One client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Raises `OSError` when it is gone."""
        self._writer.write(data)
        await self._writer.drain()

    async def say(self, **value: Any) -> None:
        """A message."""
        await self.send(json.dumps(value).encode() + b"\n")

    async def commands(self) -> AsyncIterator[dict[str, Any]]:
        """What it sends, one after the other: nothing ends a command but its last brace."""
        rest = ""
        while data := await self._reader.read(65536):
            rest += data.decode()
            with contextlib.suppress(json.JSONDecodeError):
                while rest := rest.lstrip():
                    command, end = json.JSONDecoder().raw_decode(rest)
                    rest = rest[end:]
                    yield command

    async def negotiate(self) -> None:
        """As QEMU does."""
        await self.send(GREETING)
        async for command in self.commands():
            await self.say(**{"return": {}, "id": command.get("id")})
            return

    async def drip(self, data: bytes) -> None:
        """A byte at a time, for ever."""
        while True:
            for byte in data:
                await self.send(bytes([byte]))
                await asyncio.sleep(0.05)

    async def forever(self) -> None:
        """Nothing more; not even reading."""
        await asyncio.Event().wait()


Way = Callable[[Peer], Awaitable[object]]


async def silent(peer: Peer) -> None:
    await peer.forever()


async def slow(peer: Peer) -> None:
    await peer.drip(GREETING.rstrip())


async def garbled(peer: Peer) -> None:
    await peer.send(os.urandom(5000) + EVIL.encode("utf-8", "surrogatepass") + b"\n")
    await peer.forever()


async def endless(peer: Peer) -> None:
    while True:
        await peer.send(bytes(65536))


async def refusing(peer: Peer) -> None:
    """The negotiation."""
    await peer.send(GREETING)
    async for command in peer.commands():
        await peer.say(error={"class": EVIL, "desc": EVIL}, id=command.get("id"))


async def leaving(peer: Peer) -> None:
    await peer.negotiate()


async def deaf(peer: Peer) -> None:
    """It reads nothing more."""
    await peer.negotiate()
    await peer.forever()


async def mute(peer: Peer) -> None:
    """It reads, and answers nothing."""
    await peer.negotiate()
    async for _ in peer.commands():
        pass


async def dripping(peer: Peer) -> None:
    """Its answers come a byte at a time."""
    await peer.negotiate()
    async for command in peer.commands():
        await peer.drip(json.dumps({"return": {}, "id": command.get("id"), "more": "x" * 5000}).encode())


async def evil_errors(peer: Peer) -> None:
    await peer.negotiate()
    async for command in peer.commands():
        await peer.say(error={"class": EVIL, "desc": EVIL}, id=command.get("id"))


async def nonsense(peer: Peer) -> None:
    """Answers that are none, twice, and to commands that nobody gave."""
    await peer.negotiate()
    async for command in peer.commands():
        for answer in (3, [EVIL], {"status": 3}):
            await peer.say(**{"return": answer, "id": command.get("id")})
            await peer.say(**{"error": {"class": EVIL, "desc": EVIL}, "id": EVIL})


async def eventful(peer: Peer) -> None:
    """Events without end, with reasons that a terminal acts on; and it answers."""
    await _flooded(peer, json.dumps({"event": "STOP", "data": {"reason": EVIL}}).encode() + b"\n")


async def dear(peer: Peer) -> None:
    """Messages that are dear to read, without end; and it answers."""
    await _flooded(peer, b'{"event": "NO_SUCH", ' + DEAR + b"}\n")


async def unasked(peer: Peer) -> None:
    """Answers that nobody asked for, without end; and it answers."""
    await _flooded(peer, b'{"id": "nobody", "return": {' + DEAR + b"}}\n")


async def _flooded(peer: Peer, data: bytes) -> None:
    await peer.negotiate()

    async def answer() -> None:
        async for command in peer.commands():
            await peer.say(**{"return": {"status": "paused"}, "id": command.get("id")})

    answering = asyncio.create_task(answer())
    while not answering.done():
        await peer.send(data)


WAYS: Final[dict[str, Way]] = {
    way.__name__.replace("_", "-"): way
    for way in (silent, slow, garbled, endless, refusing, leaving, deaf, mute, dripping, evil_errors, nonsense)
}
FLOODS: Final[dict[str, Way]] = {way.__name__: way for way in (eventful, dear, unasked)}


async def _serve(folder: Path, names: list[str]) -> None:
    async def once(way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """For one client."""
        with contextlib.suppress(OSError):
            await way(Peer(reader, writer))
        writer.transport.abort()

    for name in names:
        way = (WAYS | FLOODS)[name]
        await asyncio.start_unix_server(partial(once, way), str(folder / f"{name}.qmp"))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)  # those that are in the middle of something, too


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), sys.argv[2:]))
