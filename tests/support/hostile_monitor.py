"""QMP servers that do to a client everything that a peer can do, each of them in a way of its own.

They are a process of their own, so that they cost a test nothing but the processor.

`python -m tests.support.hostile_monitor FOLDER WAY...` listens at FOLDER/WAY.qmp for each way, prints "ready", and
ends when its standard input ends.
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
    """One client of such a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes. Raises `OSError` if the client is gone."""
        self._writer.write(data)
        await self._writer.drain()

    async def say(self, **value: Any) -> None:
        """Send a message."""
        await self.send(json.dumps(value).encode() + b"\n")

    async def commands(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the commands that the client sends. Nothing ends a command but its last brace."""
        rest = ""
        while data := await self._reader.read(65536):
            rest += data.decode()
            with contextlib.suppress(json.JSONDecodeError):
                while rest := rest.lstrip():
                    command, end = json.JSONDecoder().raw_decode(rest)
                    rest = rest[end:]
                    yield command

    async def negotiate(self) -> None:
        """Negotiate as QEMU does."""
        await self.send(GREETING)
        async for command in self.commands():
            await self.say(**{"return": {}, "id": command.get("id")})
            return

    async def drip(self, data: bytes) -> None:
        """Send bytes one at a time, for ever."""
        while True:
            for byte in data:
                await self.send(bytes([byte]))
                await asyncio.sleep(0.05)

    async def forever(self) -> None:
        """Do nothing more, not even read."""
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
    """Answer the negotiation with an error."""
    await peer.send(GREETING)
    async for command in peer.commands():
        await peer.say(error={"class": EVIL, "desc": EVIL}, id=command.get("id"))


async def leaving(peer: Peer) -> None:
    await peer.negotiate()


async def deaf(peer: Peer) -> None:
    """Read nothing more after the negotiation."""
    await peer.negotiate()
    await peer.forever()


async def mute(peer: Peer) -> None:
    """Read what comes after the negotiation, and answer nothing."""
    await peer.negotiate()
    async for _ in peer.commands():
        pass


async def dripping(peer: Peer) -> None:
    """Answer one byte at a time."""
    await peer.negotiate()
    async for command in peer.commands():
        await peer.drip(json.dumps({"return": {}, "id": command.get("id"), "more": "x" * 5000}).encode())


async def evil_errors(peer: Peer) -> None:
    await peer.negotiate()
    async for command in peer.commands():
        await peer.say(error={"class": EVIL, "desc": EVIL}, id=command.get("id"))


async def nonsense(peer: Peer) -> None:
    """Send answers that are none, answers that come twice, and answers to commands that nobody gave."""
    await peer.negotiate()
    async for command in peer.commands():
        for answer in (3, [EVIL], {"status": 3}):
            await peer.say(**{"return": answer, "id": command.get("id")})
            await peer.say(**{"error": {"class": EVIL, "desc": EVIL}, "id": EVIL})


async def eventful(peer: Peer) -> None:
    """Send events without end, with reasons that a terminal acts on, and answer commands besides."""
    await _flooded(peer, json.dumps({"event": "STOP", "data": {"reason": EVIL}}).encode() + b"\n")


async def dear(peer: Peer) -> None:
    """Send messages without end that are costly to read, and answer commands besides."""
    await _flooded(peer, b'{"event": "NO_SUCH", ' + DEAR + b"}\n")


async def unasked(peer: Peer) -> None:
    """Send answers without end that nobody has asked for, and answer commands besides."""
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
        """Serve one client in that way."""
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
