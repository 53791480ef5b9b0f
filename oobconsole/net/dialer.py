"""Connecting again and again to what comes and goes: sockets, monitors, ports."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import random
import stat
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from oobconsole import supervise
from oobconsole.supervise import Tasks

#: How many seconds are between two attempts to connect: at first, and at most.
RETRY_FIRST: Final = 0.2
RETRY_MAX: Final = 30.0
#: How many seconds a good connection lasts. After a good one the next attempt comes soon.
GOOD_SECONDS: Final = 5.0
_JITTER: Final = 0.2
#: The longest time between two attempts to reach something on this host, in seconds. Trying costs next to nothing,
#: and with its jitter it is found within a second.
LOCAL_MAX: Final = 0.8
#: How many seconds are between two looks at whether something has appeared.
LOOK_SECONDS: Final = 0.4


class Dialer:
    """Connects again and again. The time between two attempts grows, with jitter. It is short again after a good
    connection, and when what is connected to appears.

    Args:
        connect: connects, and returns why the connection has ended; raises `OSError` if there was none.
        down: told the reason, and in how many seconds the next attempt is made.
        look: returns another value when what is connected to appears (`identity`), and None while there is nothing to
            connect to. It must cost next to nothing.
        longest: how many seconds are between two attempts at most.

    Attributes:
        news: whether `down` is told another reason than the last time.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[str]],
        down: Callable[[str, float], object],
        *,
        look: Callable[[], object] | None = None,
        longest: float = RETRY_MAX,
    ) -> None:
        self._connect = connect
        self._down = down
        self._look = look
        self._longest = longest
        self._delay = RETRY_FIRST
        self._tasks = Tasks()
        self._now = asyncio.Event()
        self._reason = ""
        self.news = True

    def start(self) -> None:
        """Begin to connect, in the background."""
        self._tasks.forever(self._run, "connecting")

    def hurry(self) -> None:
        """Make the next attempt now. If an attempt is under way, another one follows it at once."""
        self._now.set()

    async def stop(self) -> None:
        """Connect no more; an attempt or a connection is cancelled. A second call does nothing."""
        await self._tasks.stop()

    async def _run(self) -> None:
        while True:
            began = time.monotonic()
            self._now.clear()
            seen = self._look() if self._look is not None else None
            reason = await self._attempt()
            if time.monotonic() - began >= GOOD_SECONDS:
                self._delay = RETRY_FIRST
                self._reason = ""
            wait = self._delay * random.uniform(1 - _JITTER, 1 + _JITTER)
            self._delay = min(self._longest, self._delay * 2)
            self.news, self._reason = reason != self._reason, reason
            self._down(reason, wait)
            await self._wait(wait, seen)

    async def _attempt(self) -> str:
        """Connect, and wait for the end. Returns why it ended, or why it failed. A bug in it costs no later
        attempt."""
        try:
            return await self._connect()
        except OSError as error:
            return why(error)
        except Exception as error:
            supervise.tell("connecting", error)
            return f"a bug in oobconsole ({type(error).__name__}: {error}); the server's log has more"

    async def _wait(self, seconds: float, seen: object) -> None:
        """Wait until the next attempt is due. While nothing is there to connect to, no attempt is needed."""
        due = time.monotonic() + seconds
        while (left := due - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left if self._look is None else min(left, LOOK_SECONDS)):
                    await self._now.wait()
                return
            if self._look is None:
                continue
            found = self._look()
            if found != seen:
                self._delay = RETRY_FIRST
                return
            if found is None:
                due = time.monotonic() + seconds


def longest_wait(host: str | None) -> float:
    """The longest pause between two attempts to connect to `host`, in seconds; None: to a path on this host."""
    if host is None or host in ("localhost", "ip6-localhost"):
        return LOCAL_MAX
    try:
        return LOCAL_MAX if ipaddress.ip_address(host).is_loopback else RETRY_MAX
    except ValueError:  # a name
        return RETRY_MAX


def identity(path: str | Path) -> object:
    """An identity of what lies at a path, for `look`: something else there has another one. None: nothing is
    there."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a str as well, and a thousand of them a second
    except OSError:
        return None
    # a socket's inode may be used again at once; a tty's times change with what passes through it
    changed = found.st_ctime_ns if stat.S_ISSOCK(found.st_mode) else 0
    return found.st_dev, found.st_ino, found.st_rdev, changed


def why(error: OSError) -> str:
    """An error in words, without its number."""
    return error.strerror or str(error) or type(error).__name__
