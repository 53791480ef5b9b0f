"""A server, reached over SSH or over its admin socket."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import asyncssh

from oobconsole.client.console import Console
from oobconsole.client.errors import CommandRefused, ConnectFailed

CONNECT_SECONDS: Final = 15.0
#: A server that has no answer to a goodbye for so long, in seconds, gets none.
CLOSE_SECONDS: Final = 5.0
#: A server allows so many sessions over one connection (ten, as sshd): for more there are more connections, at most:
CONNECTIONS_MAX: Final = 32
#: How long a lost server is looked for, and how often, in seconds: from the first to the longest pause.
RECONNECT_SECONDS: Final = 60.0
_PAUSE_FIRST, _PAUSE_MAX = 0.05, 2.0

T = TypeVar("T")


def connect(
    target: str,
    *,
    keys: Sequence[str | Path] = (),
    known_hosts: str | Path | None = "default",
    reconnect_s: float = RECONNECT_SECONDS,
) -> Connection:
    """A server: `async with connect("alice@host:2222") as server: …`.

    Args:
        target: `[USER@]HOST[:PORT]`, port 22 unless told, or `unix:PATH` of an admin socket.
        keys: private key files; empty: the user's own, and their agent.
        known_hosts: file of host keys; "default": the user's own; None: any key will do, for tests on loopback only.
        reconnect_s: how long a lost server is looked for, in seconds; 0: not at all.
    """
    options: dict[str, Any] = {"config": None, "keepalive_interval": 30}
    if keys:
        options |= {"client_keys": [str(key) for key in keys], "agent_path": None}
    if known_hosts != "default":
        options["known_hosts"] = None if known_hosts is None else str(known_hosts)
    return Connection(target, options, reconnect_s)


class Connection:
    """A server. Consoles outlive a connection that is lost, when the server comes back in time."""

    def __init__(self, target: str, options: dict[str, Any], reconnect_s: float) -> None:
        self.target = target
        self._options = options
        self._reconnect_s = reconnect_s
        self._links: list[asyncssh.SSHClientConnection] = []
        self._sessions: Counter[asyncssh.SSHClientConnection] = Counter()  # how many each has opened, or is opening
        self._was_connected = False
        self._turn = asyncio.Lock()
        self._consoles: list[Console] = []

    async def __aenter__(self) -> Self:
        await self.ssh()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave every console, and disconnect. Idempotent."""
        for console in self._consoles:
            await console.close()
        self._consoles.clear()
        links, self._links = self._links, []
        for link in links:
            link.close()
        for link in links:
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await link.wait_closed()
            except TimeoutError:
                link.abort()

    async def ssh(self, full: Collection[asyncssh.SSHClientConnection] = ()) -> asyncssh.SSHClientConnection:
        """A connection that is not one of those that are full; it is made when there is none.

        Raises:
            ConnectFailed: the server cannot be reached, and was looked for long enough; or it has too many already.
        """
        async with self._turn:
            self._links = [link for link in self._links if not link.is_closed()]
            self._sessions = Counter({link: self._sessions[link] for link in self._links})
            usable = [link for link in self._links if link not in full]
            if usable:
                return usable[0]
            if len(self._links) >= CONNECTIONS_MAX:
                raise ConnectFailed(f"{self.target}: refuses more sessions over {CONNECTIONS_MAX} connections")
            made = await (self._reconnect() if self._was_connected and not self._links else self._connect())
            self._was_connected = True
            self._links.append(made)
            return made

    async def opened(self, begin: Callable[[asyncssh.SSHClientConnection], Awaitable[T]]) -> T:
        """Begin a session, over another connection where one has as many as the server allows.

        Raises:
            CommandRefused: the server refuses a session even over a new connection.
            ConnectFailed: it cannot be reached.
            OSError, asyncssh.Error: the connection was lost meanwhile.
        """
        full: list[asyncssh.SSHClientConnection] = []
        while True:
            link = await self.ssh(full)
            self._sessions[link] += 1
            try:
                return await begin(link)
            except asyncssh.ChannelOpenError as error:
                self._sessions[link] -= 1
                if link.is_closed():
                    raise
                if not self._sessions[link]:
                    raise CommandRefused("a session", 255, f"the server refuses it: {error.reason}") from error
                full.append(link)
            except (OSError, asyncssh.Error):
                link.abort()
                raise

    async def _reconnect(self) -> asyncssh.SSHClientConnection:
        deadline = asyncio.get_running_loop().time() + self._reconnect_s
        pause = _PAUSE_FIRST
        while True:
            try:
                return await self._connect()
            except ConnectFailed:
                if asyncio.get_running_loop().time() + pause > deadline:
                    raise
            await asyncio.sleep(pause)
            pause = min(_PAUSE_MAX, pause * 2)

    async def _connect(self) -> asyncssh.SSHClientConnection:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                if self.target.startswith("unix:"):
                    return await self._connect_unix(self.target.removeprefix("unix:"))
                user, _, place = self.target.rpartition("@")
                host, colon, port = place.rpartition(":")
                if not colon or "]" in port:
                    host, port = place, "22"
                login = {"username": user} if user else {}
                return await asyncssh.connect(host.strip("[]"), int(port), **login, **self._options)
        except TimeoutError as error:
            raise ConnectFailed(f"{self.target}: no answer in {CONNECT_SECONDS:g} s") from error
        except (OSError, ValueError, asyncssh.Error) as error:
            raise ConnectFailed(f"{self.target}: {getattr(error, 'strerror', None) or error}") from error

    async def _connect_unix(self, path: str) -> asyncssh.SSHClientConnection:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, os.fsencode(path))
            # no key is asked for, and the socket's file says whose server it is
            local = {"known_hosts": None, "client_keys": None, "username": "local"}
            return await asyncssh.run_client(sock, **{**self._options, **local})
        except BaseException:
            sock.close()
            raise

    # -- what a server does -------------------------------------------------------------------------

    async def attach(self, console: str, *, watch: bool = False, offset: int | None = None) -> Console:
        """Attach to a console.

        Args:
            watch: without the keyboard.
            offset: where its output begins, absolute, in bytes; None: now.

        Raises:
            CommandRefused: there is none of that name, or no right to it.
            ConnectFailed: the server is gone.
        """
        attached = Console(self, console, watch=watch, offset=offset)
        await attached.start()
        self._consoles = [other for other in self._consoles if not other.closed]
        self._consoles.append(attached)
        return attached

    async def command(self, *words: str, status: Sequence[int] = (0,)) -> tuple[int, str]:
        """Do a verb; returns its exit status and what it printed.

        Raises:
            CommandRefused: the exit status is none of `status`, or the server refuses another session.
            ConnectFailed: the server cannot be reached, or was lost before it had answered.
        """
        line = _command(words)
        try:
            done = await self.opened(lambda ssh: ssh.run(line, encoding="utf-8", errors="replace"))
        except (OSError, asyncssh.Error) as error:
            raise ConnectFailed(f"{self.target}: was lost before {words[0]!r} had an answer: {error}") from error
        if done.exit_status is None and done.exit_signal is None:
            raise ConnectFailed(f"{self.target}: was lost before {words[0]!r} had an answer")
        code = 255 if done.exit_status is None else done.exit_status
        if code not in status:
            raise CommandRefused(line, code, str(done.stderr).strip().removeprefix("oobconsole: "))
        return code, str(done.stdout)

    async def ls(self) -> list[dict[str, Any]]:
        """The consoles: `console`, `state`, `keyboard`, `offset`, `last_line`, …."""
        return await self._rows("ls", "--json")

    async def who(self) -> list[dict[str, Any]]:
        """Everybody who is attached: `console`, `user`, `role`, `keyboard`, …."""
        return await self._rows("who", "--json")

    async def _rows(self, *words: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (await self.command(*words))[1].splitlines()]

    async def send(self, console: str, text: str, *, enter: bool = True) -> None:
        """Type a text."""
        await self.command("send", console, *([] if enter else ["--no-enter"]), "--", text)

    async def power(self, console: str, action: str) -> str:
        """Switch a guest: `reset`, `nmi`, `off`, `on`; returns what was done."""
        return (await self.command("power", console, action, "--yes"))[1].strip()

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """What happens, as it happens. Raises `ConnectFailed` when the server is lost."""
        try:
            process = await self.opened(lambda ssh: ssh.create_process("events --json"))
            async with process:
                async for line in process.stdout:
                    yield json.loads(line)
        except (OSError, asyncssh.Error) as error:
            raise ConnectFailed(f"{self.target}: was lost: {error}") from error


def _command(words: Sequence[str]) -> str:
    """The words as one line. Raises `CommandRefused` for what is no text: a file's name in another encoding, say."""
    line = shlex.join(words)
    try:
        line.encode()
    except UnicodeEncodeError as error:
        raise CommandRefused(words[0], 2, f"{line!r} is no text that UTF-8 can carry") from error
    return line
