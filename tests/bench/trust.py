"""What interception costs when several guests talk at once, and how soon a key comes back."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable

from tests.stack.nested import NestedStack
from tests.support.expect import Expect

KEYS = 200
WARM_UP = 20
TALKERS = (1, 4, 16)
#: What each guest prints, in KiB, while the others do the same.
TALK_KIB = 256

Results = dict[str, float]


def quantiles(values: list[float]) -> tuple[float, float]:
    """Median, and the value that 99 of 100 do not exceed."""
    ordered = sorted(values)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def echo_ms(client: Expect) -> list[float]:
    """Type a key, and wait for it to come back; the first ones are not counted."""
    times = []
    for i in range(WARM_UP + KEYS):
        key = bytes((ord("a") + i % 26,))
        start = time.monotonic()
        client.send(key)
        client.expect(key, timeout=10)
        times.append((time.monotonic() - start) * 1000)
    return times[WARM_UP:]


def guests(access_us: Callable[[NestedStack], tuple[float, float]]) -> Results:
    """One synchronous access while so many guests print at once, all under one L1 with two vCPUs."""
    out: Results = {}
    for count in TALKERS:
        with NestedStack(l2=count, smp=2) as stack:
            with contextlib.ExitStack() as talking:
                names = [f"web{i + 1}" for i in range(count)]
                consoles = [talking.enter_context(stack.console(name, timeout=600)) for name in names]
                for console in consoles:
                    console.send(f"head -c {TALK_KIB * 768} /dev/zero | base64 -w 64; echo fi''nis\n")
                for console in consoles:
                    console.expect(rb"finis\r?\n", timeout=600)
            median, p99 = access_us(stack)
        out[f"guests.{count}.access_us.median"], out[f"guests.{count}.access_us.p99"] = median, p99
    return out
