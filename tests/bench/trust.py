"""What does interception cost when several guests print at once, and how soon does a key come back?"""

from __future__ import annotations

import contextlib
import itertools
import re
import statistics
import time
from collections.abc import Callable

from tests.stack.nested import NestedStack
from tests.support.expect import Expect

KEYS = 200
WARM_UP = 20
TALKERS = (1, 4, 16)
#: How often the server is killed.
KILLS = 20
#: How many KiB each guest prints while the others do the same.
TALK_KIB = 32

Results = dict[str, float]


def quantiles(values: list[float]) -> tuple[float, float]:
    """Return the median, and the value that 99 of 100 values do not exceed."""
    ordered = sorted(values)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def echo_ms(client: Expect) -> list[float]:
    """Type a key and wait for its echo, many times. Returns the milliseconds that each took, without the first
    ones."""
    times = []
    for i in range(WARM_UP + KEYS):
        key = bytes((ord("a") + i % 26,))
        start = time.monotonic()
        client.send(key)
        client.expect(key, timeout=10)
        times.append((time.monotonic() - start) * 1000)
    return times[WARM_UP:]


def kills() -> Results:
    """Measure for how long a guest that prints stands still, by its own clock, while the server is killed again and
    again. For comparison, measure as many rounds in which the server is not killed."""
    with NestedStack() as stack:
        with stack.console() as console:
            console.run("touch /tmp/go")
            loop = "while [ -e /tmp/go ]; do read up _ </proc/uptime; echo at $up, and on; usleep 2000; done"
            console.send(f"({loop}) &\n")
            console.expect(_AT, timeout=20)
        calm = _longest_pause(stack, kill=False)
        killed = _longest_pause(stack, kill=True)
    return {"kills.pause_ms": killed * 1000, "kills.pause_without_ms": calm * 1000}


#: Matches the guest's uptime, in seconds with two decimals (proc(5)).
_AT = rb"at ([\d.]+), and on\r\n"


def _longest_pause(stack: NestedStack, *, kill: bool) -> float:
    """Return the longest pause between two lines of a recording, in seconds."""
    seen: list[float] = []
    for _ in range(KILLS):
        with Expect(stack.server.ssh("web1")) as client:
            seen += [float(client.expect(_AT, timeout=60)[1]) for _ in range(50)]
            if kill:
                stack.server.kill()
                stack.server.start()
    with Expect(stack.server.ssh("web1")) as client:
        seen.append(float(client.expect(_AT, timeout=60)[1]))
    recorded = stack.server.run("log", "web1", "--lines", "100000", "--raw").stdout
    times = [float(at) for at in re.findall(_AT, recorded) if seen[0] <= float(at) <= seen[-1]]
    return max(after - before for before, after in itertools.pairwise(times))


def guests(waits: Callable[[NestedStack], tuple[int, float]]) -> Results:
    """Count the accesses that guests wait for, and for how long they wait, while several guests print at once. All
    of them run under one L1 with one vCPU. Why one? With two vCPUs, QEMU by itself resets guests now and then
    (`docs/decisions.md`)."""
    out: Results = {}
    for count in TALKERS:
        with NestedStack(l2=count) as stack:
            with contextlib.ExitStack() as talking:
                names = [f"web{i + 1}" for i in range(count)]
                consoles = [talking.enter_context(stack.console(name, timeout=600)) for name in names]
                for console in consoles:
                    console.send(f"head -c {TALK_KIB * 768} /dev/zero | base64 -w 64; echo fi''nis\n")
                for console in consoles:
                    console.expect(rb"finis\r?\n", timeout=600)
            out[f"guests.{count}.waits"], out[f"guests.{count}.waits_ms"] = waits(stack)
    return out
