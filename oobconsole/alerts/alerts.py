"""Reads every console that an `[[alert]]` names, aside from its users: neither a user nor a guest waits for that.

How much processor time may a console cost? Its lines are looked at in threads of our own, and each look is followed
by a pause three times as long. So a console that floods, or a pattern that is slow, has at most a quarter of a
thread. What a console prints faster than that is skipped, and counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from weakref import WeakSet

import structlog

from oobconsole import supervise
from oobconsole.alerts.limits import Limits
from oobconsole.alerts.outbox import Outbox
from oobconsole.alerts.rules import Alert, Hit, Rule
from oobconsole.alerts.scanner import Found, Scanner
from oobconsole.alerts.unlooked import Unlooked
from oobconsole.alerts.waiting import Late, Waiting
from oobconsole.config.schema import Config
from oobconsole.console.console import Console
from oobconsole.console.reader import Notice, Reader
from oobconsole.events import Events, Kind
from oobconsole.log.log import LogLimit
from oobconsole.supervise import Tasks

log = structlog.get_logger(__name__)

#: How many bytes of output are looked at together.
CHUNK: Final = 8192
#: How many seconds after its beginning a line is looked at that has not ended, such as a prompt.
SETTLE_SECONDS: Final = 1.0
#: How many looks (of one rule at one line) there are before others have their turn. The bound exists because a thread
#: that works has the interpreter's lock, and the event loop waits for that lock.
LOOKS_MAX: Final = 512
_THREADS: Final = 2
_PAUSE_SECONDS: Final = 0.002
#: The pause behind a look is so many times as long as the look took.
_PAUSE_TIMES: Final = 3


@dataclass
class _Watch:
    """A console that is read, the rules that wait there, and how far it has been looked at."""

    console: Console
    rules: list[Rule]
    reader: Reader
    scanner: Scanner = field(default_factory=Scanner)
    skipped: dict[str, int] = field(default_factory=dict)  # by rule: bytes not looked at, since its last alert
    since: float | None = None  # loop time at which the unfinished line began that was not looked at yet
    task: asyncio.Task[None] | None = None
    unlooked: Unlooked | None = None

    def skip(self, count: int) -> None:
        """Count `count` bytes of output that will not be looked at; the line that they belong to is forgotten."""
        self.scanner.forget()
        self.since = None
        if self.unlooked is not None:
            self.unlooked.add(count)
        for rule in self.rules:
            self.skipped[rule.name] = self.skipped.get(rule.name, 0) + count


class Alerts:
    """The alerts of the whole server."""

    def __init__(self, config: Config, events: Events, clock: Callable[[], float] = time.monotonic) -> None:
        self._events = events
        self._limits = Limits(config.server.max_alerts, clock)
        self._outbox = Outbox(self._failed)
        self._waiting = Waiting(self._limits, self._tell_one)
        self._rules = [Rule.of(alert) for alert in config.alerts]
        self._watches: dict[Console, _Watch] = {}
        self._consoles: WeakSet[Console] = WeakSet()
        self._tasks = Tasks()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="alerts")
        self._slow = LogLimit(10)

    def configure(self, config: Config) -> None:
        """Use the rules of `config` from now on. Alerts that were told before keep counting for the limits."""
        self._rules = [Rule.of(alert) for alert in config.alerts]
        self._limits.total = config.server.max_alerts
        rules = {rule.name: rule for rule in self._rules}
        self._limits.keep(set(rules))
        self._waiting.keep(rules)
        for console in tuple(self._consoles):
            if not console.closed:
                self._look_after(console)

    def watch(self, console: Console) -> None:
        """Look after a console that is new, and has printed nothing yet."""
        self._consoles.add(console)
        self._look_after(console)

    async def stop(self) -> None:
        """Stop reading consoles, and end programs and posts that still run. Calling it again does nothing."""
        await self._tasks.stop()
        self._waiting.stop()
        await self._outbox.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _look_after(self, console: Console) -> None:
        rules = [rule for rule in self._rules if rule.is_for(console.name)]
        watch = self._watches.get(console)
        if watch is not None:
            watch.rules = rules
            if not rules and watch.task is not None:
                del self._watches[console]
                watch.task.cancel()
                watch.reader.close()  # the task may not have begun
        elif rules:
            watch = self._watches[console] = _Watch(console, rules, console.attach(aside=True))
            watch.unlooked = Unlooked(partial(self._unlooked, watch))
            watch.task = self._tasks.start(self._run(watch), f"alerts of {console.name}")

    def _unlooked(self, watch: _Watch, count: int) -> None:
        """No alert of these rules could come of what was not looked at: whoever relies on them is told."""
        reason = f"{count} bytes of output were not looked at: they came faster than alerts may be looked for"
        for rule in watch.rules:
            self._events.emit(Kind.ALERT_FAILED, watch.console.name, alert=rule.name, reason=reason)

    # -- one console --------------------------------------------------------------------------------

    async def _run(self, watch: _Watch) -> None:
        try:
            while True:
                try:
                    await self._step(watch)
                except EOFError:
                    return
                except Exception as error:  # this piece of output is lost to alerts; all else goes on
                    supervise.tell(f"alerts of {watch.console.name}", error)
                    watch.skip(CHUNK)
                    await asyncio.sleep(supervise.AGAIN_FIRST)
        finally:
            watch.reader.close()
            if watch.unlooked is not None:
                watch.unlooked.tell()
            if self._watches.get(watch.console) is watch:
                del self._watches[watch.console]

    async def _step(self, watch: _Watch) -> None:
        """Look at the next output, or at an unfinished line that has waited long enough.

        Raises:
            EOFError: the console is closed.
        """
        offset = watch.reader.position
        try:
            async with asyncio.timeout_at(None if watch.since is None else watch.since + SETTLE_SECONDS):
                item = await watch.reader.next(CHUNK)
        except TimeoutError:
            watch.since = None
            await self._look(watch, partial(watch.scanner.settle, watch.rules))
            return
        if isinstance(item, Notice):
            if item.kind in ("skipped", "lost"):
                watch.skip(int(item.detail["bytes"]))
            elif item.kind == "state" and "offset" in item.detail:  # another guest's output begins a line
                await self._look(watch, partial(watch.scanner.settle, watch.rules))
                watch.skip(0)
            return
        rest = item
        while rest:
            look = partial(watch.scanner.feed, watch.rules, rest, offset, looks=LOOKS_MAX)
            taken = (await self._look(watch, look)).taken
            rest, offset = rest[taken:], offset + taken
        if not watch.scanner.unlooked:
            watch.since = None
        elif watch.since is None or b"\n" in item:
            watch.since = asyncio.get_running_loop().time()

    async def _look(self, watch: _Watch, look: Callable[[], Found]) -> Found:
        rules: Sequence[Rule] = watch.rules
        took, found = await asyncio.get_running_loop().run_in_executor(self._threads, _timed, look)
        self._tell(watch, rules, found)
        await asyncio.sleep(max(_PAUSE_SECONDS, _PAUSE_TIMES * took))
        return found

    def _tell(self, watch: _Watch, rules: Sequence[Rule], found: Found) -> None:
        for rule in rules:
            for hit in found.hits.get(rule.name, ()):
                self._hit(watch, rule, hit)
            if more := found.more.get(rule.name):
                self._limits.suppress(rule.name, watch.console.name, more)
            if (reason := found.slow.get(rule.name)) and self._slow.allows(alert=rule.name):
                log.warning(
                    "an alert's pattern is too slow", alert=rule.name, console=watch.console.name, reason=reason
                )
                self._events.emit(Kind.ALERT_FAILED, watch.console.name, alert=rule.name, reason=reason)

    def _hit(self, watch: _Watch, rule: Rule, hit: Hit) -> None:
        self._waiting.tell()  # those that wait come first
        found = Late(watch.console.name, rule, hit, time.time(), watch.skipped)
        if not self._outbox.has_room(rule) or not self._waiting.put(found):
            self._tell_one(found)

    def _tell_one(self, found: Late) -> None:
        """Tell an alert if the limits allow that now. Otherwise it is counted."""
        (console, rule, hit), name = found[:3], found.rule.name
        if not self._outbox.has_room(rule):
            self._limits.suppress(name, console, 1)
        elif self._limits.allows(name, console, rule.config.min_seconds):
            suppressed, skipped = self._limits.take(name, console), found.skipped.pop(name, 0)
            alert = Alert(name, console, hit.line, hit.offset, found.at, suppressed, skipped)
            self._events.emit(
                Kind.ALERT,
                console,
                alert=name,
                line=hit.line,
                offset=hit.offset,
                suppressed=suppressed,
                skipped=skipped,
            )
            self._outbox.put(rule, alert)

    def _failed(self, alert: Alert, reason: str) -> None:
        self._events.emit(Kind.ALERT_FAILED, alert.console, alert=alert.name, reason=reason)


def _timed(look: Callable[[], Found]) -> tuple[float, Found]:
    """Call `look`; returns how many seconds it took, and what it found."""
    began = time.monotonic()
    found = look()
    return time.monotonic() - began, found
