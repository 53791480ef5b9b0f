"""Alerts for which there is no room in this minute, of consoles that have told nothing in it.

Why do these wait, and are not left out? There is one bound for all alerts. Consoles whose guests print matching lines
all the time would use it up, and the one guest that panics would not be heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import structlog

from oobconsole.alerts.limits import Limits
from oobconsole.alerts.rules import Hit, Rule

log = structlog.get_logger(__name__)

#: How many consoles may wait.
WAITING_MAX: Final = 1000


class Late(NamedTuple):
    """A line that was found, and may have to wait until it is told.

    Attributes:
        console: the console's name.
        rule, hit: which rule's pattern is in which line.
        at: when the line was found, in seconds since 1970.
        skipped: by rule: how many bytes of the console were not looked at since its last alert.
    """

    console: str
    rule: Rule
    hit: Hit
    at: float
    skipped: dict[str, int]


class Waiting:
    """One alert of each console that waits.

    Args:
        limits: say when there is room.
        tell: tells an alert.
    """

    def __init__(self, limits: Limits, tell: Callable[[Late], object]) -> None:
        self._limits = limits
        self._tell = tell
        self._late: dict[str, Late] = {}
        self._timer: asyncio.TimerHandle | None = None

    def put(self, found: Late) -> bool:
        """Have an alert wait, if it has to. Returns False if it has not to, or may not."""
        console, rule = found.console, found.rule
        if console in self._late or len(self._late) >= WAITING_MAX:
            return False
        if not self._limits.must_wait(rule.name, console, rule.config.min_seconds):
            return False
        self._late[console] = found
        self._look_later()
        return True

    def tell(self) -> None:
        """Tell as many alerts as there is room for. The console that has told nothing for longest is first."""
        while self._late and not self._limits.room_in():
            console = min(self._late, key=self._limits.told_last)
            self._tell(self._late.pop(console))
        self._look_later()

    def keep(self, rules: Mapping[str, Rule]) -> None:
        """Tell the alerts that wait as these rules say, as after a reload. Those of which no rule says anything any
        more are forgotten."""
        self._late = {
            console: late._replace(rule=rule)
            for console, late in self._late.items()
            if (rule := rules.get(late.rule.name)) is not None and rule.is_for(console)
        }

    def stop(self) -> None:
        """Tell nothing any more. What still waits is only named in the log."""
        for console, late in self._late.items():
            log.warning("an alert is not told, as the server stops", console=console, alert=late.rule.name)
        self._late.clear()
        self._look_later()

    def _look_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._late:
            self._timer = asyncio.get_running_loop().call_later(self._limits.room_in(), self.tell)
