"""Does what rules say, beside everything else: what hangs keeps only its own rule's alerts waiting."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Final

import structlog

from oobconsole.alerts.post import post
from oobconsole.alerts.rules import Alert, Rule
from oobconsole.errors import EnvironmentFault
from oobconsole.log.log import LogLimit
from oobconsole.power import hook
from oobconsole.supervise import Tasks

log = structlog.get_logger(__name__)

#: Of one rule so many are on their way at the same time, and so many altogether have not arrived.
RUNNING_MAX: Final = 4
WAITING_MAX: Final = 64
#: Between two programs that are started, in seconds: each start stops the whole server until the program runs, and on
#: a busy machine that takes its time.
START_SECONDS: Final = 0.05
#: Lines a minute to the log.
_LOG_LINES: Final = 60


class Outbox:
    """Of the whole server.

    Args:
        failed: is called with an alert and the reason why it did not arrive.
    """

    def __init__(self, failed: Callable[[Alert, str], object]) -> None:
        self._failed = failed
        self._waiting: Counter[str] = Counter()
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(RUNNING_MAX))
        self._tasks = Tasks()
        self._started = 0.0
        self._limit = LogLimit(_LOG_LINES)

    def has_room(self, rule: Rule) -> bool:
        """Is there room for one more of that rule?"""
        return self._waiting[rule.name] < WAITING_MAX

    def put(self, rule: Rule, alert: Alert) -> None:
        """Bring it on its way; returns at once."""
        self._waiting[rule.name] += 1
        self._tasks.start(self._send(rule, alert), f"alert {rule.name}")

    async def stop(self) -> None:
        """End what runs. Idempotent."""
        await self._tasks.stop()

    async def _send(self, rule: Rule, alert: Alert) -> None:
        try:
            async with self._turns[rule.name]:
                faults = await asyncio.gather(self._command(rule, alert), self._url(rule, alert))
        finally:
            self._waiting[rule.name] -= 1
        reason = "; ".join(filter(None, faults))
        if reason:
            if self._limit.allows(alert=alert.name):
                log.warning("an alert did not arrive", alert=alert.name, console=alert.console, reason=reason)
            self._failed(alert, reason)

    async def _command(self, rule: Rule, alert: Alert) -> str:
        """Why it failed, in words; empty: it did not."""
        config = rule.config
        if config.command is None:
            return ""
        await self._may_start()
        try:
            await hook.succeed(config.command, config.timeout_s, data=alert.as_json(), env=alert.as_environment())
        except EnvironmentFault as error:
            return str(error)
        return ""

    async def _may_start(self) -> None:
        now = asyncio.get_running_loop().time()
        self._started = max(now, self._started + START_SECONDS)
        await asyncio.sleep(self._started - now)

    async def _url(self, rule: Rule, alert: Alert) -> str:
        if rule.config.url is None:
            return ""
        try:
            await post(rule.config.url, alert.as_json(), rule.config.timeout_s)
        except EnvironmentFault as error:
            return str(error)
        return ""
