"""Finds out whether the wall clock was set, by comparing it with a clock that nobody sets.

`CLOCK_BOOTTIME` counts from the boot of this machine, through its sleep, and is never set (clock_gettime(2)). When
was that boot, by the wall clock? As long as the answer stays the same, the wall clock was not set.
"""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Final, NamedTuple

#: A clock that differs by more than so many seconds from before was set. A smaller difference is a clock that runs
#: too fast or too slowly, which NTP mends slowly.
SET_SECONDS: Final = 5.0
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
#: Both clocks must be read within so many seconds, or are read again: a process may be stopped between the two.
_TOGETHER: Final = 0.5
_ATTEMPTS: Final = 3


class Reading(NamedTuple):
    """A reading of the wall clock.

    Attributes:
        at: the time, in seconds since 1970.
        booted: the time at which this machine was booted, in seconds since 1970, by the wall clock as it is set now.
    """

    at: float
    booted: float


def read() -> Reading:
    """Read the wall clock, and when the boot was by it."""
    for _ in range(_ATTEMPTS):
        before = time.clock_gettime(time.CLOCK_BOOTTIME)
        at = time.time()
        if time.clock_gettime(time.CLOCK_BOOTTIME) - before < _TOGETHER:
            break
    return Reading(at, at - before)


def was_set(before: float, now: float) -> bool:
    """Was the clock set between two readings?

    Args:
        before, now: the `booted` of the two readings.
    """
    return abs(now - before) > SET_SECONDS


@functools.cache
def boot() -> str:
    """The kernel's own name for this boot (random(4)); empty where it does not say."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
