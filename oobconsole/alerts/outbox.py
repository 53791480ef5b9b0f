"""Runs the programs and posts to the URLs of alerts, in the background.

A program or a URL that hangs keeps only the alerts of its own rule waiting.
"""

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

#: How many alerts of one rule are on their way at the same time, and how many have not arrived altogether.
RUNNING_MAX: Final = 4
WAITING_MAX: Final = 64
#: The least time between two programs that are started, in seconds. Each start stops the whole server until the
#: program runs, which takes long on a busy machine.
START_SECONDS: Final = 0.05
#: How many lines a minute the log gets about alerts that did not arrive.
_LOG_LINES: Final = 60


class Outbox:
    """The alerts of the whole server that are on their way.

    Args:
        failed: is called with an alert and the reason, in words, why it did not arrive.
    """

    def __init__(self, failed: Callable[[Alert, str], object]) -> None:
        self._failed = failed
        self._waiting: Counter[str] = Counter()
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(RUNNING_MAX))
        self._tasks = Tasks()
        self._started = 0.0
        self._limit = LogLimit(_LOG_LINES)

    def has_room(self, rule: Rule) -> bool:
        """Return whether there is room for one more alert of that rule."""
        return self._waiting[rule.name] < WAITING_MAX

    def put(self, rule: Rule, alert: Alert) -> None:
        """Start to run the rule's program and to post to its URL. Returns at once."""
        self._waiting[rule.name] += 1
        self._tasks.start(self._send(rule, alert), f"alert {rule.name}")

    async def stop(self) -> None:
        """End programs and posts that still run. Calling it again does nothing."""
        await self._tasks.stop()

    async def _send(self, rule: Rule, alert: Alert) -> None:
        try:
            # a group waits for both, also when the server stops: a program that ignores SIGTERM takes its time to end
            async with self._turns[rule.name], asyncio.TaskGroup() as both:
                command = both.create_task(self._command(rule, alert))
                url = both.create_task(self._url(rule, alert))
        finally:
            self._waiting[rule.name] -= 1
        reason = "; ".join(filter(None, (command.result(), url.result())))
        if reason:
            if self._limit.allows(alert=alert.name):
                log.warning("an alert did not arrive", alert=alert.name, console=alert.console, reason=reason)
            self._failed(alert, reason)

    async def _command(self, rule: Rule, alert: Alert) -> str:
        """Run the rule's program, if it has one. Returns why the program failed, in words; empty when it did not."""
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
