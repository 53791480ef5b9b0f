"""One process of a front, as the core starts it: its connection, its standard error, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Final

from oobconsole.front.relay import Relay
from oobconsole.front.said import Said
from oobconsole.net.listener import hand_over
from oobconsole.supervise import Tasks

#: How much of its address space a front may use, in bytes: so much, and so much more for each connection.
MEMORY: Final = 2 << 30
MEMORY_OF_CONNECTION: Final = 1 << 20
#: A process whose connection is over has so long to end by itself, so that its exit status is known, in seconds.
END_SECONDS: Final = 1.0
#: Variables of our environment that a front gets. Others may be secrets.
_ENVIRONMENT: Final = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ")
_ENVIRONMENT_OF: Final = ("LD_", "PYTHON", "MALLOC_")


class Process:
    """A front that runs; `begin` makes it.

    Attributes:
        relay: its connection.
    """

    def __init__(self, relay: Relay, process: asyncio.subprocess.Process, said: Said) -> None:
        self.relay = relay
        self._process = process
        self._tasks = Tasks()
        assert process.stderr is not None
        self._tasks.start(said.read(process.stderr), "what a front says")

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    async def end(self, seconds: float = END_SECONDS) -> str:
        """End it, if it does not end by itself within so many seconds; returns how it ended, in words."""
        await self.left(seconds)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()  # one that is stopped (SIGSTOP) ends by that, too
        status = await self._process.wait()
        await self._tasks.wait(END_SECONDS)
        await self._tasks.stop()
        return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"

    async def left(self, seconds: float) -> None:
        """Wait until it has ended by itself, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._process.wait()


async def begin(
    name: str, module: str, relay: Relay, listening: Sequence[socket.socket], user: str, connections: int
) -> Process:
    """Start one.

    Args:
        name: for the log.
        module: what it runs.
        listening: what it listens on; it gets them as they are.
        user: whom it becomes, if it may.
        connections: how many it may have.

    Raises:
        OSError: it cannot be started.
    """
    ours, theirs = socket.socketpair()
    memory = MEMORY + connections * MEMORY_OF_CONNECTION
    numbers = [sock.fileno() for sock in listening]
    words = [str(theirs.fileno()), ",".join(map(str, numbers)), user, str(memory)]
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(theirs.fileno(), *numbers),
            env=_environment(),
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    ours.setblocking(False)
    await hand_over(ours, lambda: relay)
    return Process(relay, process, Said(name))


def _environment() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if name in _ENVIRONMENT or name.startswith(_ENVIRONMENT_OF)
    }
