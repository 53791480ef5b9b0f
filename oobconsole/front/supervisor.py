"""Keeps the fronts running. Each front is started, asked for signs of life, and started again when it ends or
hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import structlog

from oobconsole.config.schema import Config
from oobconsole.events import Events
from oobconsole.events import Kind as EventKind
from oobconsole.front.counts import Counts
from oobconsole.front.kinds import Kind
from oobconsole.front.process import Process
from oobconsole.front.relay import Relay
from oobconsole.front.spare import Spare
from oobconsole.supervise import Tasks

log = structlog.get_logger(__name__)

#: How often a front is asked for a sign of life, in seconds, and how many of these questions may wait for an answer.
#: Why are the questions counted, and the time is not? If the core itself was stopped, or had no time, that is not the
#: front's fault.
PING_SECONDS: Final = 1.0
PINGS_MAX: Final = 8
#: How many times `PING_SECONDS` a process may take to be ready.
READY_PINGS_MAX: Final = 60
#: A process was a good one if it has let a user in, or has lived for so long, in seconds. After a good process the
#: next one is started at once.
GOOD_SECONDS: Final = 5.0
#: After a few bad processes in a row the next one is still started at once. After `AT_ONCE` of them there is a pause,
#: which grows from `AGAIN_FIRST` to `AGAIN_LAST` seconds, doubling each time.
AT_ONCE: Final = 3
AGAIN_FIRST: Final = 0.5
AGAIN_LAST: Final = 30.0
#: How long a front may take to end when it is asked to, in seconds. It gives its clients a second to leave.
STOP_SECONDS: Final = 4.0


class State(Enum):
    """What a front is doing, as `status` shows it."""

    STARTING = "starting"
    SERVING = "serving"
    WAITING = "waiting"  # for the time at which its next process is started
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Given:
    """The configuration and the settings of a kind of front. A reload replaces them."""

    config: Config
    settings: bytes


class Front:
    """One front. It lives through all the processes that it has one after the other.

    Args:
        name: the front's name, such as `ssh 1`.
        given: returns the present configuration and settings.
        spare: where the processes come from.

    Attributes:
        state: what the front is doing now.
        again: how often a process was started again.
        reason: why a process was started again the last time.
        about: what confines the process (`+`), and what is lacking (`-`), as the process says itself.
    """

    def __init__(
        self,
        name: str,
        kind: Kind,
        events: Events,
        given: Callable[[], Given],
        spare: Spare,
    ) -> None:
        self.state = State.STARTING
        self.again = 0
        self.reason = ""
        self.about: list[str] = []
        self._name = name
        self._kind = kind
        self._events = events
        self._given = given
        self._spare = spare
        self._bad = 0
        self._before = Counts()  # of the processes that have ended
        self._process: Process | None = None
        self._tasks = Tasks()
        self._served = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The id of the front's process; None: there is no process now."""
        return self._process.pid if self._process is not None else None

    @property
    def connections(self) -> int:
        """How many connections there are now over which a user has logged in."""
        return self._process.relay.connections if self._process is not None else 0

    @property
    def sessions(self) -> int:
        """How many sessions the front has now."""
        return self._process.relay.sessions if self._process is not None else 0

    @property
    def counts(self) -> Counts:
        """What has gone through all the processes that this front has had."""
        return self._before + self._process.relay.counts if self._process is not None else self._before

    async def start(self) -> None:
        """Start the front. Returns when its first process serves, or has ended."""
        self._tasks.forever(self._run, f"front {self._name}")
        await self._served.wait()

    async def settle(self) -> None:
        """Make the front serve by the present settings. Returns when it does. A front that is not serving now will
        get them when it begins."""
        process = self._process
        if process is not None and self.state is State.SERVING:
            await self._settle(process.relay)

    async def _settle(self, relay: Relay) -> None:
        """Give the front its settings. A reload may replace them meanwhile; then the front gets the new ones, too."""
        settled = None
        while settled is not (given := self._given()).settings:
            relay.allow(self._kind.connections(given.config), self._kind.keys(given.config))
            await relay.settle(given.settings)
            settled = given.settings

    async def stop(self) -> None:
        """Let the front's clients leave, and end it."""
        self.state = State.STOPPED
        process = self._process
        if process is not None:
            process.relay.stop()
            await process.left(STOP_SECONDS)
        await self._tasks.stop()

    # -- its life -----------------------------------------------------------------------------------

    async def _run(self) -> None:
        while self.state is not State.STOPPED:
            self.state = State.STARTING
            reason, is_good = await self._live()
            self._served.set()
            if self.state is State.STOPPED:
                return
            self._bad = 0 if is_good else self._bad + 1
            await self._wait(reason)

    async def _wait(self, reason: str) -> None:
        """Report that the process has ended, and wait until the next one may be started."""
        seconds = 0.0
        if self._bad > AT_ONCE:
            seconds = min(AGAIN_LAST, AGAIN_FIRST * 2 ** min(self._bad - AT_ONCE - 1, 16))
        self.again += 1
        self.reason = reason
        self.state = State.WAITING
        log.warning("a front has ended, and is begun again", front=self._name, reason=reason, seconds=seconds)
        self._events.emit(EventKind.FAULT, part=f"front {self._name}", reason=reason)
        await asyncio.sleep(seconds)

    async def _live(self) -> tuple[str, bool]:
        """Run one process to its end. Returns why it ended, and whether it was a good one (`GOOD_SECONDS`)."""
        began = time.monotonic()
        try:
            process = self._process = await self._spare.take()
        except OSError as error:
            return f"it cannot be started: {error.strerror}", False
        relay = process.relay
        try:
            why = await self._serve(relay)
        finally:
            relay.end("the server stops")
            self._process = None
            self._before += relay.counts
            how = await asyncio.shield(asyncio.ensure_future(process.end()))
        lasted = self.state is State.SERVING and time.monotonic() - began >= GOOD_SECONDS
        return f"{why} ({how})", lasted or relay.counts.logins > 0

    async def _serve(self, relay: Relay) -> str:
        """Wait until the process has ended, or must be ended. Returns why."""
        for _ in range(READY_PINGS_MAX):
            first: set[asyncio.Future[Any]] = {relay.ready, relay.ended}
            await asyncio.wait(first, timeout=PING_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if relay.ended.done():
                return relay.ended.result()
            if relay.ready.done():
                break
        else:
            relay.end("it was not ready in time")
            return relay.ended.result()
        self._tell_confinement(relay.ready.result())
        begun = self._tasks.start(self._begin(relay), f"beginning of front {self._name}")
        try:
            return await self._watch(relay)
        finally:
            begun.cancel()

    async def _begin(self, relay: Relay) -> None:
        await self._settle(relay)
        if not relay.ended.done() and self.state is State.STARTING:
            self.state = State.SERVING
            self._served.set()
            self._spare.make()

    async def _watch(self, relay: Relay) -> str:
        while True:
            await asyncio.wait({relay.ended}, timeout=PING_SECONDS)
            if relay.ended.done():
                return relay.ended.result()
            if relay.unanswered >= PINGS_MAX:
                relay.end("it does not answer any more")
            else:
                relay.ping()

    def _tell_confinement(self, about: list[str]) -> None:
        """Log what confines the process, but only if it differs from the process before: mostly it is the same."""
        if about == self.about:
            return
        self.about = about
        has = [line[1:] for line in about if line.startswith("+")]
        lacks = [line[1:] for line in about if not line.startswith("+")]
        log.info("a front has given up its rights", front=self._name, confined_by=has)
        if lacks:
            log.warning("a front has more rights than it needs", front=self._name, lacking=lacks)
