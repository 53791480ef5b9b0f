"""How often alerts are told: the bound for a guest that prints a matching line for ever."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from typing import Any, Final

#: Seconds in which `total` alerts are told at most.
PERIOD: Final = 60.0
#: How many pairs of a rule and a console are remembered; beyond that, the oldest pairs are forgotten.
KNOWN_MAX: Final = 100_000


class Limits:
    """The limits of the whole server: how many alerts of one rule at one console, and how many of all together.

    Args:
        total: how many alerts may be told in PERIOD, of all rules and consoles together.
        clock: gives the time in seconds; it never goes back.
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self._clock = clock
        self._told: deque[float] = deque()
        self._last: dict[tuple[str, str], float] = {}
        self._suppressed: Counter[tuple[str, str]] = Counter()

    def allows(self, rule: str, console: str, min_seconds: float) -> bool:
        """Return whether an alert of this rule at this console may be told now. An alert that may not is counted as
        suppressed."""
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
        """Count `count` more alerts of this rule at this console that were not told."""
        self._suppressed[rule, console] += count
        _bound(self._suppressed)

    def take(self, rule: str, console: str) -> int:
        """Return how many alerts of this rule at this console were suppressed since the last call, and count anew."""
        return self._suppressed.pop((rule, console), 0)

    def keep(self, rules: Collection[str]) -> None:
        """Forget whatever concerns rules that are not among `rules`, as after a reload."""
        for known in (self._last, self._suppressed):
            for key in [key for key in known if key[0] not in rules]:
                del known[key]


def _bound(known: dict[tuple[str, str], Any]) -> None:
    if len(known) > KNOWN_MAX:
        del known[next(iter(known))]
