"""What the dearest output costs the terminal model, for each slice that the event loop is held for."""

from __future__ import annotations

import time

from oobconsole.console.textscreen import SLICE
from tests.bench.trust import Results
from tests.unit.terminal.test_cost import DEAR, full

_TIMES = 7


def terminal() -> Results:
    """Milliseconds for one slice of each dear sequence at the largest size; the least of several times: the machine
    is shared."""
    return {f"terminal.{name.replace(' ', '_')}_ms": _least_ms(*sequence) for name, sequence in DEAR.items()}


def _least_ms(setup: bytes, unit: bytes) -> float:
    times = []
    for _ in range(_TIMES):
        model = full(setup)
        began = time.perf_counter()
        model.feed((unit * SLICE)[:SLICE])
        times.append((time.perf_counter() - began) * 1000)
    return min(times)
