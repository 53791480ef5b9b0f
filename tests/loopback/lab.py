"""The server in this process, so that a test can do what only a guest does; clients are real ones."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncssh

from oobconsole import client
from oobconsole.config.load import access_of, load
from oobconsole.config.schema import Config
from oobconsole.console.console import Console
from oobconsole.events import Events
from oobconsole.front import fronts
from oobconsole.front.link import Link
from oobconsole.front.reception import Lobby, Reception
from oobconsole.front.relay import Relay
from oobconsole.front.visitor import Visitor
from oobconsole.guests.directory import Directory
from oobconsole.guests.nested import Machine
from oobconsole.interceptors.base import PortHandler
from oobconsole.interceptors.memory import MemoryGuest, MemoryInterceptor
from oobconsole.net.listener import hand_over
from oobconsole.session.run import Sessions
from oobconsole.session.seat import Seats
from oobconsole.session.services import Services
from oobconsole.session.view import Views
from oobconsole.ssh import kind
from oobconsole.ssh.front import SshFront
from oobconsole.ssh.server import SshServer
from oobconsole.vitals import Vitals
from tests.support.server import NO_LIMITS


class Lab:
    """One machine with one guest, `web1`. The user `alice` may log in with `key`.

    The core and the SSH front are two processes of a real server. Here both are in this process, with a real relay
    between them.

    Args:
        folder: where the keys and the configuration are.
        settings: more lines for `[server]`.
        limits: the lines for `[server]` about limits of clients.
    """

    def __init__(self, folder: Path, settings: str = "", *, limits: str = NO_LIMITS) -> None:
        self.folder = folder
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        (folder / "keys").mkdir()
        (folder / "keys" / "alice").write_bytes(self.key.export_public_key())
        self.config = self._configure(limits, settings)
        server = self.config.server
        self.interceptor = MemoryInterceptor("rack7")
        scrollback = server.scrollback_kib * 1024
        self.machine = Machine(self.config.machines[0], self.interceptor, scrollback=scrollback)
        events = Events()
        directory = Directory(events)
        directory.add(self.machine)
        access = access_of(self.config)
        self.services = Services(
            directory,
            Seats(directory, access, events),
            Views(directory, access),
            access,
            events,
            Vitals(events),
            tail_lines=server.tail_lines,
            drain_s=server.drain_ms / 1000,
            drain_max_s=server.drain_max_s,
        )
        self.reception = Reception(Sessions(self.services), events)
        self.lobby = Lobby(self.reception, server.max_connections)
        self.port = 0

    def _configure(self, limits: str, settings: str) -> Config:
        file = self.folder / "oobconsole.toml"
        file.write_text(
            f'[server]\nlisten = "127.0.0.1:0"\nstate_dir = "state"\nauthorized_keys = "keys"\n{limits}{settings}\n'
            '[[machine]]\nname = "rack7"\ninterceptor = "memory"\n[[machine.guest]]\nname = "web1"\n'
            '[[grant]]\nusers = ["alice"]\nrights = "all"\n'
        )
        return load(file)

    async def __aenter__(self) -> Self:
        await self.machine.start()
        listening, (address,) = await fronts.listen(self.config.server.listen)
        self.port = int(address.rpartition(":")[2])
        self.relay = Relay(self.lobby, kind.keys(self.config))
        self._link = Link(lambda: None)
        front = self._link.server = SshFront(self._link, listening)
        for sock, protocol in zip(socket.socketpair(), (self.relay, self._link), strict=True):
            sock.setblocking(False)
            await hand_over(sock, partial(_itself, protocol))
        self._link.ready([])
        await self.relay.settle(kind.prepare(self.config, None))
        assert front.server is not None
        self.ssh: SshServer = front.server
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.services.stop("the server stops")
        await self.reception.stop()
        await self.ssh.stop()
        self.relay.end("the server stops")

    @property
    def visitor(self) -> Visitor:
        """The only session, as the core has it."""
        (visitor,) = self.lobby.visitors
        return visitor

    @property
    def console(self) -> Console:
        """The console `web1`."""
        return self.machine.consoles[0]

    def appear(self, number: int = 1) -> tuple[PortHandler, MemoryGuest]:
        """Boot a guest. Returns its ports, and its driver, which echoes."""
        handler = self.interceptor.appear(number)
        assert handler is not None
        guest = MemoryGuest(self.interceptor, number, handler)
        guest.boot(b"login: ")
        return handler, guest

    def script(self, port: int = 0) -> client.Connection:
        """Return `alice`'s connection of `oobconsole.client`. `port` is that of a proxy, if there is one."""
        file = self.folder / "id"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_bytes(self.key.export_private_key())
        return client.connect(f"alice@127.0.0.1:{port or self.port}", keys=[file], known_hosts=None)

    async def connect(self, user: str = "alice", **options: object) -> asyncssh.SSHClientConnection:
        """Log in. `options` are options of asyncssh."""
        return await asyncssh.connect(
            "127.0.0.1",
            self.port,
            username=user,
            client_keys=[self.key],
            **{"known_hosts": None, "config": None, "agent_path": None, **options},
        )


def _itself(protocol: asyncio.Protocol) -> asyncio.Protocol:
    return protocol
