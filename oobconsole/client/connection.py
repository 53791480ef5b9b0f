"""A console server that a script has connected to, over SSH or over the admin socket."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

import asyncssh

from oobconsole.adminsocket import connected
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


class _Session(Protocol):
    """A session over a connection."""

    def close(self) -> None:
        """End the session. It does not wait for the server."""


SessionT = TypeVar("SessionT", bound=_Session)


def connect(
    target: str,
    *,
    keys: Sequence[str | Path] = (),
    known_hosts: str | Path | None = "default",
    reconnect_s: float = RECONNECT_SECONDS,
) -> Connection:
    """Say which server to connect to: `async with connect("alice@host:2222") as server: …` does so, and disconnects.

    Args:
        target: `[USER@]HOST[:PORT]`, where the port is 22 unless it is given, or `unix:PATH` of an admin socket.
        keys: the private key files to log in with. With none, those in the user's `~/.ssh` and the user's SSH agent
            are tried.
        known_hosts: the file of the host keys that are trusted. "default" is the user's own; None trusts every key,
            which is for tests on loopback only.
        reconnect_s: for how many seconds a server that was lost is looked for; 0 is not at all.
    """
    options: dict[str, Any] = {"config": None, "keepalive_interval": 30}
    if keys:
        options |= {"client_keys": [str(key) for key in keys], "agent_path": None}
    if known_hosts != "default":
        options["known_hosts"] = None if known_hosts is None else str(known_hosts)
    return Connection(target, options, reconnect_s)


class Connection:
    """A server. Consoles that are attached outlive the loss of the connection, if the server comes back in time.

    Attributes:
        target: the server, as it was given to `connect`.
    """

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
        """Leave every console that was attached here, and disconnect. A second call does nothing.

        A server that does not answer the goodbye within five seconds is not waited for any longer.
        """
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
        """Return an SSH connection to the server that can carry another session; one is made when there is none.

        Args:
            full: connections over which the server allows no more sessions.

        Raises:
            ConnectFailed: the server cannot be reached, and was looked for long enough; or there are 32 connections
                to it already, and all are full.
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

    async def opened(self, begin: Callable[[asyncssh.SSHClientConnection], Awaitable[SessionT]]) -> SessionT:
        """Begin a session. When a connection has as many as the server allows, it is begun over another one. When
        the caller is cancelled meanwhile, the session is closed as soon as it has begun.

        Args:
            begin: begins it over the connection that it is given, and returns what came of it.

        Raises:
            CommandRefused: the server refuses a session even over a new connection.
            ConnectFailed: the server cannot be reached.
            OSError, asyncssh.Error: the connection was lost meanwhile.
        """
        full: list[asyncssh.SSHClientConnection] = []
        while True:
            link = await self.ssh(full)
            self._sessions[link] += 1
            try:
                return await _unless_cancelled(begin(link))
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
        sock = await connected(path)
        try:
            # no key is asked for, and the socket's file says whose server it is
            local = {"known_hosts": None, "client_keys": None, "username": "local"}
            return await asyncssh.run_client(sock, **{**self._options, **local})
        except BaseException:
            sock.close()
            raise

    # -- what a server does -------------------------------------------------------------------------

    async def attach(self, console: str, *, watch: bool = False, offset: int | None = None) -> Console:
        """Attach to a console, and stay attached until the console or this connection is closed.

        Args:
            console: the console's name, as `ls` has it.
            watch: only look on: the keyboard is not taken, and nothing may be typed.
            offset: the absolute offset, in bytes, of the first output that is wanted. None begins with what the guest
                prints from now on.

        Raises:
            CommandRefused: there is no console of that name, or the user has no right to watch it.
            ConnectFailed: the server cannot be reached any more.
        """
        self._consoles = [other for other in self._consoles if not other.closed]
        attached = Console(self, console, watch=watch, offset=offset)
        self._consoles.append(attached)
        try:
            await attached.start()
        except BaseException:  # also when it is cancelled: a console that nobody has must not stay attached
            await attached.close()
            raise
        return attached

    async def command(self, *words: str, status: Sequence[int] = (0,)) -> tuple[int, str]:
        """Run a command of the server, such as `command("search", "web1", "panic")`, to its end.

        Args:
            words: the command and its arguments (docs/sessions.md).
            status: the exit statuses that are no error.

        Returns:
            The exit status, and what was printed on standard output.

        Raises:
            CommandRefused: the exit status is none of `status`, or the server refuses another session.
            ConnectFailed: the server cannot be reached, or was lost before it had answered.
        """
        line = _command(words)
        try:
            running = await self.opened(lambda ssh: ssh.create_process(line, encoding="utf-8", errors="replace"))
            try:
                done = await running.wait()
            finally:
                running.close()  # also when nobody waits for it any more: the server must not go on with it
        except (OSError, asyncssh.Error) as error:
            raise ConnectFailed(f"{self.target}: was lost before {words[0]!r} had an answer: {error}") from error
        if done.exit_status is None and done.exit_signal is None:
            raise ConnectFailed(f"{self.target}: was lost before {words[0]!r} had an answer")
        code = 255 if done.exit_status is None else done.exit_status
        if code not in status:
            raise CommandRefused(line, code, str(done.stderr).strip().removeprefix("oobconsole: "))
        return code, str(done.stdout)

    async def ls(self) -> list[dict[str, Any]]:
        """List the consoles at which the user has any right, as dictionaries.

        Their keys are those of `ls --json`: `console` (the name), `state`, `keyboard` (who has it), `offset` (of the
        next byte of output), `last_line`, and others. Raises as `command` does.
        """
        return await self._rows("ls", "--json")

    async def who(self) -> list[dict[str, Any]]:
        """List who is attached to the consoles that the user may watch, as dictionaries.

        Their keys are those of `who --json`: `console`, `user`, `address`, `role`, `keyboard` and `since_s` (for how
        many seconds). Raises as `command` does.
        """
        return await self._rows("who", "--json")

    async def _rows(self, *words: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (await self.command(*words))[1].splitlines()]

    async def send(self, console: str, text: str, *, enter: bool = True) -> None:
        """Type a text into a guest, without attaching to its console. Raises as `command` does.

        Args:
            console: the console's name, or a pattern such as `web*` for several.
            text: what is typed, as it stands.
            enter: type the Enter key behind it.
        """
        await self.command("send", console, *([] if enter else ["--no-enter"]), "--", text)

    async def power(self, console: str, action: str) -> str:
        """Switch the guest of a console off or on, reset it, or send it a non-maskable interrupt.

        Args:
            console: the console's name.
            action: `reset`, `nmi`, `off` or `on`.

        Returns:
            What was done, in words. Raises as `command` does.
        """
        return (await self.command("power", console, action, "--yes"))[1].strip()

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Iterate over what happens at the server, as it happens: the dictionaries of `events --json`.

        Raises:
            ConnectFailed: the server cannot be reached, or was lost. What happens meanwhile is not told later.
        """
        try:
            process = await self.opened(lambda ssh: ssh.create_process("events --json"))
            async with process:
                async for line in process.stdout:
                    if line.endswith("\n"):  # else its end was lost
                        yield json.loads(line)
        except (OSError, asyncssh.Error) as error:
            raise ConnectFailed(f"{self.target}: was lost: {error}") from error
        raise ConnectFailed(f"{self.target}: was lost: the server has ended the session")


async def _unless_cancelled(beginning: Awaitable[SessionT]) -> SessionT:
    """Return the session that begins. asyncssh cannot take a session back that it has asked the server for: when the
    caller is cancelled, the session is closed once it is there."""
    task = asyncio.ensure_future(beginning)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_close)
        raise


def _close(task: asyncio.Future[SessionT]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _command(words: Sequence[str]) -> str:
    """The words as one line. Raises `CommandRefused` for what is no text: a file's name in another encoding, say."""
    line = shlex.join(words)
    try:
        line.encode()
    except UnicodeEncodeError as error:
        raise CommandRefused(words[0], 2, f"{line!r} is no text that UTF-8 can carry") from error
    return line
