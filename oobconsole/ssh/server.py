"""The SSH server. It uses asyncssh, takes only public keys, and has no shell. It runs in a process of its own, where
`ssh/front.py` makes it when the core has sent the first settings."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncssh
import structlog

from oobconsole.front.ends import CoreOfFront, UserKeys
from oobconsole.net.listener import Entrance
from oobconsole.ssh import algorithms, auth, hostkeys, revoked
from oobconsole.ssh import settings as told
from oobconsole.ssh.auth import Trust
from oobconsole.ssh.door import Doorkeeper
from oobconsole.ssh.gate import Gate
from oobconsole.ssh.login import Connection, KeyHost, KeyLogin, Login
from oobconsole.ssh.revoked import Revoked
from oobconsole.ssh.settings import Settings
from oobconsole.ssh.turns import Turns
from oobconsole.supervise import Tasks

log = structlog.get_logger(__name__)

#: OpenSSH's client reports that nobody reads its output any more (`| grep -m1`), but only to a server whose version
#: begins with "OpenSSH".
_VERSION: Final = "OpenSSH_like_oobconsole"
_WINDOW: Final = 256 * 1024  # how much input a client may send before a session has read it, in bytes
_KEEPALIVE_SECONDS: Final = 30
_KEEPALIVE_MISSED: Final = 4
_LOGIN_THREADS: Final = 2  # threads that check the keys of clients who want to log in
_STOP_SECONDS: Final = 0.5  # how long each step of a stop may take


@dataclass(frozen=True, slots=True)
class Understood:
    """The settings that the core has sent, with everything in them read and checked.

    Attributes:
        settings: the settings as they came.
        key: the host key.
        certificates: the host's certificate, or none.
        cas: the keys of those who may certify users.
        gone: which keys do not count any more.
    """

    settings: Settings
    key: asyncssh.SSHKey
    certificates: Sequence[asyncssh.SSHCertificate]
    cas: tuple[asyncssh.SSHKey, ...]
    gone: Revoked


def understood(data: bytes) -> Understood:
    """Read the settings that the core has sent. This may take long, so it belongs into a thread.

    Raises:
        EnvironmentFault: the settings cannot be used. The core has checked them before, so this is a bug.
    """
    settings = told.decode(data)
    key = asyncssh.import_private_key(settings.host_key)
    certificates: list[asyncssh.SSHCertificate] = []
    if settings.host_certificate is not None:
        of, path = told.as_bytes(settings.host_certificate), Path(settings.files["host_certificate"])
        certificates.append(hostkeys.parse_certificate(of, path, key))
    cas: tuple[asyncssh.SSHKey, ...] = ()
    gone = Revoked()
    if settings.user_ca is not None:
        cas = auth.parse_cas(told.as_bytes(settings.user_ca), Path(settings.files["user_ca"]))
    if settings.revoked_keys is not None:
        gone = revoked.parse(told.as_bytes(settings.revoked_keys), Path(settings.files["revoked_keys"]))
    return Understood(settings, key, certificates, cas, gone)


class SshServer(KeyHost):
    """Lets in the users that the settings name, and begins their sessions in the core. To be made in a coroutine.

    Args:
        core: begins the sessions.
        turns: whose packets are handled next.
        settings: the first settings.

    Attributes:
        config: the present settings.
        trust: whom the present settings trust.
        options: the options of asyncssh for new connections.
        gate: says which new connections are refused.
        login_threads: check the keys of clients who want to log in.
    """

    def __init__(self, core: CoreOfFront, turns: Turns, settings: Understood) -> None:
        super().__init__(core)
        self.turns = turns
        self.login_threads = ThreadPoolExecutor(_LOGIN_THREADS, "login")
        self.config = settings.settings
        self.trust = self._trust_of(settings)
        self.options = self._options(settings)
        self.gate = Gate(self.config)
        self._doors = Doorkeeper(self.gate, self._admit, core.turned_away)
        self._loop = asyncio.get_running_loop()
        self._entrance: Entrance | None = None
        self._tasks = Tasks()

    def begin(self, listening: Sequence[socket.socket]) -> None:
        """Accept clients at these sockets, which are listening already."""
        self._entrance = Entrance(listening, self._doors.door)

    def settle(self, settings: Understood) -> None:
        """Serve by these settings from now on. Connections are ended whose key does not count any more."""
        self.config = self.gate.limits = settings.settings
        self.trust = self._trust_of(settings)
        self.options = self._options(settings)
        self.recheck(list(self.connections.values()))

    def recheck(self, logins: Sequence[Login]) -> None:
        self._tasks.start(self._end_untrusted(logins), "end of connections that are not trusted")

    def _trust_of(self, settings: Understood) -> Trust:
        return Trust(Path(), settings.cas, settings.gone, ask=self._ask)

    def _ask(self, user: str) -> UserKeys:
        """Ask the core for a user's keys. To be called in a thread, which waits for the answer."""
        return asyncio.run_coroutine_threadsafe(self.core.keys(user), self._loop).result()

    async def _end_untrusted(self, logins: Sequence[Login]) -> None:
        ended = await asyncio.gather(*(login.end_if_not_trusted() for login in logins))
        if any(ended):
            users = {login.who.name for login, gone in zip(logins, ended, strict=True) if gone and login.who}
            log.warning("connections ended: their keys count no longer", users=sorted(users))

    def _options(self, of: Understood) -> asyncssh.SSHServerConnectionOptions:
        grace = of.settings.login_grace_s
        return options(lambda: KeyLogin(self), of.key, server_host_certs=of.certificates, login_timeout=grace)

    def _admit(self) -> Connection:
        return Connection(asyncio.get_running_loop(), self.options, self.turns)

    async def stop(self) -> None:
        """Accept no more clients, give those that are there a moment to leave, and close the rest."""
        if self._entrance is not None:
            self._entrance.close()
        await leave(list(self.connections))
        await self._tasks.stop()
        self.login_threads.shutdown(wait=False, cancel_futures=True)


def options(factory: object, key: asyncssh.SSHKey, **more: object) -> asyncssh.SSHServerConnectionOptions:
    """Return the options of asyncssh with which all connections are served.

    Args:
        factory: makes a `Login` for each connection.
        key: the host key.
        more: further options of asyncssh.
    """
    return asyncssh.SSHServerConnectionOptions(
        server_factory=factory,
        server_host_keys=[key],
        encoding=None,
        line_editor=False,
        agent_forwarding=False,
        x11_forwarding=False,
        password_auth=False,
        kbdint_auth=False,
        host_based_auth=False,
        gss_host=None,
        compression_algs=None,
        kex_algs=algorithms.KEY_EXCHANGES,
        encryption_algs=algorithms.CIPHERS,
        mac_algs=algorithms.MACS,
        signature_algs=algorithms.SIGNATURES,
        server_version=_VERSION,
        window=_WINDOW,
        keepalive_interval=_KEEPALIVE_SECONDS,
        keepalive_count_max=_KEEPALIVE_MISSED,
        **more,
    )


async def leave(connections: Sequence[asyncssh.SSHServerConnection]) -> None:
    """Wait until the clients have left, and close the connections of those that have not. Why wait? A client that
    leaves by itself has shown everything, but a client that is disconnected drops what it has not shown."""
    closed = [asyncio.ensure_future(connection.wait_closed()) for connection in connections]
    for end in (asyncssh.SSHServerConnection.close, asyncssh.SSHServerConnection.abort):
        waiting = [future for future in closed if not future.done()]
        if waiting:
            await asyncio.wait(waiting, timeout=_STOP_SECONDS)
        for connection, future in zip(connections, closed, strict=True):
            if not future.done():
                end(connection)
    await asyncio.gather(*closed)
