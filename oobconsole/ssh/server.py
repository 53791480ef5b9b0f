"""The SSH server: asyncssh, public keys only, no shell behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import asyncssh
import structlog

from oobconsole.config.schema import ServerConfig
from oobconsole.errors import EnvironmentFault
from oobconsole.session.run import Sessions
from oobconsole.session.state import Consoles
from oobconsole.ssh import algorithms, hostkeys
from oobconsole.ssh.auth import Trust, trust_of
from oobconsole.ssh.door import Doorkeeper
from oobconsole.ssh.gate import Gate
from oobconsole.ssh.login import Connection, KeyLogin, Login
from oobconsole.ssh.refusals import Refusals
from oobconsole.ssh.turns import Turns
from oobconsole.supervise import Tasks

log = structlog.get_logger(__name__)

#: OpenSSH's client tells that nobody reads its output any more (`| grep -m1`) only to a server whose name begins so.
_VERSION: Final = "OpenSSH_like_oobconsole"
_WINDOW: Final = 256 * 1024  # input that a client may send before a session has read it, in bytes
_KEEPALIVE_SECONDS: Final = 30
_KEEPALIVE_MISSED: Final = 4
_LOGIN_THREADS: Final = 2  # read files of keys for whoever wants to log in
_STOP_SECONDS: Final = 0.5  # for each step of a stop


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration that was read and found good, with everything that it names."""

    config: ServerConfig
    trust: Trust
    options: asyncssh.SSHServerConnectionOptions


class SshServer:
    """Serves `consoles` to whoever the configuration lets in.

    Raises:
        EnvironmentFault: a file that the configuration names cannot be used.
    """

    def __init__(self, config: ServerConfig, host_key: asyncssh.SSHKey, consoles: Consoles) -> None:
        self.connections: dict[asyncssh.SSHServerConnection, Login] = {}
        self.events = consoles.events
        self.refusals = Refusals(consoles.events)
        self.gate = Gate(config)
        self.turns = Turns()
        self.sessions = Sessions(consoles)
        self.login_threads = ThreadPoolExecutor(_LOGIN_THREADS, "login")
        self._host_key = host_key
        self._doors = Doorkeeper(self.gate, self._admit)
        self._servers: list[asyncio.Server] = []
        self._tasks = Tasks()
        certificates, trust = self._read(config)
        self._prepared = Prepared(config, trust, self._options(config, certificates))

    @property
    def config(self) -> ServerConfig:
        """As it is now."""
        return self._prepared.config

    @property
    def trust(self) -> Trust:
        """As it is now."""
        return self._prepared.trust

    @property
    def options(self) -> asyncssh.SSHServerConnectionOptions:
        """How connections are served now."""
        return self._prepared.options

    async def prepare(self, config: ServerConfig) -> Prepared:
        """Read everything that `config` names, and change nothing.

        Raises:
            EnvironmentFault: a file cannot be used.
        """
        certificates, trust = await asyncio.to_thread(self._read, config)
        return Prepared(config, trust, self._options(config, certificates))

    def _read(self, config: ServerConfig) -> tuple[list[asyncssh.SSHCertificate], Trust]:
        certificates: list[asyncssh.SSHCertificate] = []
        if config.host_certificate is not None:
            certificates.append(hostkeys.load_certificate(config.host_certificate, self._host_key))
        return certificates, trust_of(config)

    def apply(self, prepared: Prepared) -> None:
        """From now on. Connections whose key counts no longer end."""
        self._prepared = prepared
        self.gate.limits = prepared.config
        self._tasks.start(self._end_untrusted(), "end of connections that are not trusted")

    async def _end_untrusted(self) -> None:
        logins = list(self.connections.values())
        ended = await asyncio.gather(*(login.end_if_not_trusted() for login in logins))
        if any(ended):
            users = {login.who.name for login, gone in zip(logins, ended, strict=True) if gone and login.who}
            log.warning("connections ended: their keys count no longer", users=sorted(users))

    def _options(
        self, config: ServerConfig, certificates: Sequence[asyncssh.SSHCertificate]
    ) -> asyncssh.SSHServerConnectionOptions:
        return asyncssh.SSHServerConnectionOptions(
            server_factory=lambda: KeyLogin(self),
            server_host_keys=[self._host_key],
            server_host_certs=certificates,
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
            login_timeout=config.login_grace_s,
            keepalive_interval=_KEEPALIVE_SECONDS,
            keepalive_count_max=_KEEPALIVE_MISSED,
        )

    async def start(self) -> list[str]:
        """Listen; returns the addresses, with the ports that were had.

        Raises:
            EnvironmentFault: an address cannot be had.
        """
        loop = asyncio.get_running_loop()
        bound = []
        for address in self.config.listen:
            host, _, port = address.rpartition(":")
            try:
                server = await loop.create_server(self._doors.door, host.strip("[]"), int(port))
            except OSError as error:
                raise EnvironmentFault(f"cannot listen on {address}: {error.strerror}") from error
            self._servers.append(server)
            bound.append(f"{host}:{server.sockets[0].getsockname()[1]}")
        return bound

    def _admit(self) -> Connection:
        return Connection(asyncio.get_running_loop(), self.options, self.turns)

    async def stop(self) -> None:
        """Stop accepting, give sessions a moment to say why and clients one to leave, then close what is left."""
        for server in self._servers:
            server.close()
        await self.sessions.stop()
        closed = [asyncio.ensure_future(connection.wait_closed()) for connection in self.connections]
        # A client that leaves by itself has shown everything; one that is disconnected drops what it has not shown.
        for end in (asyncssh.SSHServerConnection.close, asyncssh.SSHServerConnection.abort):
            if self.connections:
                await asyncio.wait(closed, timeout=_STOP_SECONDS)
            for connection in list(self.connections):
                end(connection)
        await asyncio.gather(*closed)
        await self._tasks.stop()
        self.refusals.flush()
        self.login_threads.shutdown(wait=False, cancel_futures=True)
