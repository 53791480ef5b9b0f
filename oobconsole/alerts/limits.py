"""How often alerts are told: the bound for a guest that prints a matching line for ever."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from typing import Any, Final, TypeVar

#: Seconds in which `total` alerts are told at most.
PERIOD: Final = 60.0
#: How many pairs of a rule and a console are remembered; beyond that, the oldest pairs are forgotten.
KNOWN_MAX: Final = 100_000

_Key = TypeVar("_Key")


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
        self._consoles: dict[str, float] = {}  # by console: when an alert of it was told last
        self._last: dict[tuple[str, str], float] = {}
        self._suppressed: Counter[tuple[str, str]] = Counter()

    def allows(self, rule: str, console: str, min_seconds: float) -> bool:
        """Return whether an alert of this rule at this console may be told now. An alert that may not is counted as
        suppressed."""
        now = self._clock()
        if self.room_in() or self._is_too_soon(rule, console, min_seconds):
            self.suppress(rule, console, 1)
            return False
        self._told.append(now)
        _note(self._last, (rule, console), now)
        _note(self._consoles, console, now)
        return True

    def must_wait(self, rule: str, console: str, min_seconds: float) -> bool:
        """Return whether an alert may not be told now only because other consoles have used up this minute: nothing
        of this one was told in it."""
        if not self.room_in() or self._is_too_soon(rule, console, min_seconds):
            return False
        return self._clock() - self.told_last(console) >= PERIOD

    def room_in(self) -> float:
        """Return in how many seconds there is room for another alert; 0: now."""
        now = self._clock()
        while self._told and now - self._told[0] >= PERIOD:
            self._told.popleft()
        if len(self._told) < self.total:
            return 0.0
        return self._told[len(self._told) - self.total] + PERIOD - now

    def told_last(self, console: str) -> float:
        """Return when an alert of this console was told last, by the clock; minus infinity: never, or long ago."""
        return self._consoles.get(console, -math.inf)

    def _is_too_soon(self, rule: str, console: str, min_seconds: float) -> bool:
        return self._clock() - self._last.get((rule, console), -math.inf) < min_seconds

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


def _note(known: dict[_Key, float], key: _Key, now: float) -> None:
    known.pop(key, None)  # it is not the oldest any more
    known[key] = now
    _bound(known)


def _bound(known: dict[_Key, Any]) -> None:
    if len(known) > KNOWN_MAX:
        del known[next(iter(known))]
