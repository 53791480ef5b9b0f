"""One process of a front, as the core sees it: how it is started, and how it ends."""

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

#: How large the address space of a front may be, in bytes: `MEMORY`, and `MEMORY_OF_CONNECTION` for each connection.
MEMORY: Final = 2 << 30
MEMORY_OF_CONNECTION: Final = 1 << 20
#: How long a process whose connection is over may take to end by itself, in seconds. Then its exit status is known.
END_SECONDS: Final = 1.0
#: The environment variables that a front gets from the core. Others may be secrets.
_ENVIRONMENT: Final = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ")
_ENVIRONMENT_OF: Final = ("LD_", "PYTHON", "MALLOC_")


class Process:
    """A process of a front. `begin` starts one.

    Attributes:
        relay: the core's end of the connection to it.
    """

    def __init__(self, relay: Relay, process: asyncio.subprocess.Process, said: Said) -> None:
        self.relay = relay
        self._process = process
        self._tasks = Tasks()
        if process.stderr is not None:
            self._tasks.start(said.read(process.stderr), "what a front says")

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def end(self, seconds: float = END_SECONDS) -> str:
        """Wait so many seconds for the process to end, and then kill it. Returns how it ended, in words."""
        await self.left(seconds)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()  # this ends also a process that is stopped (SIGSTOP)
        status = await self._process.wait()
        await self._tasks.wait(END_SECONDS)
        await self._tasks.stop()
        return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"

    async def left(self, seconds: float) -> None:
        """Wait until the process has ended by itself, but at most so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._process.wait()


async def begin(
    name: str, module: str, relay: Relay, listening: Sequence[socket.socket], user: str, connections: int
) -> Process:
    """Start a process of a front.

    Args:
        name: the front's name, for the log.
        module: the module that the process runs.
        relay: the core's end of the connection to the process.
        listening: the listening sockets, which the process inherits.
        user: the user that the process becomes, if it may.
        connections: how many connections the process may have; this bounds its memory.

    Raises:
        OSError: the process cannot be started.
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
