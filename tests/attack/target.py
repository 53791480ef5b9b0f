"""What an attack knows of its target, and how it repeats what it does."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import asyncssh

Attack = Callable[["Target"], Awaitable[None]]
#: The errors that end one attempt, and not the attack.
FAULTS: Final = (OSError, asyncssh.Error, asyncio.IncompleteReadError, TimeoutError)


class Target:
    """The server that is attacked, and the user whose key the attacker has.

    Attributes:
        folder: the server's folder, which has its sockets.
        core: the process id of the server's core.
        spared: the process id of the front by which the honest person has come in; 0: by none.
    """

    def __init__(
        self, port: int, user: str, key: Path, folder: Path, seconds: float, *, core: int = 0, spared: int = 0
    ) -> None:
        self.port = port
        self.user = user
        self.key = str(key)
        self.folder = folder
        self.core = core
        self.spared = spared
        self.ends = time.monotonic() + seconds

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self.ends

    async def connect(self, **options: Any) -> asyncssh.SSHClientConnection:
        """Log in, and return the connection."""
        fixed = {"known_hosts": None, "config": None, "agent_path": None}
        return await asyncssh.connect(
            "127.0.0.1", self.port, username=self.user, client_keys=[self.key], **(fixed | options)
        )

    async def again(self, times: int, what: Callable[[], Awaitable[object]]) -> None:
        """Do the same again and again while there is time, so many times at once."""

        async def one() -> None:
            while self.goes_on:
                with contextlib.suppress(*FAULTS):
                    async with asyncio.timeout(max(0.01, self.ends - time.monotonic())):
                        await what()
                await asyncio.sleep(0.01)

        await asyncio.gather(*(one() for _ in range(times)))
