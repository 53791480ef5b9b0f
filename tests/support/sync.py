"""Waiting in tests without an event loop: for something that another thread or process does, never for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: What takes longer than this, in seconds, does not happen.
PATIENCE = 30.0


def eventually(true: Callable[[], bool], seen: Callable[[], object], *, seconds: float = PATIENCE) -> None:
    """Wait for a condition; shows what was `seen` when it does not come."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s in vain; seen: {seen()!r}")
        pause.wait(0.01)
