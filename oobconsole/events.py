"""What happens in the server, as it happens: for `events`, the audit log, metrics. Synchronous, bounded."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Final, Self

import structlog

from oobconsole import clock, supervise
from oobconsole.access import Principal

log = structlog.get_logger(__name__)

#: Events that wait for one subscriber; the oldest give way, and it is told how many.
WAITING_MAX: Final = 1000
#: Denials of one user that are told one by one, in so many seconds.
DENIALS_MAX: Final = 60
DENIALS_PERIOD: Final = 60.0

Value = str | int | float | bool | None


class Kind(StrEnum):
    """The kinds of events. The audit log and `events` show these names."""

    SERVER_STARTED = "server-started"
    SERVER_STOPPED = "server-stopped"
    RELOADED = "reloaded"
    LOGIN = "login"
    LOGIN_REFUSED = "login-refused"
    LOGOUT = "logout"
    ATTACHED = "attached"
    DETACHED = "detached"
    KEYBOARD = "keyboard"  # somebody has the keyboard now, or nobody
    FORCED = "forced"  # another program, such as virsh console, had to leave the line
    BREAK = "break"
    SYSRQ = "sysrq"
    POWER = "power"
    SENT = "sent"  # text was typed by `send`
    MESSAGE = "message"
    READ = "read"  # a recording was read
    DENIED = "denied"
    CONSOLE = "console"  # a console's state changed
    RECORDING = "recording"  # it stopped for lack of room, or goes on; or somebody else has changed its files
    CLOCK = "clock"  # this machine's clock was set: what was before has the times of another clock
    ALERT = "alert"  # a guest printed what an [[alert]] waits for
    ALERT_FAILED = "alert-failed"  # its program or its URL, or its pattern took too long
    FAULT = "fault"  # a part of the server ended by an error; it is begun again where that can be
    AUDIT = "audit"  # the audit log cannot be written, or can be again
    LOST = "lost"  # events that a subscriber was too slow for


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        at: seconds since 1970.
        console: the console's name; empty: it concerns no console.
        who: whoever did it; None: nobody did.
        detail: what else there is to know, by names that depend on the kind.
    """

    kind: Kind
    console: str = ""
    who: Principal | None = None
    detail: Mapping[str, Value] = field(default_factory=dict)
    at: float = field(default_factory=time.time)

    def as_dict(self) -> dict[str, Value]:
        """The event as an object of JSON, without empty fields."""
        who = {"user": self.who.name, "address": self.who.address, "key": self.who.key} if self.who else {}
        full = {"at": round(self.at, 6), "kind": str(self.kind), "console": self.console, **who, **self.detail}
        return {key: value for key, value in full.items() if value != ""}


class Subscription:
    """Collects events for a reader while its context is entered. A slow reader loses the oldest ones, and is told."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._waiting: deque[Event] = deque(maxlen=WAITING_MAX)
        self._lost = 0
        self._wake = asyncio.Event()

    def __enter__(self) -> Self:
        self._events.add_sink(self._put)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._events.remove_sink(self._put)

    def _put(self, event: Event) -> None:
        self._lost += len(self._waiting) == WAITING_MAX
        self._waiting.append(event)
        self._wake.set()

    async def next(self) -> Event:
        """Wait for the next event. When events were lost, the next one says how many (`Kind.LOST`)."""
        while not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        if self._lost:
            lost, self._lost = self._lost, 0
            return Event(Kind.LOST, detail={"events": lost})
        return self._waiting.popleft()


class _Denials:
    """Limits denials, which any user can cause without end: DENIALS_MAX for each user in DENIALS_PERIOD, and then an
    event with the number of the others. All of them would push others' deeds out of the audit log."""

    def __init__(self, emit: Callable[..., None]) -> None:
        self._emit = emit
        self._counts: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def allows(self, who: Principal) -> bool:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DENIALS_PERIOD, self._flush)
        self._counts[who.name] += 1
        return self._counts[who.name] <= DENIALS_MAX

    def _flush(self) -> None:
        self._timer = None
        counts, self._counts = self._counts, Counter()
        for name, count in counts.items():
            if count > DENIALS_MAX:
                who = Principal(name)
                self._emit(Kind.DENIED, "", who, reason="more than are listed", more=count - DENIALS_MAX)


class Events:
    """Brings each event to every sink, in order."""

    def __init__(self) -> None:
        self._sinks: list[Callable[[Event], object]] = []
        self._denials = _Denials(self._bring)
        self._booted = clock.read().booted

    def emit(self, kind: Kind, console: str = "", who: Principal | None = None, **detail: Value) -> None:
        """Bring an event to every sink. A user's denials beyond DENIALS_MAX in a minute are only counted."""
        if kind is not Kind.DENIED or who is None or self._denials.allows(who):
            self._bring(kind, console, who, **detail)

    def look_at_clock(self) -> None:
        """If the clock was set, bring an event that says so, before events that have its new time."""
        before, self._booted = self._booted, clock.read().booted
        if clock.was_set(before, self._booted):
            seconds = round(self._booted - before, 1)
            log.warning("this machine's clock was set", seconds=seconds)
            self._to_sinks(Event(Kind.CLOCK, detail={"seconds": seconds}))

    def _bring(self, kind: Kind, console: str = "", who: Principal | None = None, **detail: Value) -> None:
        self.look_at_clock()
        self._to_sinks(Event(kind, console, who, detail))

    def _to_sinks(self, event: Event) -> None:
        for sink in tuple(self._sinks):
            try:
                sink(event)
            except Exception as error:  # whoever does something goes on, whatever becomes of the news of it
                supervise.tell("events", error)

    def add_sink(self, sink: Callable[[Event], object]) -> None:
        """Call `sink` with every event from now on; it must return at once and not raise."""
        self._sinks.append(sink)

    def remove_sink(self, sink: Callable[[Event], object]) -> None:
        """Do not call `sink` any more. If it was not added, as by a part that could not be started, nothing
        happens."""
        with contextlib.suppress(ValueError):
            self._sinks.remove(sink)

    def subscribe(self) -> Subscription:
        """Subscribe to events, to wait for them: `with events.subscribe() as subscription`."""
        return Subscription(self)
