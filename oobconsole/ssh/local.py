"""The admin socket: SSH over a UNIX socket that only the server's own user and root can open. The core itself serves
it.

The local `oobconsole` command uses this socket. Why SSH? The command gets terminals, windows, exit statuses and
back-pressure without a protocol of its own. No key is needed, because the kernel says who connects (SO_PEERCRED,
unix(7)). These sessions go on when a front ends that strangers reach.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
from pathlib import Path
from typing import Final

import asyncssh
import structlog

from oobconsole.access import Principal
from oobconsole.front.reception import Lobby, Reception
from oobconsole.log.log import LogLimit
from oobconsole.net.listener import Listener, hand_over
from oobconsole.net.peer import credentials
from oobconsole.ssh.login import Connection, Host, Login
from oobconsole.ssh.server import leave, options
from oobconsole.ssh.turns import Turns
from oobconsole.supervise import Tasks

log = structlog.get_logger(__name__)

#: How many local clients there may be at the same time.
CONNECTIONS_MAX: Final = 256
LOG_LINES: Final = 10


class _LocalLogin(Login):
    """A connection of the server's own user."""

    def __init__(self, host: Host, who: Principal) -> None:
        super().__init__(host)
        self._who = who

    def begin_auth(self, username: str) -> bool:
        return False  # no authentication: the kernel has said who the user is

    def principal(self) -> Principal:
        return self._who


class AdminSocket(Host):
    """Listens at `path`.

    Args:
        path: the path of the socket.
        key: the host key; local clients do not check it.
        reception: where users come in.

    Raises:
        EnvironmentFault: it is not possible to listen at the path; the message says why.
    """

    def __init__(self, path: Path, key: asyncssh.SSHKey, reception: Reception) -> None:
        super().__init__(Lobby(reception, CONNECTIONS_MAX))
        self._path = path
        self._key = key
        self._turns = Turns()
        self._tasks = Tasks()
        self._limit = LogLimit(LOG_LINES)
        self._listener = Listener(path, self._accepted, self._refused)

    async def stop(self) -> None:
        """Accept no more clients, give those that are there a moment to leave, and close the rest."""
        self._listener.close()
        await leave(list(self.connections))
        await self._tasks.stop()

    def _accepted(self, sock: socket.socket) -> None:
        uid = credentials(sock).uid
        if uid not in (0, os.geteuid()):
            self._refused(f"user {uid} is neither root nor the server's own")
            sock.close()
        elif len(self._tasks) >= CONNECTIONS_MAX:
            self._refused(f"more than {CONNECTIONS_MAX} are connected")
            sock.close()
        else:
            self._tasks.start(self._serve(sock, Principal(_name(uid), local=True)), "a local connection")

    async def _serve(self, sock: socket.socket, who: Principal) -> None:
        try:
            made = options(lambda: _LocalLogin(self, who), self._key)
            connection = Connection(asyncio.get_running_loop(), made, self._turns)
            await hand_over(sock, lambda: connection)
            await connection.wait_closed()
        except (OSError, asyncssh.Error) as error:
            self._refused(str(error))

    def _refused(self, reason: str) -> None:
        if self._limit.allows(socket=str(self._path)):
            log.warning("a local connection is refused", socket=str(self._path), reason=reason)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
