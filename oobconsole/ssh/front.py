"""The SSH server, as the core steers it from another process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from oobconsole.front.ends import CoreOfFront
from oobconsole.ssh.server import SshServer, understood
from oobconsole.ssh.turns import Turns


class SshFront:
    """Does what the core says (`front.link.Server`). Nobody can come in before the core has sent settings.

    Args:
        core: begins the sessions.
        listening: sockets that are listening already. Clients that connect before the first settings have come wait.

    Attributes:
        server: the server; None: the core has sent no settings yet.
    """

    def __init__(self, core: CoreOfFront, listening: Sequence[socket.socket]) -> None:
        self.server: SshServer | None = None
        self._core = core
        self._listening = listening
        self._turns = Turns()

    async def settle(self, settings: bytes) -> None:
        """Serve by these settings from now on. The first call begins to serve."""
        found = await asyncio.to_thread(understood, settings)
        if self.server is None:
            self.server = SshServer(self._core, self._turns, found)
            self.server.begin(self._listening)
        else:
            self.server.settle(found)

    def set_room(self, room: bool) -> None:
        """Say whether the core takes frames now. While it does not, nothing that a client sends is handled."""
        self._turns.set_room(room)

    async def stop(self) -> None:
        """Accept no more clients, give those that are there a moment to leave, and close the rest."""
        if self.server is not None:
            await self.server.stop()
