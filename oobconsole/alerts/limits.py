"""How often alerts are told: a guest that prints the same line for ever costs no more than this."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from typing import Any, Final

PERIOD: Final = 60.0
#: Pairs of a rule and a console that are remembered; the oldest are forgotten.
KNOWN_MAX: Final = 100_000


class Limits:
    """Of the whole server.

    Args:
        total: alerts in a minute, all together.
        clock: seconds.
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self._clock = clock
        self._told: deque[float] = deque()
        self._last: dict[tuple[str, str], float] = {}
        self._suppressed: Counter[tuple[str, str]] = Counter()

    def allows(self, rule: str, console: str, min_seconds: float) -> bool:
        """May it be told now? If not, it is counted."""
        now, key = self._clock(), (rule, console)
        while self._told and now - self._told[0] >= PERIOD:
            self._told.popleft()
        last = self._last.get(key)
        if len(self._told) >= self.total or (last is not None and now - last < min_seconds):
            self.suppress(rule, console, 1)
            return False
        self._told.append(now)
        self._last.pop(key, None)
        self._last[key] = now
        _bound(self._last)
        return True

    def suppress(self, rule: str, console: str, count: int) -> None:
        """So many more were not told."""
        self._suppressed[rule, console] += count
        _bound(self._suppressed)

    def take(self, rule: str, console: str) -> int:
        """How many have not been told since this was asked last."""
        return self._suppressed.pop((rule, console), 0)

    def keep(self, rules: Collection[str]) -> None:
        """Forget all that is about other rules."""
        for known in (self._last, self._suppressed):
            for key in [key for key in known if key[0] not in rules]:
                del known[key]


def _bound(known: dict[tuple[str, str], Any]) -> None:
    if len(known) > KNOWN_MAX:
        del known[next(iter(known))]
