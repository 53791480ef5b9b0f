"""Waiting in tests without an event loop: for something that another thread or process does, never for long."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.support.pace import Deadline

#: What takes longer than this on a quiet machine, in seconds, does not happen.
PATIENCE = 30.0


def eventually(true: Callable[[], bool], seen: Callable[[], object], *, seconds: float = PATIENCE) -> None:
    """Wait for a condition; shows what was `seen` when it does not come."""
    deadline = Deadline(seconds)
    pause = threading.Event()
    while not true():
        if not deadline.left:
            raise AssertionError(f"waited {deadline} in vain; seen: {seen()!r}")
        pause.wait(0.01)
