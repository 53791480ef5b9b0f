"""An SSH client that does what no honest one does: it sends whatever packets a test wants."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from typing import Any

import asyncssh
from asyncssh.constants import MSG_IGNORE, MSG_USERAUTH_REQUEST
from asyncssh.packet import Boolean, SSHPacket, String

from tests.support.aio import soon


def clear_packet(payload: bytes) -> bytes:
    """A packet as it is sent before any key exchange (RFC 4253, 6)."""
    padding = 4 + -(len(payload) + 9) % 8
    return (len(payload) + padding + 1).to_bytes(4) + bytes([padding]) + payload + bytes(padding)


#: 16 bytes: the smallest there is that says something.
IGNORE = clear_packet(bytes([MSG_IGNORE]) + String(b""))


class Stranger(asyncssh.SSHClientConnection):
    """Exchanges keys, asks for the authentication service, and then does nothing by itself.

    Attributes:
        seen: the types of the packets that came.
        encrypted: set when it may try to log in.
        ended: why the connection is over.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, options: asyncssh.SSHClientConnectionOptions) -> None:
        super().__init__(loop, options)
        self.seen: list[int] = []
        self.encrypted = asyncio.Event()
        self.ended: asyncio.Future[Exception | None] = loop.create_future()

    def try_next_auth(self, *, next_method: bool = False) -> None:
        self.encrypted.set()

    def process_packet(self, pkttype: int, pktid: int, packet: SSHPacket) -> bool | Awaitable[None]:
        self.seen.append(pkttype)
        if pkttype >= MSG_USERAUTH_REQUEST:
            return True  # what is answered is counted, and has no consequences
        return super().process_packet(pkttype, pktid, packet)

    def _cleanup(self, exc: Exception | None) -> None:
        super()._cleanup(exc)
        if not self.ended.done():
            self.ended.set_result(exc)

    def request(self, method: bytes, *args: bytes, user: bytes = b"alice") -> None:
        """Ask to be let in by that method."""
        self.send_packet(MSG_USERAUTH_REQUEST, String(user), String("ssh-connection"), String(method), *args)

    def query(self, key: bytes, user: bytes = b"alice") -> None:
        """Ask whether a public key would do, without having it."""
        algorithm = key[4 : 4 + int.from_bytes(key[:4])]
        self.request(b"publickey", Boolean(False), String(algorithm), String(key), user=user)


async def stranger(port: int, **options: Any) -> Stranger:
    """Connect. Returns at once, before any key exchange."""
    loop = asyncio.get_running_loop()
    wanted = {"username": "alice", "known_hosts": None, "config": None, "agent_path": None, "client_keys": None}
    made = await asyncssh.SSHClientConnectionOptions.construct(None, **(wanted | options))
    connection = Stranger(loop, made)
    await loop.create_connection(lambda: connection, "127.0.0.1", port)
    return connection


async def flood(port: int, data: bytes, version: bytes = b"SSH-2.0-x\r\n") -> bytes:
    """Send `version` and then `data`, until the server ends the connection. Returns what came, without the
    version."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()
    writer.write(version + data)
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def say(port: int, data: bytes) -> None:
    """Say something instead of logging in, end, and wait until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await soon(reader.readline())
    writer.write(data)
    writer.write_eof()
    await soon(reader.read())
    writer.close()


def random_packet() -> bytes:
    """Return a packet with random content."""
    return clear_packet(os.urandom(40))
