"""For how long does the terminal model hold the event loop, at the output that costs it most?"""

from __future__ import annotations

import time

from oobconsole.console.textscreen import SLICE
from tests.bench.trust import Results
from tests.unit.terminal.test_cost import DEAR, full

_TIMES = 7


def terminal() -> Results:
    """Measure one slice of each expensive sequence on the largest screen, in ms. The smallest of several values
    counts, because other programs use the machine, too."""
    return {f"terminal.{name.replace(' ', '_')}_ms": _least_ms(*sequence) for name, sequence in DEAR.items()}


def _least_ms(setup: bytes, unit: bytes) -> float:
    times = []
    for _ in range(_TIMES):
        model = full(setup)
        began = time.perf_counter()
        model.feed((unit * SLICE)[:SLICE])
        times.append((time.perf_counter() - began) * 1000)
    return min(times)
