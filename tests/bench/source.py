"""The guests at the other ends of many lines, in a process of its own. They echo, print now and then, and flood.

`python -m tests.bench.source FOLDER COUNT` serves the sockets FOLDER/0 to FOLDER/COUNT-1. Commands come on standard
input and answers go to standard output. Both are JSON, one in each line.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
import sys
import time
from pathlib import Path
from typing import Any, Final

#: These bytes come just before those of a flood.
MARK: Final = b"\r\n== flood ==\r\n"
#: What guests print now and then. It has no capital letters, because the keys that are typed meanwhile are capital
#: letters.
_LINE: Final = b"[%10.3f] eth0: link is up, 1000 mbit/s, full duplex\r\n"
LINE_LENGTH: Final = len(_LINE % 0.0)
_BLOCK: Final = 65536


def flood(size: int) -> bytes:
    """Return the bytes of a flood: lines of text in blocks, each of which begins with its number."""
    text = base64.encodebytes(random.Random(1).randbytes(_BLOCK)).replace(b"\n", b"\r\n")[: _BLOCK - 12]
    blocks = range(size // _BLOCK + 1)
    return b"".join(b"%010d\r\n" % number + text for number in blocks)[:size]


class Line(asyncio.Protocol):
    """One guest. It echoes whatever it gets."""

    def __init__(self, lines: set[Line]) -> None:
        self._lines = lines
        self._room = asyncio.Event()
        self._room.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._lines.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lines.discard(self)
        self._room.set()

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    async def flood(self, data: bytes) -> None:
        """Print these bytes as fast as the other end takes them. Returns when the other end, or the kernel, has the
        last one."""
        self.transport.set_write_buffer_limits(high=0)
        self.transport.write(MARK)
        for at in range(0, len(data), _BLOCK):
            await self._room.wait()
            self.transport.write(data[at : at + _BLOCK])
        await self._room.wait()


class Source:
    """All lines. It carries out the commands for them."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        self._lines: list[set[Line]] = [set() for _ in range(count)]
        self._printing: asyncio.Task[None] | None = None
        self._printed = [0] * count

    async def start(self) -> None:
        """Listen at the socket of each line."""
        loop = asyncio.get_running_loop()
        for number, lines in enumerate(self._lines):
            await loop.create_unix_server(lambda lines=lines: Line(lines), str(self._folder / str(number)))  # type: ignore[misc]

    async def do(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out a command. Returns the answer."""
        match command["do"]:
            case "count":
                return {"connected": sum(map(bool, self._lines))}
            case "flood":
                return await self._flood(command["line"], command["size"])
            case "print":
                self._printing = asyncio.create_task(self._print(command["seconds"]))
                return {}
            case "stop":
                assert self._printing is not None
                self._printing.cancel()
                return {"printed": self._printed}
        raise ValueError(command)

    async def _flood(self, number: int, size: int) -> dict[str, Any]:
        (line,) = self._lines[number]
        data = flood(size)
        start = time.monotonic()
        await line.flood(data)
        seconds = time.monotonic() - start
        return {"seconds": seconds, "sha256": hashlib.sha256(data).hexdigest()}

    async def _print(self, seconds: float) -> None:
        """Let every line print once in so many seconds. The lines do not print at the same moment, as guests do
        not."""
        began, turn = time.monotonic(), 0
        while True:
            for place, lines in enumerate(self._lines):
                due = began + seconds * (turn + place / len(self._lines))
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                for line in lines:
                    line.transport.write(_LINE % time.monotonic())
                    self._printed[place] += 1
            turn += 1


async def _main(folder: Path, count: int) -> None:
    source = Source(folder, count)
    await source.start()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(json.dumps({"ready": count}), flush=True)
    while command := await reader.readline():
        print(json.dumps(await source.do(json.loads(command))), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), int(sys.argv[2])))
