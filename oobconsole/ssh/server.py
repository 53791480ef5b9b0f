"""The SSH server: asyncssh, public keys only, no shell behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import asyncssh
import structlog

from oobconsole.config import ServerConfig
from oobconsole.errors import EnvironmentFault
from oobconsole.session.commands import run
from oobconsole.session.session import ExitStatus
from oobconsole.session.state import Consoles
from oobconsole.ssh.auth import is_authorized

log = structlog.get_logger(__name__)

_READ_MAX: Final = 65536
_KEEPALIVE_SECONDS: Final = 30
_KEEPALIVE_MISSED: Final = 4
_STOP_SECONDS: Final = 2.0

Process = asyncssh.SSHServerProcess[bytes]


class _Limits:
    """Counts connections, so that nobody can use them all up in memory."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.now = 0


class _Login(asyncssh.SSHServer):
    """One connection before and while it logs in."""

    def __init__(self, keys: Path, limits: _Limits) -> None:
        self._keys = keys
        self._limits = limits
        self._address = ""
        self._user = ""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._address = str(conn.get_extra_info("peername", ("",))[0])
        self._limits.now += 1
        if self._limits.now > self._limits.most:
            log.warning("too many connections: one more is refused", address=self._address, limit=self._limits.most)
            conn.disconnect(asyncssh.DISC_TOO_MANY_CONNECTIONS, "too many connections, try again later")

    def connection_lost(self, exc: Exception | None) -> None:
        self._limits.now -= 1

    def begin_auth(self, username: str) -> bool:
        self._user = username
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return is_authorized(self._keys, username, key, self._address)

    def password_auth_supported(self) -> bool:
        return False

    def kbdint_auth_supported(self) -> bool:
        return False

    def auth_completed(self) -> None:
        log.info("logged in", user=self._user, address=self._address)


class _Channel:
    """One SSH session channel, as `Peer` and as `Terminal`."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._resized: Callable[[], object] | None = None
        self.has_terminal = process.term_type is not None

    @property
    def term(self) -> str:
        return self._process.term_type or "dumb"

    def size(self) -> tuple[int, int]:
        columns, rows, _, _ = self._process.term_size
        return rows, columns

    def on_resize(self, call: Callable[[], object] | None) -> None:
        self._resized = call

    def write_text(self, text: str) -> None:
        if not self._process.is_closing():
            self._process.stdout.write(text.encode("utf-8", "replace"))

    async def read(self) -> bytes:
        while True:
            try:
                return await self._process.stdin.read(_READ_MAX)
            except asyncssh.TerminalSizeChanged:
                if self._resized:
                    self._resized()
            except (asyncssh.BreakReceived, asyncssh.SignalReceived):
                continue  # neither has a meaning yet on a console

    async def write(self, data: bytes) -> None:
        self._process.stdout.write(data)
        await self._process.stdout.drain()

    async def tell(self, text: str) -> None:
        if self.has_terminal:
            await self.write(f"\r\n[oobconsole: {text}]\r\n".encode())
        else:
            self._process.stderr.write(f"oobconsole: {text}\n".encode())
            await self._process.stderr.drain()


class SshServer:
    """Serves `consoles` to whoever the authorized_keys folder lets in."""

    def __init__(self, config: ServerConfig, host_key: asyncssh.SSHKey, consoles: Consoles) -> None:
        self._config = config
        self._host_key = host_key
        self._consoles = consoles
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._sessions: set[asyncio.Task[object]] = set()

    async def start(self) -> int:
        """Listen; returns the port.

        Raises:
            EnvironmentFault: the address cannot be had.
        """
        host, _, port = self._config.listen.rpartition(":")
        limits = _Limits(self._config.max_connections)
        try:
            self._acceptor = await asyncssh.listen(
                host.strip("[]"),
                int(port),
                server_factory=lambda: _Login(self._config.authorized_keys, limits),
                process_factory=self._serve,
                server_host_keys=[self._host_key],
                encoding=None,
                line_editor=False,
                allow_scp=False,
                sftp_factory=None,
                agent_forwarding=False,
                x11_forwarding=False,
                compression_algs=None,
                login_timeout=self._config.login_grace_s,
                keepalive_interval=_KEEPALIVE_SECONDS,
                keepalive_count_max=_KEEPALIVE_MISSED,
            )
        except OSError as error:
            raise EnvironmentFault(f"cannot listen on {self._config.listen}: {error.strerror}") from error
        return self._acceptor.get_port()

    async def stop(self) -> None:
        """Stop accepting, give sessions a moment to say why, then close them."""
        if self._acceptor is None:
            return
        self._acceptor.close()
        if self._sessions:
            await asyncio.wait(self._sessions, timeout=_STOP_SECONDS)
        for session in self._sessions:
            session.cancel()

    async def _serve(self, process: Process) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        user = process.get_extra_info("username")
        command = process.command
        log.info("session begins", user=user, command=command, terminal=process.term_type)
        status: int = ExitStatus.FAILED
        try:
            channel = _Channel(process)
            status = await run(command, channel, channel if channel.has_terminal else None, self._consoles)
        except (BrokenPipeError, ConnectionError, asyncssh.Error):
            status = ExitStatus.OK  # the client hung up, which is its right
        except Exception:
            log.exception("a session failed: a bug in oobconsole", user=user, command=command)
        finally:
            self._sessions.discard(task)
            process.exit(status)
            log.info("session ends", user=user, command=command)
