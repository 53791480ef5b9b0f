"""How a console is listed: how long it has been idle, and how many rows are made in one slice of the event loop."""

from __future__ import annotations

import time
from typing import Final

from oobconsole.console.console import Console

#: How many rows, of consoles or of people, are made in one slice.
ROWS_A_SLICE: Final = 16


def idle(console: Console) -> float | None:
    """Return how many seconds ago the guest has printed last; None: it has never printed."""
    return None if console.printed_at is None else time.monotonic() - console.printed_at


def shown_idle(console: Console) -> str:
    """Return how long ago the guest has printed last, in a few characters."""
    return in_words(idle(console))


def in_words(seconds: float | None) -> str:
    """Return seconds in a few characters, such as `12s`, `3m`, `5h` or `2d`; None is `never`."""
    if seconds is None:
        return "never"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"
