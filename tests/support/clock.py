"""A clock that stands still, for code that looks at `time.monotonic`."""

from __future__ import annotations

from types import ModuleType

import pytest


class Clock:
    """What `time.monotonic` is, to code that is given it instead of the module `time`.

    Attributes:
        now: in seconds; it goes on only when a test says so.
    """

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """In seconds."""
        return self.now


def stopped(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> Clock:
    """Give modules this clock, until the end of the test."""
    clock = Clock()
    for module in modules:
        monkeypatch.setattr(module, "time", clock)
    return clock
