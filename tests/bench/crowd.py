"""Many clients in one process. A client is one of asyncssh's, a plain TCP connection, or a program that is started.

`python -m tests.bench.crowd FILE` reads from the file which clients are to attach. Then it carries out commands. Both
are JSON, as in `source.py`. Of what a client gets, only a hash is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

import asyncssh

from tests.bench.source import MARK

#: How many clients log in at the same time. If there were more, they would only wait for each other.
_AT_ONCE: Final = 8
#: A client that gets nothing for so many seconds has got all that it will get.
_QUIET_SECONDS: Final = 10.0


class Tally:
    """Counts the bytes that one client gets, and hashes those that belong to a flood.

    Args:
        size: how many bytes the flood has.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self.total = self.got = 0
        self.at = time.monotonic()
        self.attached = asyncio.Event()
        self._hash = hashlib.sha256()
        self._complete = asyncio.Event()
        # The last bytes before the flood, which may hold a part of the mark. None: the flood has begun.
        self._before: bytearray | None = bytearray()

    def feed(self, data: bytes) -> None:
        """The client has got these bytes."""
        self.total += len(data)
        self.at = time.monotonic()
        self.attached.set()
        if self._before is None:
            self._count(data)
            return
        self._before += data
        found = self._before.find(MARK)
        if found >= 0:
            data, self._before = bytes(self._before[found + len(MARK) :]), None
            self._count(data)
        else:
            del self._before[: -len(MARK)]

    def _count(self, data: bytes) -> None:
        data = data[: self._size - self.got]
        self.got += len(data)
        self._hash.update(data)
        if self.got == self._size:
            self._complete.set()

    async def end(self) -> None:
        """Wait until the client has got the whole flood, or gets nothing any more."""
        asked = time.monotonic()
        while not self._complete.is_set() and (left := max(asked, self.at) + _QUIET_SECONDS - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._complete.wait(), left)

    def report(self) -> dict[str, Any]:
        """Return what the client has got, as JSON can hold it."""
        return {"total": self.total, "got": self.got, "sha256": self._hash.hexdigest(), "at": self.at}


class _Session(asyncssh.SSHClientSession[bytes]):
    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        self._tally.attached.set()  # a message on standard error also says that the client is attached
        if datatype is None:
            self._tally.feed(data)


class _Socket(asyncio.Protocol):
    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._tally.attached.set()

    def data_received(self, data: bytes) -> None:
        self._tally.feed(data)


class _Program(asyncio.SubprocessProtocol):
    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._tally.feed(data)


class Crowd:
    """All the clients.

    Args:
        size: how many bytes the flood has that will come.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._tallies: list[Tally] = []
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._kept: list[Any] = []

    async def attach(self, about: dict[str, Any]) -> None:
        """Attach one more client. Returns when it is attached."""
        tally = Tally(self._size)
        self._tallies.append(tally)
        loop = asyncio.get_running_loop()
        async with self._turn, asyncio.timeout(60):
            match about["kind"]:
                case "ssh":
                    await self._ssh(about, tally)
                case "tcp":
                    self._kept.append(
                        await loop.create_connection(lambda: _Socket(tally), "127.0.0.1", about["port"])
                    )
                case "program":
                    self._kept.append(await loop.subprocess_exec(lambda: _Program(tally), *about["command"]))
            await tally.attached.wait()

    async def _ssh(self, about: dict[str, Any], tally: Tally) -> None:
        connection = await asyncssh.connect(
            "127.0.0.1",
            about["port"],
            username="alice",
            client_keys=[about["key"]],
            known_hosts=None,
            config=None,
            agent_path=None,
        )
        session = await connection.create_session(
            lambda: _Session(tally),
            about["command"],
            encoding=None,
            term_type="xterm" if about["terminal"] else None,
            term_size=(80, 24),
        )
        self._kept.append((connection, session))

    async def do(self, command: dict[str, Any]) -> Any:
        """Carry out a command. Returns a report of each client."""
        if command["do"] == "flooded":
            await asyncio.gather(*(tally.end() for tally in self._tallies))
        return [tally.report() for tally in self._tallies]

    def close(self) -> None:
        """End the clients that are programs."""
        for kept in self._kept:
            if isinstance(kept[0], asyncio.SubprocessTransport):
                kept[0].close()


async def _main(wanted: dict[str, Any]) -> None:
    crowd = Crowd(wanted["flood"])
    await asyncio.gather(*(crowd.attach(about) for about in wanted["clients"]))
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(json.dumps({"ready": len(wanted["clients"])}), flush=True)
    while command := await reader.readline():
        print(json.dumps(await crowd.do(json.loads(command))), flush=True)
    crowd.close()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_main(json.loads(Path(sys.argv[1]).read_text())))
