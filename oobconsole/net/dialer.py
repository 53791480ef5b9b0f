"""Connecting again and again to what comes and goes: sockets, monitors, ports."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

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
#: After how many seconds without an answer a look is said to hang.
HANGS_SECONDS: Final = 2.0
_HANGS: Final = "the file system on which it lies does not answer"


#: Looks at what is to be connected to, and waits as long as that takes.
Look = Callable[[], Coroutine[Any, Any, object]]


class Dialer:
    """Connects again and again. The time between two attempts grows, with jitter. It is short again after a good
    connection, and when what is connected to appears.

    Args:
        connect: connects, and returns why the connection has ended; raises `OSError` if there was none.
        down: told the reason, and in how many seconds the next attempt is made; None: nobody knows.
        look: returns another value when what is connected to appears (`looking.look`), and None while there is
            nothing to connect to. It must cost next to nothing. While it waits, nothing is connected to, because that
            would wait, too, and hold the event loop.
        longest: how many seconds are between two attempts at most.

    Attributes:
        news: whether `down` is told another reason than the last time.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[str]],
        down: Callable[[str, float | None], object],
        *,
        look: Look | None = None,
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
            self._now.clear()
            seen = None if self._look is None else await self._seen(self._look)
            began = time.monotonic()
            reason = await self._attempt()
            if time.monotonic() - began >= GOOD_SECONDS:
                self._delay = RETRY_FIRST
                self._reason = ""
            wait = self._delay * random.uniform(1 - _JITTER, 1 + _JITTER)
            self._delay = min(self._longest, self._delay * 2)
            self._say(reason, wait)
            await self._wait(wait, seen)

    def _say(self, reason: str, wait: float | None) -> None:
        self.news, self._reason = reason != self._reason, reason
        self._down(reason, wait)

    async def _seen(self, look: Look) -> object:
        """Look, however long that takes. If it takes long, say why nothing is connected to meanwhile."""
        hangs = asyncio.get_running_loop().call_later(HANGS_SECONDS, self._say, _HANGS, None)
        try:
            return await look()
        finally:
            hangs.cancel()

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
            found = await self._seen(self._look)
            if found != seen or self._reason == _HANGS:  # what was said while the look took long is true no more
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


def why(error: OSError) -> str:
    """An error in words, without its number."""
    return error.strerror or str(error) or type(error).__name__
