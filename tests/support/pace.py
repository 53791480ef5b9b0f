"""Time limits that hold on slow and busy machines.

A limit is written down in seconds, as it is on a quiet machine. It is multiplied by how much slower the present
machine is: by its speed, which is measured once, and by how many processes wait for each of its processors, which is
looked at again while a test waits. A limit that is too long costs nothing if the test passes.
"""

from __future__ import annotations

import functools
import os
import time
from typing import Final

#: How long `_work` takes where the limits were set (a core of an AMD EPYC, Python 3.11), in seconds.
REFERENCE_S: Final = 0.0086
ROUNDS: Final = 5
#: How many times longer than the limits within it a test's own limit is. A test's own limit ends what hangs; the
#: limits within it say what was awaited.
WHOLE_TEST: Final = 4.0
#: This file is kept open, because it is read while tests see to it that nothing can be opened.
_LOAD: Final = os.open("/proc/loadavg", os.O_RDONLY | os.O_CLOEXEC)


def _work() -> float:
    """Return how much processor time a piece of work takes that never changes, in seconds."""
    start = time.thread_time()
    total = 0
    for i in range(200_000):
        total += i & 7
    return time.thread_time() - start


@functools.cache
def slower_processor() -> float:
    """Return how many times slower a processor is than the one on which the limits were set; at least 1. Measured
    once."""
    return max(1.0, min(_work() for _ in range(ROUNDS)) / REFERENCE_S)


def crowd() -> float:
    """Return how many processes would run on each processor that this process may use, itself included; at least
    1."""
    average, _, _, running, *_ = os.pread(_LOAD, 256, 0).replace(b"/", b" ").split()
    processors = len(os.sched_getaffinity(0))
    return 1.0 + max(float(average), float(running) - 1) / processors


def slowness() -> float:
    """Return how many times longer things take than on a quiet machine, as far as can be told now."""
    return slower_processor() * crowd()


def scaled(seconds: float) -> float:
    """Return a limit for something that cannot look at the clock again while it waits."""
    return seconds * slowness()


class Deadline:
    """The moment at which waiting ends.

    Args:
        seconds: how long to wait on a quiet machine. If the machine becomes busier meanwhile, there is more time.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._start = time.monotonic()
        self._slowest = slowness()

    @property
    def left(self) -> float:
        """How many seconds are left; 0: the time is up."""
        spent = time.monotonic() - self._start
        if spent >= self._seconds * self._slowest:
            self._slowest = max(self._slowest, slowness())
        return max(0.0, self._seconds * self._slowest - spent)

    def __str__(self) -> str:
        """Return how much time was given, in words."""
        return f"{self._seconds * self._slowest:.1f} s ({self._seconds:g} s on a quiet machine)"
