"""The wall clock, which may be set, beside a clock that nobody sets.

`CLOCK_BOOTTIME` counts from the boot of this machine, through its sleep, and is never set (clock_gettime(2)). The
time of the boot by the wall clock tells how that one is set: as long as it stays the same, the clock was not set.
"""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Final, NamedTuple

#: A clock that is off by more than so many seconds, compared with before, was set. Less is one that runs too fast or
#: too slowly, and is brought back slowly by NTP.
SET_SECONDS: Final = 5.0
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
#: Both clocks are read within so many seconds, or again: a process may be stopped at any place.
_TOGETHER: Final = 0.5
_ATTEMPTS: Final = 3


class Reading(NamedTuple):
    """Of the wall clock.

    Attributes:
        at: the time, in seconds since 1970.
        booted: when this machine was booted, by the wall clock as it is set now.
    """

    at: float
    booted: float


def read() -> Reading:
    """What time it is, and by which clock."""
    for _ in range(_ATTEMPTS):
        before = time.clock_gettime(time.CLOCK_BOOTTIME)
        at = time.time()
        if time.clock_gettime(time.CLOCK_BOOTTIME) - before < _TOGETHER:
            break
    return Reading(at, at - before)


def was_set(before: float, now: float) -> bool:
    """Was the clock set between two readings? Their `booted` says it."""
    return abs(now - before) > SET_SECONDS


@functools.cache
def boot() -> str:
    """The kernel's own name for this boot (random(4)); empty where it does not say."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
