"""The SSH server: asyncssh, public keys only, no shell behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import asyncssh
import structlog

from oobconsole.access import Principal
from oobconsole.errors import EnvironmentFault
from oobconsole.session.commands import run
from oobconsole.session.request import ExitStatus
from oobconsole.session.state import Consoles
from oobconsole.settings import ServerConfig
from oobconsole.ssh.auth import UserKeys
from oobconsole.ssh.channel import Channel

log = structlog.get_logger(__name__)

_WINDOW: Final = 256 * 1024  # input that a client may send before a session has read it, in bytes
_SESSIONS_MAX: Final = 10  # of one connection; OpenSSH's MaxSessions
_USER_SHOWN: Final = 64  # characters of a user name in the log
_KEEPALIVE_SECONDS: Final = 30
_KEEPALIVE_MISSED: Final = 4
_STOP_SECONDS: Final = 0.5  # for each step of a stop


class Login(asyncssh.SSHServer):
    """One connection. asyncssh's defaults refuse whatever is not allowed here: passwords, forwarding, SFTP."""

    def __init__(self, server: SshServer) -> None:
        self._server = server
        self._sessions = 0
        self._user = ""
        self._address = ""
        self._logged_in = False

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        peer = conn.get_extra_info("peername")
        self._address = str(peer[0]) if isinstance(peer, tuple) else ""
        self._server.connected(conn, self._address)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self._connection)
        if not self._logged_in:
            log.info("left without a login", user=self._user, address=self._address)

    def begin_auth(self, username: str) -> bool:
        self._user = username[:_USER_SHOWN]
        self._connection.set_authorized_keys(UserKeys(self._server.config.authorized_keys, username))
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def auth_completed(self) -> None:
        self._logged_in = True
        log.info("logged in", user=self._user, address=self._address)

    def session_requested(self) -> Channel | bool:
        if self._sessions >= _SESSIONS_MAX:
            log.warning("too many sessions of one connection", user=self._user, limit=_SESSIONS_MAX)
            return False
        self._sessions += 1
        return Channel(self._begin, self._end)

    def principal(self) -> Principal:
        """Who is logged in."""
        return Principal(self._user, address=self._address)

    def _begin(self, channel: Channel) -> None:
        self._server.begin(channel, self.principal())

    def _end(self, channel: Channel) -> None:
        self._sessions -= 1


class SshServer:
    """Serves `consoles` to whoever the authorized_keys folder lets in."""

    def __init__(self, config: ServerConfig, host_key: asyncssh.SSHKey, consoles: Consoles) -> None:
        self.config = config
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self._host_key = host_key
        self._consoles = consoles
        self._acceptors: list[asyncssh.SSHAcceptor] = []
        self._sessions: set[asyncio.Task[None]] = set()

    async def start(self) -> list[str]:
        """Listen; returns the addresses, with the ports that were had.

        Raises:
            EnvironmentFault: an address cannot be had.
        """
        bound = []
        for address in self.config.listen:
            host, _, port = address.rpartition(":")
            try:
                acceptor = await self._listen(host.strip("[]"), int(port))
            except OSError as error:
                raise EnvironmentFault(f"cannot listen on {address}: {error.strerror}") from error
            self._acceptors.append(acceptor)
            bound.append(f"{host}:{acceptor.get_port()}")
        return bound

    async def _listen(self, host: str, port: int) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(host, port, **self.options(lambda: Login(self)))

    def options(self, login: Callable[[], Login]) -> dict[str, Any]:
        """How every connection is served."""
        return {
            "server_factory": login,
            "server_host_keys": [self._host_key],
            "encoding": None,
            "line_editor": False,
            "agent_forwarding": False,
            "x11_forwarding": False,
            "password_auth": False,
            "kbdint_auth": False,
            "host_based_auth": False,
            "gss_host": None,
            "compression_algs": None,
            "window": _WINDOW,
            "login_timeout": self.config.login_grace_s,
            "keepalive_interval": _KEEPALIVE_SECONDS,
            "keepalive_count_max": _KEEPALIVE_MISSED,
        }

    async def stop(self) -> None:
        """Stop accepting, give sessions a moment to say why and clients one to leave, then close what is left."""
        for acceptor in self._acceptors:
            acceptor.close()
        await self._end_sessions()
        closed = [asyncio.ensure_future(connection.wait_closed()) for connection in self.connections]
        # A client that leaves by itself has shown everything; one that is disconnected drops what it has not shown.
        for end in (asyncssh.SSHServerConnection.close, asyncssh.SSHServerConnection.abort):
            if self.connections:
                await asyncio.wait(closed, timeout=_STOP_SECONDS)
            for connection in list(self.connections):
                end(connection)
        await asyncio.gather(*closed)

    async def _end_sessions(self) -> None:
        if self._sessions:
            await asyncio.wait(self._sessions, timeout=_STOP_SECONDS)
        for session in self._sessions:
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    def connected(self, connection: asyncssh.SSHServerConnection, address: str) -> None:
        """A client connected; one too many is told so and disconnected."""
        self.connections.add(connection)
        limit = self.config.max_connections
        if len(self.connections) > limit:
            log.warning("too many connections: one more is refused", address=address, limit=limit)
            connection.disconnect(asyncssh.DISC_TOO_MANY_CONNECTIONS, "too many connections, try again later")

    def begin(self, channel: Channel, who: Principal) -> None:
        """Run what a client asks for."""
        task = asyncio.get_running_loop().create_task(self._serve(channel, who))
        self._sessions.add(task)
        task.add_done_callback(self._sessions.discard)

    async def _serve(self, channel: Channel, who: Principal) -> None:
        context = log.bind(user=who.name, command=channel.command, terminal=channel.has_terminal)
        context.info("session begins")
        status = ExitStatus.FAILED
        terminal = channel if channel.has_terminal else None
        try:
            status = await run(channel.command, channel, terminal, self._consoles, who)
        except BrokenPipeError:
            status = ExitStatus.OK  # the client hung up, which is its right
        except Exception:
            context.exception("a session failed: a bug in oobconsole")
        finally:
            channel.exit(status)
            context.info("session ends", status=int(status))
