"""Connects to a server's admin socket, and notices when that server does not answer any more."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import asyncssh

from oobconsole import adminsocket

#: How long to wait for the server's first answer, in seconds. A server that runs answers at once.
CONNECT_SECONDS: Final = 10.0
#: A server that says nothing is asked for a word every KEEPALIVE_SECONDS. If it has not said one after KEEPALIVES
#: questions, the connection ends, which is after 35 s. systemd ends a server that hangs for 30 s.
KEEPALIVE_SECONDS: Final = 5
KEEPALIVES: Final = 6
#: How long the goodbye may take, in seconds.
CLOSE_SECONDS: Final = 2.0


class Unreachable(Exception):
    """There is no server, or it does not answer. The message is one sentence, which also says what to do if anything
    can be done."""


def consoles(path: Path) -> list[str]:
    """Return the names of a server's consoles.

    Raises:
        Unreachable: nobody listens there, or not to us.
    """
    return asyncio.run(_consoles(path))


async def _consoles(path: Path) -> list[str]:
    async with connection_to(path) as connection:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                # quicker than `ls`, which also reads the guests' output
                listed = await connection.run("ls --names")
        except (OSError, asyncssh.Error) as error:  # a TimeoutError is an OSError
            raise Unreachable(f"{path}: the server does not answer") from error
    return str(listed.stdout).splitlines()


@contextlib.asynccontextmanager
async def connection_to(path: Path) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """Be connected to a server's admin socket. At the end, a server that does not answer is not waited for.

    Raises:
        Unreachable: nobody listens there, or not to us; or the server does not answer.
    """
    connection = await _connect(path)
    try:
        yield connection
    finally:
        connection.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await connection.wait_closed()
        except TimeoutError:
            connection.abort()


async def _connect(path: Path) -> asyncssh.SSHClientConnection:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            sock = await _connected(path)
            return await _spoken_to(path, sock)
    except TimeoutError as error:
        raise Unreachable(f"{path}: the server does not answer") from error


async def _connected(path: Path) -> socket.socket:
    try:
        return await adminsocket.connected(path)
    except OSError as error:
        raise Unreachable(
            f"{path}: no server can be reached here: {error.strerror or error}; start it with 'oobconsole serve', as "
            "the same user, or name its configuration with --config"
        ) from error


async def _spoken_to(path: Path, sock: socket.socket) -> asyncssh.SSHClientConnection:
    """Begin SSH over a connected socket, which is closed if that fails."""
    try:
        return await asyncssh.run_client(
            sock,
            known_hosts=None,
            username="local",
            config=None,
            client_keys=None,
            keepalive_interval=KEEPALIVE_SECONDS,
            keepalive_count_max=KEEPALIVES,
        )
    except (OSError, asyncssh.Error) as error:
        sock.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise Unreachable(
            f"{path}: the server has ended the connection: {reason}; the server's log may say why"
        ) from error
    except BaseException:
        sock.close()
        raise
